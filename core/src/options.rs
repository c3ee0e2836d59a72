//! How an engine is opened: plain data with defaults and one `validate`.

use crate::compaction_options::{CompactionBudget, RemoteCompaction};
use crate::compression::{BlockFormat, Compression, LevelFormats};
use crate::error::{Error, Result};
use crate::key::Route;
use crate::limits::{
    DICTIONARY_BYTES_MAX, DISK_BYTES_MAX, MEMORY_BYTES_MAX, SHARD_MEMORY_BYTES_MIN, SHARDS_MAX,
};
use crate::merge_operator::MergeOperator;
use crate::on_open::OnOpen;
use aquifer_cache::SsdMode;
use aquifer_io::{BackendChoice, Core};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whose time decides what has expired. A store keeps to one, as moments of the two cannot be compared: the first opening that names it decides, and
/// another one is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlTime {
    /// That of the store; a new one takes the machine's clock. Of a store that is older than the record and holds entries that expire nobody knows it:
    /// then nothing expires, and writes with a time to live are refused until an opening names it.
    #[default]
    AsStored,
    /// The machine's clock, in milliseconds of the Unix epoch.
    Processing,
    /// What the caller says: [`crate::Client::advance_event_time`]. Each checkpoint keeps it, and a restore goes on from there.
    Event,
}

/// A time domain that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    Processing,
    Event,
}

impl Domain {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Event => "event",
        }
    }
}

impl TtlTime {
    pub(crate) const fn domain(self) -> Option<Domain> {
        match self {
            Self::AsStored => None,
            Self::Processing => Some(Domain::Processing),
            Self::Event => Some(Domain::Event),
        }
    }
}

/// Which CPUs the shards' threads are tied to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// Each shard to the CPU, of those that this process may use, to which the process has tied the fewest shards of any engine.
    /// Other processes are not seen: where several pin their threads on one machine, give each its own [`Pinning::Cores`] (or its own
    /// mask, by `taskset` or the container), or leave the threads to the scheduler with [`Pinning::None`].
    #[default]
    Spread,
    /// None: the scheduler moves the threads as it likes.
    None,
    /// The first shard to the first CPU named, and so on, round and round if there are more shards than names. Each must be among
    /// [`aquifer_io::cores_available`], named once. Opening fails where the system refuses.
    Cores(Vec<usize>),
}

impl Pinning {
    /// # Errors
    /// `Invalid`, with the CPUs that can be named.
    fn validate(&self) -> Result<()> {
        let Self::Cores(cores) = self else { return Ok(()) };
        let available = aquifer_io::cores_available();
        let mut once = std::collections::BTreeSet::new();
        let bad = cores.iter().find(|core| !available.contains(core) || !once.insert(**core));
        match bad {
            Some(core) => Err(Error::invalid(format!(
                "pinning names CPU {core}; each of {available:?} can be named once, as this process may use these"
            ))),
            None if cores.is_empty() => Err(Error::invalid(
                "pinning names no CPU: say Pinning::None to leave the threads to the scheduler",
            )),
            None => Ok(()),
        }
    }

    /// The CPU of one shard.
    pub(crate) fn of_shard(&self, shard: usize) -> Core {
        match self {
            Self::Spread => Core::LeastUsed,
            Self::None => Core::Any,
            Self::Cores(cores) => shard
                .checked_rem(cores.len())
                .and_then(|at| cores.get(at))
                .map_or(Core::Any, |&core| Core::Number(core)),
        }
    }
}

