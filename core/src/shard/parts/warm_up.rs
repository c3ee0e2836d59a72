//! What is left of a warm-up, and what it has done (see [`crate::shard::warm_up::fetch`]).

use crate::manifest::hot::{self, HotSegment};
use crate::stats::WarmUpStats;
use crate::version::{SegmentId, Version};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The warm-up of a shard: what is left to do, and what was done.
#[derive(Debug)]
pub(crate) struct WarmUp {
    pub(crate) list: RefCell<Rc<[HotSegment<SegmentId>]>>,
    pub(crate) stats: Cell<WarmUpStats>,
}

impl WarmUp {
    /// The part of `list` whose segments this shard has.
    pub(crate) fn new(list: &[HotSegment<SegmentId>], version: &Version) -> Self {
        let own: std::collections::HashSet<_> = version.segments().map(|segment| segment.id()).collect();
        let list: Rc<[_]> = list.iter().filter(|listed| own.contains(&listed.segment)).cloned().collect();
        let stats = WarmUpStats {
            listed: hot::extents(&list),
            is_running: !list.is_empty(),
            ..WarmUpStats::default()
        };
        Self { list: RefCell::new(list), stats: Cell::new(stats) }
    }

    pub(crate) fn stats(&self) -> WarmUpStats {
        self.stats.get()
    }

    /// All that was listed, while that is not done.
    pub(crate) fn unfinished(&self) -> Rc<[HotSegment<SegmentId>]> {
        Rc::clone(&self.list.borrow())
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut WarmUpStats)) {
        let mut stats = self.stats.get();
        change(&mut stats);
        self.stats.set(stats);
    }

    /// What was not looked at is left.
    pub(crate) fn end(&self) {
        *self.list.borrow_mut() = Rc::from([]);
        self.count(|stats| {
            stats.is_running = false;
            stats.skipped = stats.listed.saturating_sub(stats.warmed + stats.failed);
        });
    }
}
