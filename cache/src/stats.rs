//! What the cache has done: plain counters, a load and an add each, always on.

use crate::key::{Class, ReadClass, Tier};
use crate::rejection::Rejection;
use std::sync::Arc;

/// Counters of one class in one tier. `entries` and `bytes` are as of now, the rest since the cache was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Lookups answered by this tier.
    pub hits: u64,
    /// Lookups this tier was asked for and could not answer.
    pub misses: u64,
    /// Entries taken in.
    pub inserts: u64,
    /// Entries dropped to make room.
    pub evictions: u64,
    /// Entries not taken in: larger than the budget, or (SSD) the writer was behind.
    pub rejections: u64,
    /// Entries held now.
    pub entries: u64,
    /// Bytes held now; with the overhead of entries in memory, with headers and padding on SSD.
    pub bytes: u64,
}

/// Counters of one tier, per class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierStats {
    /// Counters of [`Class::Data`].
    pub data: ClassStats,
    /// Counters of [`Class::Meta`].
    pub meta: ClassStats,
}

impl TierStats {
    pub(crate) fn class_mut(&mut self, class: Class) -> &mut ClassStats {
        match class {
            Class::Data => &mut self.data,
            Class::Meta => &mut self.meta,
        }
    }

    /// Hits of both classes.
    pub fn hits(&self) -> u64 {
        self.data.hits + self.meta.hits
    }

    /// Bytes held now by both classes.
    pub fn bytes(&self) -> u64 {
        self.data.bytes + self.meta.bytes
    }
}

/// Counters of loads: what neither a memory hit nor an insert is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadStats {
    /// Callers that waited for a load somebody else had begun.
    pub shared: u64,
    /// Blocks that came from their object, or should have. Without what merges read.
    pub fetches: u64,
    /// Those of them that could not be read, or did not decode.
    pub fetch_errors: u64,
    /// Bytes of these blocks, without what was read beside them.
    pub fetched_bytes: u64,
    /// Loads in flight now.
    pub in_flight: u64,
}

/// Entries that the SSD tier did not take in, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SsdRejections {
    /// Larger than an entry may be.
    pub too_large: u64,
    /// The writer was behind, or no region could be begun yet.
    pub behind: u64,
    /// Not wanted often enough to be worth a write.
    pub cold: u64,
    /// The day's bytes were used up.
    pub budget: u64,
}

impl SsdRejections {
    pub(crate) fn count(&mut self, rejection: Rejection) {
        match rejection {
            Rejection::TooLarge => self.too_large += 1,
            Rejection::Behind | Rejection::NoRegion => self.behind += 1,
            Rejection::Cold => self.cold += 1,
            Rejection::Budget => self.budget += 1,
            Rejection::Off => {}
        }
    }
}

/// The SSD tier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SsdStats {
    /// Hits, misses, entries and bytes.
    pub tier: TierStats,
    /// Hits served from the write buffer (counted in `tier` too).
    pub buffer_hits: u64,
    /// Entries not taken in, by reason (counted in `tier` too).
    pub rejections: SsdRejections,
    /// Reads issued to the device.
    pub reads: u64,
    /// Bytes read from the device.
    pub read_bytes: u64,
    /// Bytes of entries among these that were asked for: `read_bytes` by this is the read amplification.
    pub wanted_bytes: u64,
    /// Writes issued to the device.
    pub writes: u64,
    /// Bytes written to the device, everything included.
    pub written_bytes: u64,
    /// The part of these that were snapshots of the index.
    pub snapshot_bytes: u64,
    /// Bytes of entries taken in: `written_bytes` by this is the write amplification.
    pub taken_bytes: u64,
    /// Hot entries that were written once more when their region was begun anew (reinsertion).
    pub kept_entries: u64,
    /// Bytes of these.
    pub kept_bytes: u64,
    /// Reads that the device or the file system refused.
    pub read_errors: u64,
    /// Entries that were there when the tier was opened.
    pub recovered_entries: u64,
    /// How long that took, in milliseconds.
    pub recovery_ms: u64,
    /// Of entries that came with flushed segments and have left: how many in a hundred were read. `None` while too few are known.
    pub flushed_used_percent: Option<u32>,
    /// The same of compacted segments.
    pub compacted_used_percent: Option<u32>,
    /// The same of entries that were fetched for a reader.
    pub fetched_used_percent: Option<u32>,
    /// Why the tier was begun anew although there was a file, in one line.
    pub start_note: Option<Arc<str>>,
    /// Entries whose header, identity or checksum was wrong: dropped, and read from remote instead.
    pub bad_entries: u64,
    /// Size of the file. Never more than `disk_bytes` of the options.
    pub file_bytes: u64,
    /// Memory of the index and of the admission. Not part of the memory tier's budget.
    pub index_bytes: u64,
    /// Memory of the write buffer. Never more than `write_buffer_bytes` of the options.
    pub pending_bytes: u64,
    /// The part of it that is full and waits for its write, or is being written.
    pub queued_bytes: u64,
    /// Why there is no SSD tier, if one was asked for and is not there: the first error, in one line.
    pub off_reason: Option<Arc<str>>,
}