/// Options of [`crate::Engine::open`].
#[derive(Clone)]
pub struct Options {
    /// Key groups of the store, 1 to 32,768: fixed when it is created. `None` takes what an existing store has, and 128 for a
    /// new one. Opening with another number than the store's is an error.
    pub key_groups: Option<u16>,
    /// Shards, each on a thread of its own. 0 means one per core that this process may use.
    pub shards: usize,
    /// Which CPUs these threads are tied to.
    pub pinning: Pinning,
    /// Budget in bytes for memtables, caches, filters, indexes and buffers together; at least 4 MiB a shard. Can be changed while the engine runs:
    /// [`crate::Engine::set_memory_bytes`].
    pub memory_bytes: u64,
    /// Budget in bytes for the SSD tier of the cache under `local_dir`. 0 is allowed: no SSD tier. Can be changed while the engine runs:
    /// [`crate::Engine::set_disk_bytes`].
    pub disk_bytes: u64,
    /// Folder for the SSD tier; created if absent, used by one engine at a time. Needed when `disk_bytes` is above 0. Everything
    /// in it may be lost at any time.
    pub local_dir: Option<PathBuf>,
    /// What the SSD tier keeps: what is read ([`SsdMode::BestEffort`]), or everything ([`SsdMode::Pinned`]): then opening fetches what is not local yet,
    /// `disk_bytes` must be enough for it, and reads go to the DFS no more. If the state outgrows the budget while the engine runs, nothing fails:
    /// the rest is read from the DFS, and [`crate::ShardStats::not_local_bytes`] counts it.
    pub disk_mode: SsdMode,
    /// Told how far the opening is, while it makes the state local; from the shards' threads, one call at a time: be quick.
    pub on_open: Option<OnOpen>,
    /// Most bytes that may be written to the SSD tier in any 24 hours, for the wear of the device. 0 = no limit.
    pub disk_write_bytes_per_day: u64,
    /// Most bytes a second that may be written to the SSD tier, about. 0 = no limit.
    pub disk_write_bytes_per_s: u64,
    /// Whether each checkpoint lists what is in use (at most 64 KiB of its manifest), and an engine that opens fetches what is listed, the hottest
    /// first, in the background, as far as memory and SSD have room.
    pub warm_up: bool,
    /// The machine under the shards: io_uring, or a pool of threads.
    pub io: BackendChoice,
    /// Compression of data blocks that flushes, checkpoints and merges of tiers write.
    pub compression: Compression,
    /// The same of the bottom level, where most data lies and is rewritten least. `None`: as `compression`. Any store can be opened with
    /// any of these: what is written says how.
    pub compression_bottom: Option<Compression>,
    /// Largest dictionary in bytes that each segment of the bottom level is compressed with, up to 112 KiB; 0 for none. It helps with
    /// small values that are alike, and costs the training of one for each segment: tens of milliseconds at once of the shard's
    /// thread, or of a worker's, during which no read runs.
    pub dictionary_bytes_max: usize,
    /// What compaction may take of the machine.
    pub compaction: CompactionBudget,
    /// Compaction by other processes: `None` offers them nothing.
    pub remote_compaction: Option<RemoteCompaction>,
    /// Merge operators beside the built-in `append`, `add`, `max`, `min` and `set-union`. The store remembers their names and versions: opening it with another
    /// version is refused.
    pub merge_operators: Vec<Arc<dyn MergeOperator>>,
    /// Whose time decides what has expired: by default the store's.
    pub ttl_time: TtlTime,
    /// Seed of everything random: shards, names, jitter. `None` seeds from the operating system.
    pub seed: Option<u64>,
}

