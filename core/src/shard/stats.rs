//! What a shard tells of itself.

use crate::shard::shard_core::ShardCore;
use crate::stats::ShardStats;
use crate::version::SortedRun;

impl ShardCore {
    pub(crate) fn stats(&self) -> ShardStats {
        let version = self.version();
        let counters = &self.counters;
        let locality = self.locality().unwrap_or_default();
        ShardStats {
            shard: self.id,
            memtable_bytes: self.memtable.borrow().bytes() as u64,
            frozen_bytes: version.frozen_bytes() as u64,
            point_index_bytes: self.points.borrow().bytes() as u64,
            runs: version.depth(&self.groups) as u64,
            segments: version.segments().count() as u64,
            segment_bytes: version.runs.iter().map(SortedRun::bytes).sum(),
            reads_immediate: counters.reads_immediate.get(),
            reads_waited: counters.reads_waited.get(),
            waiting: self.waiting.requests() as u64,
            snapshots: self.snapshots.count() as u64,
            writes: counters.writes.get(),
            write_stalls: counters.write_stalls.get(),
            write_wait: self.pressure.wait(),
            flushes: counters.flushes.get(),
            flushed_bytes: counters.flushed_bytes.get(),
            compactions: counters.compactions.get(),
            compacted_bytes: counters.compacted_bytes.get(),
            copied_bytes: counters.copied_bytes.get(),
            compaction_errors: counters.compaction_errors.get(),
            last_compaction_error: self.compaction.last_error(),
            warm_up: self.warm_up.stats(),
            pinned_bytes: locality.bytes,
            not_local_bytes: locality.missing_bytes,
            is_all_local: locality.is_all,
            cache: self.blocks.cache.stats(),
            io: aquifer_io::metrics(),
        }
    }
}
