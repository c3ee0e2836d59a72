//! What pinned blocks take on disk, and how an earlier process's are told from those that are still needed.
//!
//! A removal of a pinned block is written down nowhere: directories full of removals would leave regions no room for entries, and whoever pins
//! knows what is needed anyway. So after a restart blocks may be there that nobody needs: they are found by marking all that are needed, and
//! sweeping the rest. The mark is the heat of an entry, which means nothing else while it is pinned.

use super::directory::RECORD_BYTES;
use super::format::{HEADER_BYTES, PAGE_BYTES, SECTOR_BYTES};
use super::index::TABLES;
use super::layout::Layout;
use super::shared::Ssd;
use crate::key::CacheKey;
use crate::options::CacheOptions;

/// Regions that hold nothing for good: the one being filled, the one being emptied, and a clean one to empty it into.
const REGIONS_SPARE: u64 = 3;
/// Of the other regions this part may be dead bytes that are not worth moving the rest for, and padding where a chunk was written before it
/// was full.
const WASTE_DIVISOR: u64 = 6;

/// How much is to be pinned: blocks, and what they take on disk at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinSize {
    blocks: u64,
    bytes: u64,
    block_bytes_max: u64,
}

impl PinSize {
    /// At most so many `blocks` of `bytes` together, none of more than `block_bytes_max`.
    pub fn add(&mut self, blocks: u64, bytes: u64, block_bytes_max: u64) {
        let rounding = (HEADER_BYTES + SECTOR_BYTES - 1 + RECORD_BYTES) as u64;
        self.blocks = self.blocks.saturating_add(blocks);
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(blocks.saturating_mul(rounding));
        self.block_bytes_max = self.block_bytes_max.max(block_bytes_max);
    }

    /// Both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            blocks: self.blocks.saturating_add(other.blocks),
            bytes: self.bytes.saturating_add(other.bytes),
            block_bytes_max: self.block_bytes_max.max(other.block_bytes_max),
        }
    }

    /// The smaller one, in each respect.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        Self {
            blocks: self.blocks.min(other.blocks),
            bytes: self.bytes.min(other.bytes),
            block_bytes_max: self.block_bytes_max.min(other.block_bytes_max),
        }
    }

    /// The larger one, in each respect.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        Self {
            blocks: self.blocks.max(other.blocks),
            bytes: self.bytes.max(other.bytes),
            block_bytes_max: self.block_bytes_max.max(other.block_bytes_max),
        }
    }
}

impl Layout {
    /// Whether that much can be pinned in whatever order it comes and goes.
    pub(crate) fn holds(&self, size: &PinSize) -> bool {
        let regions = u64::from(self.regions).saturating_sub(REGIONS_SPARE);
        // Behind the last entry of a region there is no room for the next one; a directory takes whole pages.
        let longest = size.block_bytes_max.min(self.entry_bytes_max as u64);
        let lost = longest + (HEADER_BYTES + SECTOR_BYTES + 2 * PAGE_BYTES) as u64;
        let of_region = self.region_bytes.saturating_sub(lost);
        let usable = of_region - of_region / WASTE_DIVISOR;
        size.bytes <= regions.saturating_mul(usable)
            && size.blocks <= regions.saturating_mul(self.records_max as u64)
    }

    /// The smallest budget found that holds `size`; about: regions grow in steps.
    pub(crate) fn disk_bytes_for(size: &PinSize, region_bytes: u64, write_buffer_bytes: u64) -> u64 {
        let holds = |disk_bytes: u64| {
            Self::new(disk_bytes, region_bytes, write_buffer_bytes).is_some_and(|layout| layout.holds(size))
        };
        let mut enough = Self::disk_bytes_min().max(size.bytes);
        while !holds(enough) {
            match enough.checked_mul(2) {
                Some(more) => enough = more,
                // More than a file can have.
                None => return u64::MAX,
            }
        }
        let mut too_small = Self::disk_bytes_min() - 1;
        while too_small + 1 < enough {
            let between = too_small + (enough - too_small) / 2;
            if holds(between) { enough = between } else { too_small = between }
        }
        enough
    }
}

impl CacheOptions {
    /// Whether a new file of `disk_bytes` can keep that much pinned.
    pub fn holds_pinned(&self, size: &PinSize) -> bool {
        let layout = Layout::new(self.disk_bytes, self.region_bytes, self.write_buffer_bytes as u64);
        layout.is_some_and(|layout| layout.holds(size))
    }

    /// The `disk_bytes` that are needed to keep that much pinned.
    pub fn disk_bytes_to_pin(&self, size: &PinSize) -> u64 {
        Layout::disk_bytes_for(size, self.region_bytes, self.write_buffer_bytes as u64)
    }
}

impl Ssd {
    /// Takes an entry out, for now: after a restart it may be there again.
    pub(crate) fn remove_unwritten(&self, key: &CacheKey) {
        if let Some(running) = self.shared.running.borrow_mut().as_mut() {
            running.tier.remove_unwritten(key);
        }
    }

    /// Takes the mark off every entry.
    pub(crate) async fn unmark(&self) {
        for table in 0..TABLES {
            if let Some(running) = self.shared.running.borrow_mut().as_mut() {
                running.tier.index.cool(table);
            }
            aquifer_io::yield_now().await;
        }
    }

    /// Marks an entry; whether it is there.
    pub(crate) fn mark(&self, key: &CacheKey) -> bool {
        let hash = key.hash64();
        let mut running = self.shared.running.borrow_mut();
        let Some(running) = running.as_mut() else { return false };
        let Some(spot) = running.tier.index.find(hash) else { return false };
        running.tier.index.touch(hash, spot.sector).is_some()
    }

    /// Takes out what is not marked.
    pub(crate) async fn sweep(&self) {
        for table in 0..TABLES {
            if let Some(running) = self.shared.running.borrow_mut().as_mut() {
                running.tier.sweep_cold(table);
            }
            aquifer_io::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_that_is_named_holds_what_is_to_be_pinned_and_a_little_less_does_not() {
        for (blocks, bytes) in
            [(0, 0), (1, 100), (5_000, 20_000_000), (40_000, 40_000), (10_000_000, 40 << 30)]
        {
            for (region_bytes, write_buffer_bytes) in
                [(16 << 20, 512 << 10), (16 << 20, 16 << 20), (1 << 20, 0)]
            {
                let mut size = PinSize::default();
                size.add(blocks, bytes, 8 << 10);
                let named = Layout::disk_bytes_for(&size, region_bytes, write_buffer_bytes);
                let layout = |disk_bytes| Layout::new(disk_bytes, region_bytes, write_buffer_bytes);
                assert!(layout(named).unwrap().holds(&size), "{size:?}");
                assert!(!layout(named - 1).is_some_and(|layout| layout.holds(&size)), "{size:?}");
                // Not much more than what it holds, where that is much.
                if blocks == 10_000_000 {
                    assert!(
                        named < (size.bytes + size.bytes / 3).max(blocks * 3 * 1024),
                        "{named} for {size:?}"
                    );
                }
            }
        }
    }
}
