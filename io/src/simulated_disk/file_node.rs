//! One file of the simulated disk: what is live, what is durable, and all that lies between.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::content::{Change, Content, SECTOR};

#[derive(Debug, Default)]
pub(super) struct FileNode {
    pub(super) live: Content,
    pub(super) durable: Content,
    /// Finished changes that are not durable, in order, each with its number.
    pub(super) pending: VecDeque<(u64, Change)>,
    /// Writes begun and not finished.
    pub(super) in_flight: BTreeMap<u64, Change>,
    change_next: u64,
    pub(super) reserved_bytes: u64,
    pub(super) opens: u32,
}

impl FileNode {
    pub(super) fn durable(content: &Content) -> Self {
        Self { live: content.clone(), durable: content.clone(), ..Self::default() }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.change_next += 1;
        self.change_next
    }

    pub(super) fn change(&mut self, change: Change) {
        self.live.apply(&change);
        let number = self.number();
        self.pending.push_back((number, change));
    }

    /// Overwrites by zeroes what of one sector is in the range.
    pub(super) fn zero_part(&mut self, index: u64, range: &Range<u64>) {
        let Some(sector) = self.live.sector(index) else { return };
        let mut zeroed = Arc::clone(sector);
        for (place, byte) in (index * SECTOR..).zip(Arc::make_mut(&mut zeroed)) {
            if range.contains(&place) {
                *byte = 0;
            }
        }
        self.change(Change::Replace(index, zeroed));
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.live.sectors_stored().saturating_mul(SECTOR).max(self.reserved_bytes)
    }

    pub(super) fn after_crash(&self, chance: &mut fastrand::Rng) -> Content {
        let mut content = self.durable.clone();
        for change in self.pending.iter().map(|(_, change)| change).chain(self.in_flight.values()) {
            content.apply_torn(change, chance);
        }
        content
    }
}
