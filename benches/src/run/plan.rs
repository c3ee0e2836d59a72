//! What the read plan of the cache made of the blocks that were asked for: per tier and class of readers.

use aquifer::EngineStats;
use aquifer_cache::{ReadClass, ReadStats};

use crate::result::quotient;

/// Counts that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Reads {
    requests: u64,
    blocks: u64,
    read_bytes: u64,
    wanted_bytes: u64,
    queue_ns: u64,
}

/// Of the SSD and of the DFS, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PlanCounts {
    ssd: [Reads; 4],
    dfs: [Reads; 4],
}

impl Reads {
    fn add(&mut self, stats: &ReadStats) {
        self.requests += stats.requests;
        self.blocks += stats.blocks;
        self.read_bytes += stats.read_bytes;
        self.wanted_bytes += stats.wanted_bytes;
        self.queue_ns += stats.queue_ns;
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            blocks: self.blocks.saturating_sub(earlier.blocks),
            read_bytes: self.read_bytes.saturating_sub(earlier.read_bytes),
            wanted_bytes: self.wanted_bytes.saturating_sub(earlier.wanted_bytes),
            queue_ns: self.queue_ns.saturating_sub(earlier.queue_ns),
        }
    }
}

impl PlanCounts {
    /// Of all shards.
    pub(crate) fn of(stats: &EngineStats) -> Self {
        let mut counts = Self::default();
        for plan in stats.shards.iter().map(|shard| &shard.cache.plan) {
            counts.ssd.iter_mut().zip(&plan.ssd).for_each(|(reads, stats)| reads.add(stats));
            counts.dfs.iter_mut().zip(&plan.remote).for_each(|(reads, stats)| reads.add(stats));
        }
        counts
    }

    /// What came since.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let since = |now: &[Reads; 4], earlier: &[Reads; 4]| {
            let mut since = *now;
            since.iter_mut().zip(earlier).for_each(|(reads, earlier)| *reads = reads.since(earlier));
            since
        };
        Self { ssd: since(&self.ssd, &earlier.ssd), dfs: since(&self.dfs, &earlier.dfs) }
    }

    /// Blocks a read, bytes read for each byte wanted, and how long a block waited for its read to leave: of the classes that read.
    pub(crate) fn values(&self) -> Vec<(String, f64)> {
        let mut values = Vec::new();
        for (tier, classes) in [("ssd", &self.ssd), ("dfs", &self.dfs)] {
            for (class, reads) in ReadClass::ALL.iter().zip(classes) {
                let name = |what: &str| format!("{tier}_{}_{what}", class.name().replace('-', "_"));
                let ratios = [
                    ("merge_factor", quotient(reads.blocks as f64, reads.requests as f64)),
                    ("read_amplification", quotient(reads.read_bytes as f64, reads.wanted_bytes as f64)),
                    ("queue_us", quotient(reads.queue_ns as f64 / 1e3, reads.blocks as f64)),
                ];
                if reads.requests > 0 {
                    values.extend(ratios.into_iter().filter_map(|(what, ratio)| Some((name(what), ratio?))));
                }
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_classes_that_read_have_values() {
        let mut counts = PlanCounts::default();
        assert!(counts.values().is_empty());
        counts.dfs[1] =
            Reads { requests: 2, blocks: 8, read_bytes: 3_000, wanted_bytes: 2_000, queue_ns: 16_000 };
        let values = counts.values();
        let names: Vec<_> = values.iter().map(|(name, _)| name.as_str()).collect();
        let expected =
            ["dfs_read_ahead_merge_factor", "dfs_read_ahead_read_amplification", "dfs_read_ahead_queue_us"];
        assert_eq!(names, expected);
        let found: Vec<_> = values.iter().map(|(_, value)| *value).collect();
        assert_eq!(found, [4.0, 1.5, 2.0]);
        assert!(counts.since(&counts).values().is_empty());
    }
}
