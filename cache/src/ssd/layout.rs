//! How a disk budget is cut into regions.
//!
//! A pure function of the options; every number the rest of the tier uses is derived here.

use super::directory::{RECORD_BYTES, TRAILER_BYTES};
use super::format::{PAGE_BYTES, SECTOR_BYTES, SUPERBLOCK_BYTES};
use super::index::SECTORS_MAX;
use crate::options::{REGION_BYTES_MAX, REGION_BYTES_MIN};

/// Fewer regions would forget too much of the cache at once.
const REGIONS_MIN: u64 = 4;
/// Regions aimed at before regions grow to what the options allow.
const REGIONS_WANTED: u64 = 16;
/// Regions are not made smaller than this to get more of them.
const REGION_BYTES_WANTED_MIN: u64 = 256 << 10;
/// The file system's own bookkeeping counts as disk used (a block for each 340 or so extents on ext4, and writing into
/// reserved space splits extents), so a little of the budget is left to it: this, and 1/4096 of the whole.
const BOOKKEEPING_BYTES: u64 = 8192;
const BOOKKEEPING_DIVISOR: u64 = 4096;
/// The index addresses sectors with 32 bits: 2 TiB a shard. A larger budget is used up to here.
const FILE_BYTES_MAX: u64 = (u32::MAX as u64) * SECTOR_BYTES as u64;
/// Sectors of an entry are counted in 12 bits, one more than its length needs if it begins within one.
const ENTRY_BYTES_MAX: u64 = (SECTORS_MAX as u64 - 1) * SECTOR_BYTES as u64;
/// Large enough to write at the device's speed, small enough to copy within a turn of the loop.
const CHUNK_BYTES_MAX: u64 = 512 << 10;
/// The part of the file that the snapshot of the index may take: enough for entries of 1.5 KiB and more. With smaller ones there is
/// no snapshot, and the directories of the regions have to do.
const INDEX_DIVISOR: u64 = 128;
/// Header, generations of few regions, and descriptors of the tables take two pages; a third has the first slots.
const INDEX_BYTES_MIN: u64 = 3 * PAGE_BYTES as u64;
/// A file is gone on with if its regions are at least this part of what would be chosen today.
const REGION_BYTES_KEPT: u64 = 8;
/// The write buffer is at least four pages: an entry, a directory, a trailer.
const WRITE_BUFFER_BYTES_MIN: u64 = 4 * PAGE_BYTES as u64;

const _: () = assert!(REGION_BYTES_MIN.is_multiple_of(PAGE_BYTES as u64));

/// The geometry of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) regions: u32,
    pub(crate) region_bytes: u64,
    /// Behind the regions, for the snapshot of the index.
    pub(crate) index_bytes: u64,
    /// Largest entry, header and padding included.
    pub(crate) entry_bytes_max: usize,
    /// What is usually written at once.
    pub(crate) chunk_bytes: u64,
    /// Most entries of a region: so that its directory is at most a quarter of what may wait.
    pub(crate) records_max: usize,
    /// What may wait to be written, hard.
    pub(crate) pending_bytes_max: u64,
}

impl Layout {
    /// `None` when `disk_bytes` cannot hold four regions of the smallest size.
    pub(crate) fn new(disk_bytes: u64, region_bytes: u64, write_buffer_bytes: u64) -> Option<Self> {
        let usable = usable(disk_bytes)?;
        let of_regions = usable - usable / INDEX_DIVISOR;
        let wanted = region_bytes.min((of_regions / REGIONS_WANTED).max(REGION_BYTES_WANTED_MIN));
        let region_bytes = page_floor(wanted.min(usable / REGIONS_MIN));
        if region_bytes < REGION_BYTES_MIN {
            return None;
        }
        Self::of_regions(usable, region_bytes, write_buffer_bytes)
    }

