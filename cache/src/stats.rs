//! What the cache has done: plain counters, a load and an add each, always on.

use crate::key::Class;
use crate::ssd::Rejection;
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
    /// Calls of `fetch`: blocks asked of remote.
    pub fetches: u64,
    /// Fetches that failed or brought bytes that did not decode.
    pub fetch_errors: u64,
    /// Bytes brought by `fetch`.
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
}
