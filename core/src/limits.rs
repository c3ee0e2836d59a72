//! Every bound of the engine in one place, with the relations between them checked at compile time.

use crate::error::{Error, Result};
use aquifer_io::Backoff;
use std::time::Duration;

/// Longest key a caller may use, in bytes.
pub const KEY_BYTES_MAX: usize = 64 * 1024;
/// Longest value a caller may store, in bytes. A small memory budget may allow less: see [`crate::Options`].
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most key groups a store can have; their number is fixed when the store is created.
pub const KEY_GROUPS_MAX: u16 = 32_768;
/// Key groups of a store that is created without saying how many.
pub const KEY_GROUPS_DEFAULT: u16 = 128;
/// Longest metadata that a checkpoint carries for its caller, in bytes.
pub const CHECKPOINT_METADATA_BYTES_MAX: usize = 64 * 1024;
/// Most entries of one page of a scan.
pub const SCAN_ENTRIES_MAX: usize = 16 * 1024;

/// Writes of one batch.
pub const BATCH_WRITES_MAX: usize = 64 * 1024;
/// Bytes of values of one batch.
pub const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Keys of one multi-get.
pub const MULTI_GET_KEYS_MAX: usize = 64 * 1024;
/// Bytes of values that one multi-get gives at most, unless it says otherwise; a small memory budget may give less at once.
pub const MULTI_GET_BYTES_DEFAULT: usize = 16 * 1024 * 1024;
/// Snapshots of one shard that may be held at once, scans of several pages included.
pub const SNAPSHOTS_MAX: usize = 1024;

