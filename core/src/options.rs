//! How an engine is opened: plain data with defaults and one `validate`.

use crate::compact::budget::CompactionBudget;
use crate::compact::remote::RemoteCompaction;
use crate::error::{Error, Result};
use crate::key::Route;
use crate::limits::{MEMTABLE_BYTES_MAX, SHARD_MEMORY_BYTES_MIN};
use crate::merge_operator::MergeOperator;
use aquifer_cache::SsdMode;
use aquifer_io::BackendChoice;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Compression of data blocks. Filters and indexes are never compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Blocks are stored as they are.
    None,
    /// zstd at this level (1 is fast; the levels of the zstd library).
    Zstd {
        /// The level.
        level: i32,
    },
}

/// Whose time decides what has expired. Give one store the same one every time: moments of the two cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlTime {
    /// The machine's clock, in milliseconds of the Unix epoch.
    #[default]
    Processing,
    /// What the caller says: [`crate::Client::advance_event_time`]. It starts at 0 with every opening.
    Event,
}

/// Options of [`crate::Engine::open`].
#[derive(Clone)]
pub struct Options {
    /// Key groups of the store, 1 to 32,768: fixed when it is created. `None` takes what an existing store has, and 128 for a
    /// new one. Opening with another number than the store's is an error.
    pub key_groups: Option<u16>,
    /// Shards, each on its own pinned thread. 0 means one per core that this process may use.
    pub shards: usize,
    /// Budget in bytes for memtables, caches, filters, indexes and buffers together; at least 4 MiB a shard.
    pub memory_bytes: u64,
    /// Budget in bytes for the SSD tier of the cache under `local_dir`. 0 is allowed: no SSD tier.
    pub disk_bytes: u64,
    /// Folder for the SSD tier; created if absent, used by one engine at a time. Needed when `disk_bytes` is above 0. Everything
    /// in it may be lost at any time.
    pub local_dir: Option<PathBuf>,
    /// What the SSD tier does when it is full.
    pub disk_mode: SsdMode,
    /// Most bytes that may be written to the SSD tier in any 24 hours, for the wear of the device. 0 = no limit.
    pub disk_write_bytes_per_day: u64,
    /// Most bytes a second that may be written to the SSD tier, about. 0 = no limit.
    pub disk_write_bytes_per_s: u64,
    /// The machine under the shards: io_uring, or a pool of threads.
    pub io: BackendChoice,
    /// Compression of new data blocks.
    pub compression: Compression,
    /// What compaction may take of the machine.
    pub compaction: CompactionBudget,
    /// Compaction by other processes: `None` offers them nothing.
    pub remote_compaction: Option<RemoteCompaction>,
    /// Merge operators beside the built-in `append`, `add`, `max`, `min` and `set-union`.
    pub merge_operators: Vec<Arc<dyn MergeOperator>>,
    /// Whose time decides what has expired.
    pub ttl_time: TtlTime,
    /// Seed of everything random: shards, names, jitter. `None` seeds from the operating system.
    pub seed: Option<u64>,
}

impl Default for Options {
    /// 256 MiB of memory, no SSD tier, one shard per core, zstd level 1.
    fn default() -> Self {
        Self {
            key_groups: None,
            shards: 0,
            memory_bytes: 256 * 1024 * 1024,
            disk_bytes: 0,
            local_dir: None,
            disk_mode: SsdMode::BestEffort,
            disk_write_bytes_per_day: 0,
            disk_write_bytes_per_s: 0,
            io: BackendChoice::Auto,
            compression: Compression::Zstd { level: 1 },
            compaction: CompactionBudget::default(),
            remote_compaction: None,
            merge_operators: Vec::new(),
            ttl_time: TtlTime::Processing,
            seed: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operators: Vec<_> = self.merge_operators.iter().map(|operator| operator.name()).collect();
        f.debug_struct("Options")
            .field("key_groups", &self.key_groups)
            .field("shards", &self.shards)
            .field("memory_bytes", &self.memory_bytes)
            .field("disk_bytes", &self.disk_bytes)
            .field("local_dir", &self.local_dir)
            .field("disk_mode", &self.disk_mode)
            .field("disk_write_bytes_per_day", &self.disk_write_bytes_per_day)
            .field("disk_write_bytes_per_s", &self.disk_write_bytes_per_s)
            .field("io", &self.io)
            .field("compression", &self.compression)
            .field("merge_operators", &operators)
            .field("ttl_time", &self.ttl_time)
            .field("compaction", &self.compaction)
            .field("remote_compaction", &self.remote_compaction)
            .field("seed", &self.seed)
            .finish()
    }
}

impl Options {
    /// Checks what can be checked without the store.
    ///
    /// # Errors
    /// `Invalid`, with the option, its value and its bounds.
    pub fn validate(&self) -> Result<()> {
        if let Some(key_groups) = self.key_groups {
            Route::new(key_groups, 1)?;
        }
        let needed = SHARD_MEMORY_BYTES_MIN.saturating_mul(self.shard_count() as u64);
        if self.memory_bytes < needed {
            return Err(Error::invalid(format!(
                "memory_bytes is {}; {} shards need at least {needed}: raise it or use fewer shards",
                self.memory_bytes,
                self.shard_count()
            )));
        }
        self.compaction.validate()?;
        self.remote_compaction.as_ref().map_or(Ok(()), RemoteCompaction::validate)?;
        if self.disk_bytes > 0 && self.local_dir.is_none() {
            return Err(Error::invalid(
                "disk_bytes is above 0 but local_dir is not set: name a folder, or set disk_bytes to 0",
            ));
        }
        Ok(())
    }

