//! The snapshots that are held (see [`crate::shard::reads::snapshot`]).

use crate::shard::parts::flush_queue::Freeze;
use crate::version::{Frozen, Segment, Version};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One snapshot of this shard.
pub(crate) struct Pinned {
    /// The newest write that it sees.
    pub(crate) at: u64,
    pub(crate) version: RefCell<Rc<Version>>,
    /// The memtable of its moment still takes writes.
    pub(crate) with_memtable: Cell<bool>,
}

/// The snapshots that are held, by number.
#[derive(Default)]
pub(crate) struct Snapshots {
    pub(crate) held: RefCell<BTreeMap<u64, Rc<Pinned>>>,
    /// The newest write that a snapshot of the memtable that takes writes sees.
    pub(crate) newest: Cell<Option<u64>>,
}

impl Snapshots {
    /// The newest write of the memtable that must not be overwritten in place.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest.get()
    }

    pub(crate) fn refresh(&self) {
        let held = self.held.borrow();
        self.newest
            .set(held.values().filter(|pinned| pinned.with_memtable.get()).map(|pinned| pinned.at).max());
    }

    pub(crate) fn count(&self) -> usize {
        self.held.borrow().len()
    }

    /// The memtable that took writes, or a part of it, is `frozen` now. Of the part that takes its place a snapshot sees nothing: its
    /// writes are all newer.
    pub(crate) fn froze(&self, frozen: &Rc<Frozen>, which: Freeze) {
        for pinned in self.held.borrow().values().filter(|pinned| pinned.with_memtable.get()) {
            pinned.with_memtable.set(which == Freeze::Fullest);
            let next = pinned.version.borrow().with_frozen(Rc::clone(frozen));
            *pinned.version.borrow_mut() = Rc::new(next);
        }
        self.refresh();
    }

    /// The moments within the life of a frozen memtable that snapshots still see it at: it looked different then than at its end.
    pub(crate) fn moments_within(&self, frozen: &Frozen) -> Vec<u64> {
        let held = self.held.borrow();
        let within = held.values().filter(|pinned| {
            pinned.at < frozen.last_write && pinned.version.borrow().has_frozen(frozen.sequence)
        });
        let mut moments: Vec<u64> = within.map(|pinned| pinned.at).collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// `frozen` is on the DFS. Snapshots that see it at its end read `segment` instead, those of an earlier moment what was written for
    /// it (`None`: nothing).
    pub(crate) fn flushed(
        &self,
        frozen: &Frozen,
        segment: &Rc<Segment>,
        of_moments: &[(u64, Option<Rc<Segment>>)],
    ) {
        for pinned in self.held.borrow().values() {
            let version = Rc::clone(&pinned.version.borrow());
            if !version.has_frozen(frozen.sequence) {
                continue;
            }
            let next = if pinned.at >= frozen.last_write {
                version.with_flushed(frozen.sequence, Some(Rc::clone(segment)))
            } else {
                // A moment that came up since is impossible: snapshots see what was frozen before them at its end.
                let written = of_moments.iter().find(|(at, _)| *at == pinned.at);
                version.with_flushed(frozen.sequence, written.and_then(|(_, segment)| segment.clone()))
            };
            *pinned.version.borrow_mut() = Rc::new(next);
        }
    }
}
