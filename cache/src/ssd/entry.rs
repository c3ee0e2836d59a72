//! Where an entry lies in the file, and a hold on it while it is read.
//!
//! ```text
//! Ssd::locate(class, key) ──> Place ──> read place.offset() .. + place.bytes() ──> Ssd::complete(place, bytes) ──> data, or a miss
//! ```
//! A place may be read alone or as a part of a larger read that covers several. While it lives its region is not begun anew, so that
//! what was planned is still there when the read comes; drop it as soon as the read is done.

use super::format::{Round, SECTOR_BYTES};
use super::index::Spot;
use crate::key::{CacheKey, Class};
use std::rc::Rc;

/// An entry to be read from the file.
#[derive(Debug)]
pub(crate) struct SsdEntry {
    pub(super) class: Class,
    pub(super) key: CacheKey,
    pub(super) spot: Spot,
    pub(super) round: Round,
    pub(super) region: u32,
    /// What reads of the file are aligned to.
    align_bytes: usize,
    /// Keeps the region from being begun anew.
    _hold: Rc<()>,
}

impl SsdEntry {
    pub(super) fn new(
        class: Class,
        key: CacheKey,
        spot: Spot,
        (region, round): (u32, Round),
        align_bytes: usize,
        hold: Rc<()>,
    ) -> Self {
        Self { class, key, spot, round, region, align_bytes: align_bytes.max(SECTOR_BYTES), _hold: hold }
    }

    fn entry_offset(&self) -> u64 {
        self.spot.begin()
    }

    /// Where in the file to begin to read: a multiple of the file's alignment.
    pub(crate) fn offset(&self) -> u64 {
        let entry = self.entry_offset();
        entry - entry % self.align_bytes as u64
    }

    /// How much to read from there: a multiple of the file's alignment, at least that.
    pub(crate) fn bytes(&self) -> usize {
        (self.skip() + self.spot.bytes()).next_multiple_of(self.align_bytes)
    }

    /// Where the entry begins in what was read.
    pub(super) fn skip(&self) -> usize {
        // Smaller than the alignment, which is a usize.
        usize::try_from(self.entry_offset() - self.offset()).unwrap_or_default()
    }
}