/// Keys of one shard on which operations may wait for room or for a block at once; the mailbox rests at more.
pub(crate) const WAITING_KEYS_MAX: usize = 1024;
/// Operations that may wait behind each other on all such keys of one shard; the mailbox rests at more.
pub(crate) const WAITING_REQUESTS_MAX: usize = 16 * 1024;
/// What an answer counts beside its keys and values.
pub(crate) const ANSWER_OVERHEAD_BYTES: usize = 64;
/// Time in which nobody takes any of a shard's answers, and they are more than its share, before one more read is let through.
pub(crate) const ANSWERS_PATIENCE: Duration = Duration::from_millis(100);
/// So many times their share answers may be left where they are; reads are refused then.
pub(crate) const ANSWERS_LEFT_FACTOR: usize = 4;
/// Reads of blocks that take at least so much are counted while they are under way.
pub(crate) const LARGE_READ_BYTES: usize = 32 * 1024;
/// A page of a scan ends once its keys and values take this many bytes.
pub(crate) const SCAN_PAGE_BYTES: usize = 1024 * 1024;
/// Operations that may wait in one shard's mailbox; the next one is answered with `Busy`.
pub(crate) const MAILBOX_ENTRIES_MAX: usize = 64 * 1024;
/// Operations that a shard takes from its mailbox before it lets its other tasks run.
pub(crate) const MAILBOX_BATCH: usize = 256;
/// Reads of one shard that may wait for SSD or DFS at once; the mailbox rests at more.
pub(crate) const READS_IN_FLIGHT_MAX: usize = 1024;
/// Writes of one key that wait to be combined, as they are chained in one entry: more than a value may have when they cannot be combined, so that
/// nothing that was acknowledged is lost. A merge whose operands do not even fit this leaves its inputs as they are.
pub(crate) const CHAIN_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Operand from which on a merge looks for what it stands on before it is taken, so that it can be refused if the value would be too long.
pub(crate) const MERGE_LOOK_BYTES: usize = 1024 * 1024;
/// How long a merge waits for that look; then it is taken without.
pub(crate) const MERGE_LOOK_WAIT: Duration = Duration::from_secs(5);
/// Keys with large values under merges whose size a shard remembers.
pub(crate) const GROWING_KEYS_MAX: usize = 1024;
/// Raw bytes after which a data block is closed. A single larger entry makes a larger block.
pub(crate) const BLOCK_RAW_BYTES: usize = 4096;
/// What a writer may choose instead: least, and most.
pub(crate) const BLOCK_RAW_BYTES_RANGE: (usize, usize) = (4096, 64 * 1024);
/// Raw bytes of data blocks after which a partition is closed.
pub(crate) const PARTITION_RAW_BYTES: usize = 64 * 1024;
/// Largest raw or stored payload that a block header may announce: one entry of maximal key and value, and its framing.
pub(crate) const BLOCK_BYTES_MAX: u32 = 80 * 1024 * 1024;
/// The same of a data block that holds one chain longer than a value may be, which has a format version of its own.
pub(crate) const LONG_BLOCK_BYTES_MAX: u32 = 520 * 1024 * 1024;
/// Longest engine key that a segment or a manifest names as a border: of a key of maximal length, the end of a range that holds it.
pub(crate) const BORDER_BYTES_MAX: usize = 2 + KEY_BYTES_MAX + 1;
/// Data blocks of a partition, at most: of two that follow each other, the entries would not have fit one.
pub(crate) const PARTITION_BLOCKS_MAX: u64 = 2 * (PARTITION_RAW_BYTES / BLOCK_RAW_BYTES) as u64 + 1;
/// Pause before blocks of a pinned tier are fetched again from a DFS that did not answer.
pub(crate) const PIN_PAUSE: Duration = Duration::from_secs(5);
/// Largest dictionary of a segment, in bytes: zstd's own default.
pub(crate) const DICTIONARY_BYTES_MAX: usize = 112 * 1024;
/// Compaction that is behind by more full memtables than this asks other processes for help.
pub(crate) const COMPACTION_BEHIND_UNITS: u64 = 4;
/// Leases for which no job is offered after one that nobody claimed.
pub(crate) const COMPACTION_OFFERS_REST_LEASES: u32 = 8;
/// Entries between two restart points of a data block.
pub(crate) const RESTART_INTERVAL: usize = 16;
/// Largest segment: block offsets are four bytes wide.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Largest manifest that is read, in bytes.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest hot list of a manifest, in bytes: a quarter of a million data blocks or sixteen thousand, as they lie together or apart.
pub(crate) const HOT_LIST_BYTES_MAX: usize = 64 * 1024;
/// How long a checkpoint waits for the shards' parts of its hot list once its pack is uploaded; what comes later is not in it.
pub(crate) const HOT_LIST_WAIT_MS: u64 = 50;
/// Bytes that a shard's warm-up has asked for and not taken in: least, and most.
pub(crate) const WARM_UP_BYTES_IN_HAND: (u64, u64) = (256 * 1024, 4 * 1024 * 1024);
/// Extents or heads that could not be read before a warm-up is given up.
pub(crate) const WARM_UP_FAILURES_MAX: u32 = 8;
/// Merge operators of the embedder that a store may have been written with.
pub(crate) const MERGE_OPERATORS_MAX: usize = 240;
/// What a manifest says of time domain and merge operators, in bytes.
pub(crate) const AGREED_BYTES_MAX: usize = 64 * 1024;
/// Levels that segments of a manifest may be on: 0 is the newest.
pub(crate) const MANIFEST_LEVELS_MAX: u8 = 16;
/// Segments that a manifest may name.
pub(crate) const MANIFEST_SEGMENTS_MAX: usize = 256 * 1024;
/// Tries to claim an epoch while other processes claim one at the same time.
pub(crate) const EPOCH_CLAIMS_MAX: usize = 16;
/// The pauses between two such tries. All of them together: 10 s at most.
pub(crate) const EPOCH_CLAIM_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
/// Numbers, checkpoints and sequences of manifests stay below: whoever counts on from them never comes to the end of 64 bits.
pub(crate) const MANIFEST_COUNTERS_MAX: u64 = 1 << 62;
/// Epochs stay below: names of packs and jobs have ten digits for them.
pub(crate) const EPOCHS_MAX: u64 = 10_000_000_000;
/// Entries of a segment, and their raw bytes, at most: 16,384 times the largest stored segment. The sum over a manifest fits 64 bits.
pub(crate) const SEGMENT_COUNTS_MAX: u64 = 1 << 45;
/// The pauses before an upload that failed in passing is tried again.
pub(crate) const UPLOAD_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
/// Tries of a checkpoint's uploads before it is reported as failed.
pub(crate) const CHECKPOINT_TRIES: usize = 4;
/// Smallest memory budget of one shard, in bytes.
pub(crate) const SHARD_MEMORY_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// Largest memory budget of an engine, in bytes: 16 TiB.
pub(crate) const MEMORY_BYTES_MAX: u64 = 1 << 44;
/// Largest disk budget of an engine, in bytes: 1 PiB.
pub(crate) const DISK_BYTES_MAX: u64 = 1 << 50;
/// Most shards of an engine: each is a thread.
pub(crate) const SHARDS_MAX: usize = 4096;
/// Largest memtable of one shard, in bytes, whatever the budget.
pub(crate) const MEMTABLE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The leveled bottom; tiers are level 0.
pub(crate) const LEVEL_MAX: u8 = 1;
/// Sorted runs that a point read may have to consult before the flushed ones among them are merged.
pub(crate) const COMPACTION_RUNS_MAX: usize = 20;
/// Sorted runs of a key group from which on writes are slowed down, and at which most.
pub(crate) const RUNS_DEBT: (u64, u64) = (32, 80);
/// The same for what compaction is behind by, in full memtables.
pub(crate) const COMPACTION_DEBT_UNITS: (u64, u64) = (32, 128);
/// Runs of one size class that are merged, and the factor between classes; flushed memtables wait for more.
pub(crate) const COMPACTION_FAN_IN: usize = 8;
/// Most runs that one merge reads.
pub(crate) const COMPACTION_INPUTS_MAX: usize = 48;
/// Full memtables that tiers hold before a first bottom level is made of them.
pub(crate) const BOTTOM_FIRST_UNITS: u64 = 192;
/// The same in bytes, whatever the memtables' size: with it the garbage of a small store is bounded.
pub(crate) const BOTTOM_FIRST_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Full memtables above a bottom level before they are merged into it, however small it is.
pub(crate) const BOTTOM_NEXT_UNITS: u64 = 32;
/// A merge into the bottom level is cut, at key-group borders, into jobs of about this many input bytes.
pub(crate) const COMPACTION_JOB_BYTES: u64 = 128 * 1024 * 1024;
/// Bytes that a merge reads at once of each run: least, and most.
pub(crate) const COMPACTION_WINDOW_BYTES: (usize, usize) = (32 * 1024, 1024 * 1024);
/// Jobs of one shard that may be offered to other processes at once.
pub(crate) const COMPACTION_OFFERS_MAX: usize = 4;
/// Names of jobs and of what lies beside them that are read of a listing.
pub(crate) const COMPACTION_NAMES_MAX: usize = 64 * 1024;
/// Workers that one job may lose before the owner does it.
pub(crate) const COMPACTION_CLAIMS_MAX: u32 = 4;
/// The pauses of compaction after failures.
pub(crate) const COMPACTION_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// Pause of an idle shard's compaction before it looks whether something has expired, while something will: least, and most.
pub(crate) const COMPACTION_EXPIRY_PAUSE_MS: (u64, u64) = (5_000, 3_600_000);

