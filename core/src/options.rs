//! How an engine is opened: plain data with defaults and one `validate`.

use crate::compaction_options::CompactionOptions;
use crate::compression_options::CompressionOptions;
use crate::disk_options::DiskOptions;
use crate::error::{Error, Result};
use crate::key::Route;
use crate::limits::{MEMORY_BYTES_MAX, SHARD_MEMORY_BYTES_MIN, SHARDS_MAX, check_most};
use crate::merge_operator::MergeOperator;
use aquifer_io::{BackendChoice, Core};
use std::fmt;
use std::sync::Arc;

/// Whose time decides what has expired. A store keeps to one, as moments of the two cannot be compared: the first opening that names it decides, and
/// another one is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub enum CpuPinning {
    /// Each shard to the CPU, of those that this process may use, to which the process has tied the fewest shards of any engine.
    /// Other processes are not seen: where several pin their threads on one machine, give each its own [`CpuPinning::Cores`] (or its own
    /// mask, by `taskset` or the container), or leave the threads to the scheduler with [`CpuPinning::None`].
    #[default]
    Spread,
    /// None: the scheduler moves the threads as it likes.
    None,
    /// The first shard to the first CPU named, and so on, round and round if there are more shards than names. Each must be among
    /// [`crate::cores_available`], named once. Opening fails where the system refuses.
    Cores(Vec<usize>),
}