/// Reads of one class of readers from one tier, as the read plan made them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadStats {
    /// Reads begun: of the file, or ranged GETs.
    pub requests: u64,
    /// Reads in flight now.
    pub in_flight: u64,
    /// Blocks that these reads brought to those who wanted them.
    pub blocks: u64,
    /// Blocks among these that joined a read in flight.
    pub joined: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes of the blocks that somebody wanted.
    pub wanted_bytes: u64,
    /// Time that blocks waited before their read began, all together, in ns.
    pub queue_ns: u64,
    /// Time that reads took, all together, in ns.
    pub read_ns: u64,
}

impl ReadStats {
    /// Blocks a read.
    pub fn merge_factor(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.blocks as f64 / self.requests as f64)
    }

    /// Bytes read for each byte that somebody wanted.
    pub fn read_amplification(&self) -> Option<f64> {
        (self.wanted_bytes > 0).then(|| self.read_bytes as f64 / self.wanted_bytes as f64)
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.in_flight += other.in_flight;
        self.blocks += other.blocks;
        self.joined += other.joined;
        self.read_bytes += other.read_bytes;
        self.wanted_bytes += other.wanted_bytes;
        self.queue_ns += other.queue_ns;
        self.read_ns += other.read_ns;
    }
}

/// The read plan, by tier and class of readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanStats {
    /// Reads of the file, in the order of [`ReadClass::ALL`].
    pub ssd: [ReadStats; 4],
    /// Reads of objects, in the same order.
    pub remote: [ReadStats; 4],
    /// Time to the first byte of the file, as measured lately, in ns.
    pub ssd_request_ns: u64,
    /// Bytes of the file that take as long, as measured lately.
    pub ssd_request_bytes: u64,
    /// Time to the first byte of an object, as measured lately, in ns.
    pub remote_request_ns: u64,
    /// Bytes of an object that take as long, as measured lately.
    pub remote_request_bytes: u64,
}

impl PlanStats {
    pub(crate) fn class_mut(&mut self, tier: Tier, reads: ReadClass) -> &mut ReadStats {
        let [foreground, read_ahead, warm_up, compaction] = match tier {
            Tier::Remote => &mut self.remote,
            Tier::Memory | Tier::Ssd => &mut self.ssd,
        };
        match reads {
            ReadClass::Foreground => foreground,
            ReadClass::ReadAhead => read_ahead,
            ReadClass::WarmUp => warm_up,
            ReadClass::Compaction => compaction,
        }
    }

    /// All reads of the file.
    pub fn ssd_all(&self) -> ReadStats {
        sum(&self.ssd)
    }

    /// All reads of objects.
    pub fn remote_all(&self) -> ReadStats {
        sum(&self.remote)
    }
}

fn sum(classes: &[ReadStats]) -> ReadStats {
    let mut all = ReadStats::default();
    classes.iter().for_each(|class| all.add(class));
    all
}

/// Everything at one moment. Cheap: a copy of counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// The memory tier.
    pub memory: TierStats,
    /// The SSD tier. All zero when none was asked for.
    pub ssd: SsdStats,
    /// Loads past both tiers.
    pub loads: LoadStats,
    /// What became of the loads: reads of the file and of objects.
    pub plan: PlanStats,
}
