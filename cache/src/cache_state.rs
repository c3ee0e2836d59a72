//! The parts of one cache, as its entry and the task of its read plan share them.

use crate::cached::Cached;
use crate::flight::Flights;
use crate::key::{CacheKey, Class};
use crate::memory::{EvictedOf, Memory};
use crate::plan::Plan;
use crate::ssd::{Source, Ssd};
use crate::stats::LoadStats;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Both tiers, the loads in flight and the read plan of one cache.
pub(crate) struct CacheState<V: Cached> {
    pub(crate) memory: RefCell<Memory<V>>,
    pub(crate) ssd: Ssd,
    pub(crate) has_no_path: bool,
    pub(crate) flights: Rc<Flights<V>>,
    pub(crate) loads: Cell<LoadStats>,
    pub(crate) plan: Plan<V>,
}

impl<V: Cached> CacheState<V> {
    /// Into memory; what that pushes out may go to the SSD.
    pub(crate) fn keep(&self, class: Class, key: CacheKey, value: V) {
        let bytes = value.memory_bytes();
        let mut evicted = EvictedOf::new();
        self.memory.borrow_mut().insert(class, key, value, bytes, &mut evicted);
        self.offer_evicted(&evicted);
    }

    pub(crate) fn offer_evicted(&self, evicted: &EvictedOf<V>) {
        for (class, entries) in [(Class::Data, &evicted.data), (Class::Meta, &evicted.meta)] {
            for (key, value) in entries {
                if let Some(raw) = value.raw_bytes() {
                    self.ssd.offer(class, key, &raw, Source::READ);
                }
            }
        }
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut LoadStats)) {
        let mut loads = self.loads.get();
        change(&mut loads);
        self.loads.set(loads);
    }

    /// Into memory, if there is room: `false`, and nothing is kept, if that would push anything out.
    pub(crate) fn keep_ahead(&self, class: Class, key: CacheKey, value: V) -> bool {
        let bytes = value.memory_bytes();
        self.memory.borrow_mut().insert_beside(class, key, value, bytes)
    }
}