    /// The same regions under another budget; `None` when they would be too few, or far smaller than they need to be.
    pub(crate) fn with_regions_of(
        disk_bytes: u64,
        region_bytes: u64,
        region_bytes_max: u64,
        write_buffer_bytes: u64,
    ) -> Option<Self> {
        let wanted = Self::new(disk_bytes, region_bytes_max, write_buffer_bytes)?;
        let fits = region_bytes >= REGION_BYTES_MIN.max(wanted.region_bytes / REGION_BYTES_KEPT)
            && region_bytes <= REGION_BYTES_MAX
            && region_bytes.is_multiple_of(PAGE_BYTES as u64);
        let layout = Self::of_regions(usable(disk_bytes)?, region_bytes, write_buffer_bytes)?;
        (fits && u64::from(layout.regions) >= REGIONS_MIN).then_some(layout)
    }

    fn of_regions(usable: u64, region_bytes: u64, write_buffer_bytes: u64) -> Option<Self> {
        // What is too little for a header and some slots is left to the regions.
        let index_bytes = page_floor(usable / INDEX_DIVISOR);
        let index_bytes = if index_bytes < INDEX_BYTES_MIN { 0 } else { index_bytes };
        let regions = (usable - index_bytes) / region_bytes;
        // Four regions of the smallest size need all there is.
        let index_bytes = if regions < REGIONS_MIN { 0 } else { index_bytes };
        let regions = u32::try_from((usable - index_bytes) / region_bytes).ok()?;
        let pending_bytes_max = page_floor(write_buffer_bytes.max(WRITE_BUFFER_BYTES_MIN));
        let chunk_bytes = page_floor((pending_bytes_max / 4).min(CHUNK_BYTES_MAX)).min(region_bytes);
        let entry_bytes_max =
            (pending_bytes_max / 2).min(region_bytes - PAGE_BYTES as u64).min(ENTRY_BYTES_MAX);
        let entry_bytes_max = usize::try_from(page_floor(entry_bytes_max)).ok()?;
        let directory_bytes_max = usize::try_from(page_floor(pending_bytes_max / 4)).ok()?;
        let records_max = (directory_bytes_max - TRAILER_BYTES) / RECORD_BYTES;
        Some(Self {
            regions,
            region_bytes,
            index_bytes,
            entry_bytes_max,
            chunk_bytes,
            records_max,
            pending_bytes_max,
        })
    }

    /// The smallest budget that makes a tier.
    pub(crate) const fn disk_bytes_min() -> u64 {
        let file = SUPERBLOCK_BYTES as u64 + REGIONS_MIN * REGION_BYTES_MIN + BOOKKEEPING_BYTES;
        file + file / (BOOKKEEPING_DIVISOR - 1)
    }

    /// Never more than the budget.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.index_offset() + self.index_bytes
    }

    /// Where the index area begins: behind the last region.
    pub(crate) fn index_offset(&self) -> u64 {
        self.region_offset(self.regions)
    }

    /// The first sector of a region.
    pub(crate) fn region_sector(&self, region: u32) -> u32 {
        u32::try_from(self.region_offset(region) / SECTOR_BYTES as u64).unwrap_or(u32::MAX)
    }

    /// Where a region begins, in bytes of the file.
    pub(crate) fn region_offset(&self, region: u32) -> u64 {
        SUPERBLOCK_BYTES as u64 + u64::from(region) * self.region_bytes
    }

    /// The region a sector belongs to.
    pub(crate) fn region_of(&self, sector: u32) -> u32 {
        let offset = u64::from(sector) * SECTOR_BYTES as u64;
        let region = offset.saturating_sub(SUPERBLOCK_BYTES as u64) / self.region_bytes;
        u32::try_from(region).unwrap_or(u32::MAX)
    }
}

/// What of a budget is left for regions and index.
fn usable(disk_bytes: u64) -> Option<u64> {
    let disk_bytes = disk_bytes.min(FILE_BYTES_MAX);
    (disk_bytes - disk_bytes / BOOKKEEPING_DIVISOR).checked_sub(SUPERBLOCK_BYTES as u64 + BOOKKEEPING_BYTES)
}

