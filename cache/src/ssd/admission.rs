//! Which blocks are worth a write.
//!
//! ```text
//! room left that was never used      everything, while the day's bytes last
//! full, fetched for a reader         what was missed before, lately: the more often, the less is left of the day's bytes
//! full, just flushed or compacted    what replaces hot blocks, or while blocks that came that way were read (origin.rs)
//! pinned                             everything
//! ```

use super::budget::{Level, WriteBudget};
use super::origin::{Origin, OriginMeter};
use super::sketch::Sketch;
use crate::rejection::Rejection;
use aquifer_io::Instant;

/// The admission of one file.
pub(crate) struct Admission {
    sketch: Sketch,
    pub(crate) origins: OriginMeter,
    pub(crate) budget: WriteBudget,
    is_pinned: bool,
}

/// A block that wants in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) hash: u64,
    pub(crate) origin: Origin,
    /// It stands for blocks that were in use.
    pub(crate) is_hot: bool,
    /// What it takes on the disk.
    pub(crate) bytes: u64,
    /// What was taken in before and is not written yet.
    pub(crate) promised: u64,
}

impl Admission {
    pub(crate) fn new(file_bytes: u64, budget: WriteBudget, is_pinned: bool) -> Self {
        Self { sketch: Sketch::new(file_bytes), origins: OriginMeter::default(), budget, is_pinned }
    }

    /// The file has another size now.
    pub(crate) fn resize(&mut self, file_bytes: u64) {
        self.sketch = Sketch::new(file_bytes);
    }

    /// Somebody wanted to read it and it was not there.
    pub(crate) fn missed(&mut self, hash: u64) {
        self.sketch.missed(hash);
    }

    /// An entry was pushed out: whether it had been used counts for its origin, and one that had comes back more easily.
    pub(crate) fn ended(&mut self, hash: u64, origin: Origin, was_used: bool) {
        self.origins.ended(origin, was_used);
        if was_used {
            self.sketch.missed(hash);
        }
    }

    /// Whether the candidate may be written now.
    pub(crate) fn admits(
        &mut self,
        candidate: Candidate,
        is_full: bool,
        now: Instant,
    ) -> Result<(), Rejection> {
        let level = self.budget.level(candidate.bytes, candidate.promised, now);
        if level == Level::Empty {
            return Err(Rejection::Budget);
        }
        if self.is_pinned || (!is_full && level >= Level::Half) {
            return Ok(());
        }
        let wanted = match level {
            Level::Plenty | Level::Half => 2,
            Level::Low | Level::Empty => 4,
        };
        let is_wanted = match candidate.origin {
            Origin::Read => self.sketch.seen(candidate.hash) >= wanted,
            Origin::Ahead => true,
            Origin::Flushed | Origin::Compacted => {
                candidate.is_hot || (wanted == 2 && self.origins.pays(candidate.origin, candidate.hash))
            }
        };
        if is_wanted { Ok(()) } else { Err(Rejection::Cold) }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.sketch.memory_bytes()
    }
}