impl CpuPinning {
    /// # Errors
    /// `Invalid`, with the CPUs that can be named.
    fn validate(&self) -> Result<()> {
        let Self::Cores(cores) = self else { return Ok(()) };
        let available = aquifer_io::cores_available();
        let mut once = std::collections::BTreeSet::new();
        let bad = cores.iter().find(|core| !available.contains(core) || !once.insert(**core));
        match bad {
            Some(core) => Err(Error::invalid(format!(
                "cpu_pinning names CPU {core}; each of {available:?} can be named once, as this process may use these"
            ))),
            None if cores.is_empty() => Err(Error::invalid(
                "cpu_pinning names no CPU: say CpuPinning::None to leave the threads to the scheduler",
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

/// Options of [`crate::Engine::open`]: plain data, in groups.
///
/// ```
/// use aquifer::{CompressionOptions, Compression, DiskOptions, Options};
///
/// let options = Options {
///     memory_bytes: 1 << 30,
///     disk: DiskOptions { dir: Some("/mnt/nvme/job-7".into()), bytes: 100 << 30, ..DiskOptions::default() },
///     compression: CompressionOptions { bottom_blocks: Some(Compression::Zstd { level: 3 }), ..Default::default() },
///     ..Options::default()
/// };
/// assert!(options.validate().is_ok());
/// ```
#[derive(Clone)]
pub struct Options {
    /// Key groups of the store, 1 to 32,768: fixed when it is created. `None` takes what an existing store has, and 128 for a
    /// new one. Opening with another number than the store's is an error.
    pub key_groups: Option<u16>,
    /// Merge operators beside the built-in `append`, `add`, `max`, `min` and `set-union`. The store remembers their names and versions: opening it with another
    /// version is refused.
    pub merge_operators: Vec<Arc<dyn MergeOperator>>,
    /// Whose time decides what has expired: by default the store's.
    pub ttl_time: TtlTime,

    /// Shards, each on a thread of its own. 0 means one per core that this process may use.
    pub shards: usize,
    /// Which CPUs these threads are tied to.
    pub cpu_pinning: CpuPinning,
    /// The machine under the shards: io_uring, or a pool of threads.
    pub io: BackendChoice,
    /// Seed of everything random: shards, names, jitter. `None` seeds from the operating system.
    pub seed: Option<u64>,

    /// Budget in bytes for memtables, caches, filters, indexes and buffers together; at least 4 MiB a shard. Can be changed while the engine runs:
    /// [`crate::Engine::set_memory_bytes`].
    pub memory_bytes: u64,
    /// Whether each checkpoint lists what is in use (at most 64 KiB of its manifest), and an engine that opens fetches what is listed, the hottest
    /// first, in the background, as far as memory and SSD have room.
    pub warm_up: bool,
    /// The local disk.
    pub disk: DiskOptions,

    /// How data blocks are compressed.
    pub compression: CompressionOptions,
    /// What compaction may take of this machine, and what other processes may do of it.
    pub compaction: CompactionOptions,
}

impl Default for Options {
    /// 256 MiB of memory, no SSD tier, one shard per core, zstd level 1, with warm-up.
    fn default() -> Self {
        Self {
            key_groups: None,
            merge_operators: Vec::new(),
            ttl_time: TtlTime::default(),
            shards: 0,
            cpu_pinning: CpuPinning::Spread,
            io: BackendChoice::Auto,
            seed: None,
            memory_bytes: 256 * 1024 * 1024,
            warm_up: true,
            disk: DiskOptions::default(),
            compression: CompressionOptions::default(),
            compaction: CompactionOptions::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operators: Vec<_> = self.merge_operators.iter().map(|operator| operator.name()).collect();
        f.debug_struct("Options")
            .field("key_groups", &self.key_groups)
            .field("merge_operators", &operators)
            .field("ttl_time", &self.ttl_time)
            .field("shards", &self.shards)
            .field("cpu_pinning", &self.cpu_pinning)
            .field("io", &self.io)
            .field("seed", &self.seed)
            .field("memory_bytes", &self.memory_bytes)
            .field("warm_up", &self.warm_up)
            .field("disk", &self.disk)
            .field("compression", &self.compression)
            .field("compaction", &self.compaction)
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
        check_most("memory_bytes", self.memory_bytes, MEMORY_BYTES_MAX)?;
        check_most("shards", self.shard_count() as u64, SHARDS_MAX as u64)?;
        let needed = SHARD_MEMORY_BYTES_MIN.saturating_mul(self.shard_count() as u64);
        if self.memory_bytes < needed {
            return Err(Error::invalid(format!(
                "memory_bytes is {}; {} shards need at least {needed}: raise it or use fewer shards",
                self.memory_bytes,
                self.shard_count()
            )));
        }
        self.cpu_pinning.validate()?;
        self.disk.validate()?;
        self.compression.validate()?;
        self.compaction.validate()
    }

    /// Shards to start: as asked, or one per core.
    pub(crate) fn shard_count(&self) -> usize {
        if self.shards > 0 { self.shards } else { aquifer_io::cores_available().len().max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression_options::Compression;
    use crate::limits::DICTIONARY_BYTES_MAX;

    #[test]
    fn options_that_cannot_work_are_refused_with_a_remedy() {
        let tight = Options { memory_bytes: 1024, shards: 2, ..Options::default() };
        assert!(tight.validate().unwrap_err().to_string().contains("raise it or use fewer shards"));
        let disk = DiskOptions { bytes: 1, ..DiskOptions::default() };
        let homeless = Options { disk, ..Options::default() };
        assert!(homeless.validate().unwrap_err().to_string().contains("disk.dir"));
        let usual = CompressionOptions::default();
        for compression in [
            CompressionOptions { blocks: Compression::Zstd { level: 99 }, ..usual },
            CompressionOptions { bottom_blocks: Some(Compression::Zstd { level: 23 }), ..usual },
            CompressionOptions { bottom_dictionary_bytes_max: DICTIONARY_BYTES_MAX + 1, ..usual },
        ] {
            let bad = Options { compression, ..Options::default() };
            assert!(bad.validate().unwrap_err().to_string().contains("are possible"), "{bad:?}");
        }
        for cores in [vec![], vec![100_000], vec![aquifer_io::cores_available()[0]; 2]] {
            let cpu_pinning = CpuPinning::Cores(cores);
            let error = Options { cpu_pinning, ..Options::default() }.validate().unwrap_err();
            assert!(error.to_string().starts_with("cpu_pinning names"), "{error}");
        }
        let none = Options { key_groups: Some(0), ..Options::default() };
        assert!(none.validate().is_err());
    }
}
