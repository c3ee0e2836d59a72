//! Numbers about a running engine.

use aquifer_cache::CacheStats;
use aquifer_io::IoMetrics;

/// Numbers of one shard, at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ShardStats {
    /// Which shard.
    pub shard: usize,
    /// Bytes of the memtable that takes writes, by its own account.
    pub memtable_bytes: u64,
    /// Bytes of memtables that wait for their upload.
    pub frozen_bytes: u64,
    /// Bytes of the index of keys whose block is in memory. They are part of what the cache may take.
    pub point_index_bytes: u64,
    /// Sorted runs of segments that a read of one key may have to look into, at most: into one segment of each.
    pub runs: u64,
    /// Segments that reads of this shard may touch.
    pub segments: u64,
    /// Bytes of these, before clipping to the shard's key groups.
    pub segment_bytes: u64,
    /// Reads answered without waiting for SSD or DFS.
    pub reads_immediate: u64,
    /// Reads that waited for SSD or DFS.
    pub reads_waited: u64,
    /// Operations that wait for room or for a block before they take effect.
    pub waiting: u64,
    /// Snapshots that are held, open scans of several pages included.
    pub snapshots: u64,
    /// Writes taken.
    pub writes: u64,
    /// Times that writes had to wait for an upload.
    pub write_stalls: u64,
    /// Why writes wait at this moment.
    pub write_wait: WriteWait,
    /// Segments written and uploaded, checkpoints included.
    pub flushes: u64,
    /// Bytes of these.
    pub flushed_bytes: u64,
    /// Merges of sorted runs.
    pub compactions: u64,
    /// Bytes that these wrote.
    pub compacted_bytes: u64,
    /// Bytes that these copied as they were stored, because no other input reached into them.
    pub copied_bytes: u64,
    /// Merges that failed, for example because the DFS was away; each is tried again. Also merges in which an operator of the embedder
    /// panicked: they went through, with its operands as they were.
    pub compaction_errors: u64,
    /// What the last of these said.
    pub last_compaction_error: Option<String>,
    /// What was fetched because it was in use before the restore.
    pub warm_up: WarmUpStats,
    /// With a pinned disk tier ([`crate::SsdMode::Pinned`]): stored bytes that are to be local.
    pub pinned_bytes: u64,
    /// Those of them that are not, because the disk budget is too small by now or the tier was switched off
    /// ([`crate::SsdStats::off_reason`]): they are read from the DFS. For a moment also those of a segment that another process merged.
    pub not_local_bytes: u64,
    /// With a pinned disk tier: every block of the state is on the SSD.
    pub is_all_local: bool,
    /// The cache.
    pub cache: CacheStats,
    /// File operations of the shard's thread.
    pub io: IoMetrics,
}

/// Numbers of all shards of an engine.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EngineStats {
    /// One entry a shard, in their order.
    pub shards: Vec<ShardStats>,
}

impl EngineStats {
    /// Whether every block of the state is on the SSD: only ever so with a pinned disk tier.
    pub fn is_all_local(&self) -> bool {
        self.shards.iter().all(|shard| shard.is_all_local)
    }

    /// The sum over all shards of what `of` reads off each.
    pub fn sum(&self, of: impl Fn(&ShardStats) -> u64) -> u64 {
        self.shards.iter().map(of).sum()
    }
}

/// Why writes wait, if they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteWait {
    /// They do not.
    #[default]
    None,
    /// They are slowed down: flushes or compaction are behind.
    Paced,
    /// Memtables and uploads take all of their memory: a write waits for the next upload.
    Memory,
    /// The same, and the DFS does not answer: writes wait until it does. What is cached can be read.
    StoreAway,
}

/// What the warm-up of a shard has done. An extent is a partition of a segment: its meta, and those of its data blocks that were in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmUpStats {
    /// Extents listed for this shard by the checkpoint that it started from.
    pub listed: u64,
    /// Extents of which something was fetched, from the DFS or from the SSD.
    pub warmed: u64,
    /// Extents that were left: they were here already, their segment was replaced meanwhile, or there was no room.
    pub skipped: u64,
    /// Extents that could not be read, or not whole. After several the warm-up ends; reads go on as without it.
    pub failed: u64,
    /// Bytes of blocks and metas taken in, as they are stored.
    pub bytes: u64,
    /// It goes on.
    pub is_running: bool,
}