impl Default for Options {
    /// 256 MiB of memory, no SSD tier, one shard per core, zstd level 1, with warm-up.
    fn default() -> Self {
        Self {
            key_groups: None,
            shards: 0,
            pinning: Pinning::Spread,
            memory_bytes: 256 * 1024 * 1024,
            disk_bytes: 0,
            local_dir: None,
            disk_mode: SsdMode::BestEffort,
            on_open: None,
            disk_write_bytes_per_day: 0,
            disk_write_bytes_per_s: 0,
            warm_up: true,
            io: BackendChoice::Auto,
            compression: Compression::Zstd { level: 1 },
            compression_bottom: None,
            dictionary_bytes_max: 0,
            compaction: CompactionBudget::default(),
            remote_compaction: None,
            merge_operators: Vec::new(),
            ttl_time: TtlTime::AsStored,
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
            .field("pinning", &self.pinning)
            .field("memory_bytes", &self.memory_bytes)
            .field("disk_bytes", &self.disk_bytes)
            .field("local_dir", &self.local_dir)
            .field("disk_mode", &self.disk_mode)
            .field("disk_write_bytes_per_day", &self.disk_write_bytes_per_day)
            .field("disk_write_bytes_per_s", &self.disk_write_bytes_per_s)
            .field("warm_up", &self.warm_up)
            .field("io", &self.io)
            .field("compression", &self.compression)
            .field("compression_bottom", &self.compression_bottom)
            .field("dictionary_bytes_max", &self.dictionary_bytes_max)
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
        for (name, bytes, most) in [
            ("memory_bytes", self.memory_bytes, MEMORY_BYTES_MAX),
            ("disk_bytes", self.disk_bytes, DISK_BYTES_MAX),
        ] {
            check_most(name, bytes, most)?;
        }
        check_most("shards", self.shard_count() as u64, SHARDS_MAX as u64)?;
        let needed = SHARD_MEMORY_BYTES_MIN.saturating_mul(self.shard_count() as u64);
        if self.memory_bytes < needed {
            return Err(Error::invalid(format!(
                "memory_bytes is {}; {} shards need at least {needed}: raise it or use fewer shards",
                self.memory_bytes,
                self.shard_count()
            )));
        }
        self.pinning.validate()?;
        self.compaction.validate()?;
        self.validate_compression()?;
        self.remote_compaction.as_ref().map_or(Ok(()), RemoteCompaction::validate)?;
        self.validate_disk_mode()?;
        check_local_dir(self.disk_bytes, self.local_dir.as_deref()).map(drop)
    }

    fn validate_disk_mode(&self) -> Result<()> {
        if self.disk_mode == SsdMode::Pinned && self.disk_bytes == 0 {
            return Err(Error::invalid(
                "disk_mode is Pinned and disk_bytes is 0: give the disk that the state needs, or set disk_mode to BestEffort",
            ));
        }
        if self.disk_mode == SsdMode::Pinned && self.disk_write_bytes_per_day > 0 {
            return Err(Error::invalid(
                "disk_mode is Pinned with disk_write_bytes_per_day: what is pinned waits for its write, which may be a day; set it to 0, or \
                 disk_mode to BestEffort",
            ));
        }
        Ok(())
    }

    fn validate_compression(&self) -> Result<()> {
        let levels = zstd::compression_level_range();
        for (name, compression) in
            [("compression", Some(self.compression)), ("compression_bottom", self.compression_bottom)]
        {
            if let Some(Compression::Zstd { level }) = compression
                && !levels.contains(&level)
            {
                return Err(Error::invalid(format!("{name} is zstd level {level}; {levels:?} are possible")));
            }
        }
        if self.dictionary_bytes_max > DICTIONARY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "dictionary_bytes_max is {}; at most {DICTIONARY_BYTES_MAX} are possible",
                self.dictionary_bytes_max
            )));
        }
        Ok(())
    }

    /// How blocks are stored by level.
    pub(crate) fn formats(&self) -> LevelFormats {
        let fresh = BlockFormat { compression: self.compression, dictionary_bytes_max: 0 };
        let compression = self.compression_bottom.unwrap_or(self.compression);
        LevelFormats {
            fresh,
            bottom: BlockFormat { compression, dictionary_bytes_max: self.dictionary_bytes_max },
        }
    }

    /// Shards to start: as asked, or one per core.
    pub(crate) fn shard_count(&self) -> usize {
        if self.shards > 0 { self.shards } else { aquifer_io::cores_available().len().max(1) }
    }
}

/// Refuses what is above a limit.
pub(crate) fn check_most(name: &str, value: u64, most: u64) -> Result<()> {
    if value > most {
        return Err(Error::invalid(format!("{name} is {value}; at most {most} are possible")));
    }
    Ok(())
}

/// The folder that a disk budget is spent in; `None` if it is 0.
pub(crate) fn check_local_dir(disk_bytes: u64, local_dir: Option<&Path>) -> Result<Option<&Path>> {
    match (disk_bytes, local_dir) {
        (0, _) => Ok(None),
        (_, Some(folder)) => Ok(Some(folder)),
        (_, None) => Err(Error::invalid(
            "disk_bytes is above 0 but local_dir is not set: name a folder, or set disk_bytes to 0",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_work_are_refused_with_a_remedy() {
        let tight = Options { memory_bytes: 1024, shards: 2, ..Options::default() };
        assert!(tight.validate().unwrap_err().to_string().contains("raise it or use fewer shards"));
        let homeless = Options { disk_bytes: 1, ..Options::default() };
        assert!(homeless.validate().unwrap_err().to_string().contains("local_dir"));
        for bad in [
            Options { compression: Compression::Zstd { level: 99 }, ..Options::default() },
            Options { compression_bottom: Some(Compression::Zstd { level: 23 }), ..Options::default() },
            Options { dictionary_bytes_max: DICTIONARY_BYTES_MAX + 1, ..Options::default() },
        ] {
            assert!(bad.validate().unwrap_err().to_string().contains("are possible"), "{bad:?}");
        }
        for cores in [vec![], vec![100_000], vec![aquifer_io::cores_available()[0]; 2]] {
            let pinning = Pinning::Cores(cores);
            let error = Options { pinning, ..Options::default() }.validate().unwrap_err();
            assert!(error.to_string().starts_with("pinning names"), "{error}");
        }
        let none = Options { key_groups: Some(0), ..Options::default() };
        assert!(none.validate().is_err());
    }
}