fn page_floor(bytes: u64) -> u64 {
    bytes - bytes % PAGE_BYTES as u64
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
mod tests {
    use super::super::directory::directory_bytes;
    use super::*;

    #[test]
    fn whatever_the_budget_the_file_stays_within_it() {
        let budgets = (0..64).flat_map(|shift| {
            let power = 1u64 << shift;
            [power - 1, power, power + 1, power + power / 3]
        });
        for disk_bytes in budgets.chain([u64::MAX, Layout::disk_bytes_min() - 1, Layout::disk_bytes_min()]) {
            for region_bytes in [16 << 10, 100_000, 1 << 20, 16 << 20, 64 << 20] {
                for write_buffer_bytes in [0, 5_000, 2 << 20, 1 << 30] {
                    check(disk_bytes, region_bytes, write_buffer_bytes);
                }
            }
        }
    }

    fn check(disk_bytes: u64, region_bytes: u64, write_buffer_bytes: u64) {
        let Some(layout) = Layout::new(disk_bytes, region_bytes, write_buffer_bytes) else {
            assert!(disk_bytes < Layout::disk_bytes_min());
            return;
        };
        assert!(disk_bytes >= Layout::disk_bytes_min());
        assert!(layout.file_bytes() <= disk_bytes);
        assert!(layout.regions >= 4 && layout.region_bytes <= region_bytes);
        assert!(layout.region_bytes % 4096 == 0 && layout.chunk_bytes % 4096 == 0 && layout.chunk_bytes > 0);
        assert!(layout.chunk_bytes <= layout.region_bytes);
        assert!(layout.entry_bytes_max as u64 + 4096 <= layout.region_bytes);
        // Once nothing else waits, the largest entry fits beside the directory of one region and the trailer of the next.
        let directory = directory_bytes(layout.records_max) as u64;
        assert!(directory + 4096 + layout.entry_bytes_max as u64 <= layout.pending_bytes_max, "{layout:?}");
        assert!(layout.records_max > 0 && layout.index_bytes.is_multiple_of(4096));
        assert!(layout.index_bytes <= disk_bytes / 100);
        let last = layout.region_offset(layout.regions - 1) + layout.region_bytes - 512;
        assert!(u32::try_from(last / 512).is_ok());
        assert_eq!(layout.region_of((last / 512) as u32), layout.regions - 1);
        assert_eq!(layout.region_of((layout.region_offset(1) / 512) as u32), 1);
        assert_eq!(layout.region_of((layout.region_offset(1) / 512) as u32 - 1), 0);
        let left = disk_bytes.min(FILE_BYTES_MAX) - layout.file_bytes();
        let bookkeeping = 8192 + disk_bytes.min(FILE_BYTES_MAX) / 4096;
        assert!((bookkeeping..bookkeeping + layout.region_bytes + 4096).contains(&left), "{layout:?}");
        // Another budget may keep the regions.
        for disk_bytes in [disk_bytes / 2, disk_bytes.saturating_mul(3)] {
            let kept =
                Layout::with_regions_of(disk_bytes, layout.region_bytes, region_bytes, write_buffer_bytes);
            if let Some(kept) = kept {
                assert!(kept.region_bytes == layout.region_bytes && kept.regions >= 4);
                assert!(kept.file_bytes() <= disk_bytes);
            }
        }
    }

    #[test]
    fn reusing_a_region_drops_little_of_the_tier() {
        let layout = Layout::new(64 << 20, 16 << 20, 4 << 20).unwrap();
        assert!(layout.regions >= 16, "{layout:?}");
        let layout = Layout::new(1 << 30, 16 << 20, 4 << 20).unwrap();
        assert_eq!(layout.region_bytes, 16 << 20);
    }
}