    /// Shards to start: as asked, or one per core.
    pub(crate) fn shard_count(&self) -> usize {
        if self.shards > 0 { self.shards } else { aquifer_io::cores_available().len().max(1) }
    }
}

/// How a shard divides its share of the memory budget.
///
/// A quarter is for writes, in four equal parts: the memtable that takes them, the one being flushed, that one's encoded segment,
/// and compaction (half for what it reads, half for what it writes). One sixteenth is for the buffers of file reads and writes, half
/// as much for blocks on their way to the SSD, one thirty-second for the mailbox, one sixteenth for what nobody counts (the allocator's
/// rounding, zstd's contexts, tasks). The rest is the cache's, the index of its SSD tier
/// included; up to half of it may go to filters and indexes of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardBudget {
    pub(crate) memtable_bytes_max: usize,
    pub(crate) buffer_bytes: usize,
    pub(crate) write_buffer_bytes: usize,
    pub(crate) cache_bytes: usize,
    pub(crate) meta_bytes_max: usize,
    pub(crate) mailbox_bytes_max: usize,
    pub(crate) disk_bytes: u64,
    pub(crate) disk_write_bytes_per_day: u64,
    pub(crate) disk_write_bytes_per_s: u64,
}

impl ShardBudget {
    pub(crate) fn new(options: &Options, shards: usize) -> Self {
        let shards = shards.max(1) as u64;
        let memory = options.memory_bytes / shards;
        let memtable = (memory / 16).min(MEMTABLE_BYTES_MAX);
        let buffers = (memory / 16).clamp(1024 * 1024, 32 * 1024 * 1024);
        let mailbox = (memory / 32).max(256 * 1024);
        let uncounted = memory / 16;
        let cache = memory.saturating_sub(memtable * 4 + buffers + buffers / 2 + mailbox + uncounted);
        let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            memtable_bytes_max: bytes(memtable),
            buffer_bytes: bytes(buffers),
            write_buffer_bytes: bytes(buffers / 2),
            cache_bytes: bytes(cache),
            meta_bytes_max: bytes(cache / 2),
            mailbox_bytes_max: bytes(mailbox),
            disk_bytes: options.disk_bytes / shards,
            disk_write_bytes_per_day: share_of_limit(options.disk_write_bytes_per_day, shards),
            disk_write_bytes_per_s: share_of_limit(options.disk_write_bytes_per_s, shards),
        }
    }
}

/// A shard's share of a limit of which 0 means none: then every share is none, and else none is 0.
fn share_of_limit(bytes: u64, shards: u64) -> u64 {
    if bytes == 0 { 0 } else { (bytes / shards).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_budget_never_sum_above_it() {
        for shards in [1usize, 2, 7] {
            for mib in [4u64, 16, 64, 1024, 100_000] {
                let options =
                    Options { memory_bytes: mib * 1024 * 1024 * shards as u64, shards, ..Options::default() };
                options.validate().unwrap();
                let budget = ShardBudget::new(&options, shards);
                let sum = budget.memtable_bytes_max * 4
                    + budget.buffer_bytes
                    + budget.write_buffer_bytes
                    + budget.mailbox_bytes_max
                    + budget.cache_bytes;
                assert!(sum as u64 <= options.memory_bytes / shards as u64, "{mib} MiB a shard: {budget:?}");
                assert!(budget.cache_bytes > budget.memtable_bytes_max);
            }
        }
    }

    #[test]
    fn options_that_cannot_work_are_refused_with_a_remedy() {
        let tight = Options { memory_bytes: 1024, shards: 2, ..Options::default() };
        assert!(tight.validate().unwrap_err().to_string().contains("raise it or use fewer shards"));
        let homeless = Options { disk_bytes: 1, ..Options::default() };
        assert!(homeless.validate().unwrap_err().to_string().contains("local_dir"));
        let none = Options { key_groups: Some(0), ..Options::default() };
        assert!(none.validate().is_err());
    }
}
