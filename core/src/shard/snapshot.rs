//! Snapshots: the state of one moment, kept readable.
//!
//! A snapshot pins the version of its moment, whose segments never change, and a sequence number for the memtable that takes writes:
//! while a snapshot sees a write, later writes to its key go beside it, not over it. Nothing of this reaches the segment format. When
//! such a memtable is flushed, its segment holds the newest writes only; for each snapshot that is still held and sees older ones,
//! a second segment is written with what it sees, which no manifest ever names.

use super::lookup::View;
use super::{Freeze, ShardCore};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::SNAPSHOTS_MAX;
use crate::version::{Frozen, Segment, Version};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One snapshot of this shard.
pub(crate) struct Pinned {
    /// The newest write that it sees.
    pub(crate) at: u64,
    version: RefCell<Rc<Version>>,
    /// The memtable of its moment still takes writes.
    with_memtable: Cell<bool>,
}

/// The snapshots that are held, by number.
#[derive(Default)]
pub(crate) struct Snapshots {
    held: RefCell<BTreeMap<u64, Rc<Pinned>>>,
    /// The newest write that a snapshot of the memtable that takes writes sees.
    newest: Cell<Option<u64>>,
}

impl Snapshots {
    /// The newest write of the memtable that must not be overwritten in place.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest.get()
    }

    fn refresh(&self) {
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

impl ShardCore {
    /// Pins the state of this moment under the caller's number.
    pub(crate) fn pin_snapshot(&self, id: u64) -> Result<()> {
        if self.snapshots.count() >= SNAPSHOTS_MAX {
            return Err(Error::new(
                ErrorKind::Busy,
                format!("{SNAPSHOTS_MAX} snapshots and scans of shard {} are open: drop some first", self.id),
            ));
        }
        let pinned = Pinned {
            at: self.write_sequence.get(),
            version: RefCell::new(self.version()),
            with_memtable: Cell::new(true),
        };
        self.snapshots.held.borrow_mut().insert(id, Rc::new(pinned));
        self.snapshots.refresh();
        Ok(())
    }

    /// Lets a snapshot go; one that is not held is no error.
    pub(crate) fn release_snapshot(&self, id: u64) {
        self.snapshots.held.borrow_mut().remove(&id);
        self.snapshots.refresh();
    }

    /// What a snapshot sees.
    pub(crate) fn view_of(&self, snapshot: u64) -> Result<View> {
        let held = self.snapshots.held.borrow();
        let pinned = held.get(&snapshot).ok_or_else(|| {
            Error::invalid(format!(
                "shard {} does not hold this snapshot: it is of another engine, or was dropped",
                self.id
            ))
        })?;
        Ok(View {
            version: Rc::clone(&pinned.version.borrow()),
            at: pinned.at,
            with_memtable: pinned.with_memtable.get(),
        })
    }

    /// What a read without a snapshot sees from now on.
    pub(crate) fn view_now(&self) -> View {
        View { version: self.version(), at: u64::MAX, with_memtable: true }
    }
}
