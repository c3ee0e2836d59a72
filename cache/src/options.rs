//! The budgets of a cache.

use crate::error::CacheError;
use std::path::PathBuf;

/// Smallest region that may be asked for.
pub(crate) const REGION_BYTES_MIN: u64 = 16 << 10;
/// Largest region that may be asked for.
pub(crate) const REGION_BYTES_MAX: u64 = 64 << 20;

/// What the SSD tier does when it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SsdMode {
    /// It takes in what is worth a write and pushes out the oldest that is not hot.
    #[default]
    BestEffort,
    /// It keeps everything until that is removed ([`Cache::remove`](crate::Cache::remove)), and takes in nothing more than it can keep.
    Pinned,
}

/// Budgets and places of one cache. Plain data; [`CacheOptions::validate`] says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// Memory tier, both classes together, overhead of entries included. 0 = nothing is kept in memory.
    pub memory_bytes: usize,
    /// The part of `memory_bytes` that [`Class::Meta`](crate::Class::Meta) may take; what it does not take, Data uses. More than
    /// `memory_bytes` means all of it.
    pub meta_bytes_max: usize,
    /// What the SSD file may take on disk, the file system's bookkeeping for it included: a limit, not a hint. 0 = no SSD tier,
    /// and `disk_path` is not touched. A budget too small for four regions of 16 KiB gives no SSD tier either (its `off_reason` says so).
    pub disk_bytes: u64,
    /// The SSD file of this shard, created if it is not there. A file of an earlier [`Cache`](crate::Cache) of the same store is gone on
    /// with; **any other file is overwritten**. Nobody else may use it meanwhile: lock its folder.
    pub disk_path: Option<PathBuf>,
    /// Largest region of the SSD file, 16 KiB to 64 MiB. Regions are made smaller when `disk_bytes` would hold fewer than
    /// 16 of them, so that reusing one never drops more than about a sixteenth of the tier.
    pub region_bytes: u64,
    /// Identity of the store whose objects are cached: a file of another store is not gone on with, but begun anew.
    pub store: u64,
    /// What the SSD tier does when it is full.
    pub mode: SsdMode,
    /// Most bytes that may be written to the SSD file in any 24 hours, for the wear of the device; everything counts. 0 = no limit. An
    /// hour's share may be written at once. Counted from the opening: a restart begins with an hour's share.
    pub disk_write_bytes_per_day: u64,
    /// Most bytes a second that may be written to the SSD file, about. 0 = no limit.
    pub disk_write_bytes_per_s: u64,
    /// Bytes that may wait for the SSD writer, in memory of their own (not part of `memory_bytes`); a write in progress takes
    /// as much again from the thread's buffer pool, at most. Offers beyond it are rejected, and so are entries larger than half of it.
    pub write_buffer_bytes: usize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            meta_bytes_max: 16 << 20,
            disk_bytes: 0,
            disk_path: None,
            region_bytes: 16 << 20,
            store: 0,
            mode: SsdMode::BestEffort,
            disk_write_bytes_per_day: 0,
            disk_write_bytes_per_s: 0,
            write_buffer_bytes: 4 << 20,
        }
    }
}

impl CacheOptions {
    /// Checks the options against each other; [`Cache::open`](crate::Cache::open) does this too.
    pub fn validate(&self) -> Result<(), CacheError> {
        if self.disk_bytes > 0 && self.disk_path.is_none() {
            return Err(CacheError::DiskPathMissing { disk_bytes: self.disk_bytes });
        }
        if !(REGION_BYTES_MIN..=REGION_BYTES_MAX).contains(&self.region_bytes) {
            return Err(CacheError::RegionBytes {
                found: self.region_bytes,
                min: REGION_BYTES_MIN,
                max: REGION_BYTES_MAX,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_budget_needs_a_path() {
        let options = CacheOptions { disk_bytes: 1 << 20, ..CacheOptions::default() };
        assert_eq!(options.validate(), Err(CacheError::DiskPathMissing { disk_bytes: 1 << 20 }));
        assert_eq!(CacheOptions { disk_bytes: 0, ..options }.validate(), Ok(()));
    }

    #[test]
    fn region_bytes_has_bounds() {
        for (region_bytes, good) in [(0, false), (16 << 10, true), (64 << 20, true), ((64 << 20) + 1, false)]
        {
            let options = CacheOptions { region_bytes, ..CacheOptions::default() };
            assert_eq!(options.validate().is_ok(), good, "{region_bytes}");
        }
    }
}
