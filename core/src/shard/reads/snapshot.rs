//! Snapshots: the state of one moment, kept readable.
//!
//! A snapshot pins the version of its moment, whose segments never change, and a sequence number for the memtable that takes writes:
//! while a snapshot sees a write, later writes to its key go beside it, not over it. Nothing of this reaches the segment format. When
//! such a memtable is flushed, its segment holds the newest writes only; for each snapshot that is still held and sees older ones,
//! a second segment is written with what it sees, which no manifest ever names.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::SNAPSHOTS_MAX;
use crate::shard::parts::snapshots::Pinned;
use crate::shard::reads::lookup::View;
use crate::shard::shard_core::ShardCore;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

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