const _: () = assert!(COMPACTION_FAN_IN >= 2 && COMPACTION_RUNS_MAX >= 2 * COMPACTION_FAN_IN);
const _: () = assert!(COMPACTION_INPUTS_MAX > COMPACTION_RUNS_MAX);
const _: () = assert!(KEY_BYTES_MAX + VALUE_BYTES_MAX + 4096 < BLOCK_BYTES_MAX as usize);
const _: () = assert!(CHAIN_BYTES_MAX + KEY_BYTES_MAX + 4096 < LONG_BLOCK_BYTES_MAX as usize);
const _: () =
    assert!(LONG_BLOCK_BYTES_MAX > BLOCK_BYTES_MAX && (LONG_BLOCK_BYTES_MAX as u64) < SEGMENT_BYTES_MAX);
const _: () = assert!(12 + MERGE_OPERATORS_MAX * (1 + 255 + 4) <= AGREED_BYTES_MAX);
const _: () = assert!(MERGE_LOOK_BYTES < VALUE_BYTES_MAX / 8);
const _: () = assert!(SEGMENT_BYTES_MAX <= u32::MAX as u64 && BLOCK_BYTES_MAX as u64 <= SEGMENT_BYTES_MAX);
const _: () = assert!(MANIFEST_SEGMENTS_MAX as u64 * 120 < MANIFEST_BYTES_MAX / 2);
const _: () = assert!(SEGMENT_COUNTS_MAX <= u64::MAX / MANIFEST_SEGMENTS_MAX as u64);
const _: () = assert!(KEY_GROUPS_MAX <= 32_768, "group numbers and their exclusive end fit two bytes");

/// Refuses what is above a limit.
pub(crate) fn check_most(name: &str, value: u64, most: u64) -> Result<()> {
    if value > most {
        return Err(Error::invalid(format!("{name} is {value}; at most {most} are possible")));
    }
    Ok(())
}
