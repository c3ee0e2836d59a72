//! How a shard divides its share of the memory budget.

use crate::error::{Error, Result};
use crate::limits::{MEMTABLE_BYTES_MAX, SHARD_MEMORY_BYTES_MIN};
use crate::options::Options;

/// How a shard divides its share of the memory budget.
///
/// A quarter is for writes: one sixteenth for compaction (half for what it reads, half for what it writes), three for memtables. The memtable
/// that takes writes is in parts, of which the fullest is flushed when all together are full; the more parts, the less of the three
/// sixteenths has to be kept for what is flushed and for its encoded segment:
///
/// ```text
/// parts   takes writes   may wait for their upload beside it   encoded   of the shard's memory
///     1          0.063                                 0.063     0.063
///     2          0.080                                 0.054     0.054
///     4          0.104                                 0.042     0.042
///     8          0.121                                 0.040     0.027
/// ```
/// While a checkpoint has all parts flushed at once, what that takes beyond the table comes from the cache. One sixteenth of the memory is
/// for the buffers of file reads and writes, half as much for blocks on their way to the SSD, one thirty-second for the mailbox, one
/// sixteenth for what nobody counts (the allocator's rounding, zstd's contexts, tasks). The rest is the cache's, the index of its SSD tier
/// included; up to half of it may go to filters and indexes of segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardBudget {
    /// Of the memtable that takes writes, all of its parts together.
    pub(crate) memtable_bytes_max: usize,
    /// The same and all that wait for their upload: at this, writes wait.
    pub(crate) memtables_bytes_max: usize,
    pub(crate) memtable_parts: usize,
    /// Of encoded segments under upload, before the cache has to give.
    pub(crate) encoded_bytes: usize,
    pub(crate) compaction_bytes: usize,
    pub(crate) buffer_bytes: usize,
    pub(crate) write_buffer_bytes: usize,
    /// Most bytes that the cache has in flight from the DFS; they are paid from the sixteenth of the budget that is set aside for what is not counted.
    pub(crate) in_flight_bytes: usize,
    pub(crate) cache_bytes: usize,
    pub(crate) meta_bytes_max: usize,
    pub(crate) mailbox_bytes_max: usize,
    /// Most bytes of answers that nobody has taken yet and of large reads under way, together; lent by the cache.
    pub(crate) answers_bytes: usize,
    pub(crate) disk_bytes: u64,
    pub(crate) disk_write_bytes_per_day: u64,
    pub(crate) disk_write_bytes_per_s: u64,
}

/// Most parts of a memtable, and the least memory for each: smaller ones would make too small uploads.
const MEMTABLE_PARTS_MAX: u64 = 8;
const MEMTABLE_PART_BYTES_MIN: u64 = 64 * 1024;
/// The cache lends this part of its budget to answers, at most, but for a single larger one.
const ANSWERS_DIVISOR: u64 = 8;
/// The cache has this part of its opening budget in flight from the DFS, at most.
const IN_FLIGHT_DIVISOR: usize = 16;

/// Steps in which the least memory of a running shard is looked for.
const MEMORY_STEP_BYTES: usize = 256 * 1024;

impl ShardBudget {
    pub(crate) fn new(options: &Options, shards: usize) -> Self {
        let shards = shards.max(1) as u64;
        let memory = options.memory_bytes / shards;
        let buffers = (memory / 16).clamp(1024 * 1024, 32 * 1024 * 1024);
        let fixed = Self {
            buffer_bytes: bytes(buffers),
            write_buffer_bytes: bytes(buffers / 2),
            disk_bytes: options.disk.bytes / shards,
            disk_write_bytes_per_day: share_of_limit(options.disk.write_bytes_per_day, shards),
            disk_write_bytes_per_s: share_of_limit(options.disk.write_bytes_per_s, shards),
            ..Self::default()
        };
        let opened = fixed.divided(memory);
        Self { in_flight_bytes: opened.cache_bytes / IN_FLIGHT_DIVISOR, ..opened }
    }

    /// The same shard with another memory budget. What its thread was started with stays: the buffers of file reads and writes, and what may be in
    /// flight from the DFS. The cache gives or takes the difference.
    ///
    /// # Errors
    /// `Invalid` if too little would be left for the cache: with what all `shards` need at least.
    pub(crate) fn with_memory(&self, memory_bytes: u64, shards: usize) -> Result<Self> {
        let shards = shards.max(1) as u64;
        let memory = memory_bytes / shards;
        // At opening the cache never gets less than this part.
        let fits = |memory: u64| self.divided(memory).cache_bytes as u64 >= memory / 4;
        if memory >= SHARD_MEMORY_BYTES_MIN && fits(memory) {
            return Ok(self.divided(memory));
        }
        let least = (SHARD_MEMORY_BYTES_MIN..).step_by(MEMORY_STEP_BYTES).find(|&memory| fits(memory));
        let needed = least.unwrap_or(u64::MAX).saturating_mul(shards);
        Err(Error::invalid(format!(
            "memory_bytes is {memory_bytes}; {shards} shards with the buffers that they were opened with need at least {needed}: give that, or \
             open the engine anew"
        )))
    }

    /// `memory` divided anew, beside what this one has for buffers.
    fn divided(&self, memory: u64) -> Self {
        let compaction = memory / 16;
        let (parts, memtable, waiting, encoded) = memtables(memory);
        let mailbox = (memory / 32).max(256 * 1024);
        let uncounted = (memory / 16).max(self.in_flight_bytes as u64);
        let writes = memtable + waiting + encoded + compaction;
        let buffers = (self.buffer_bytes + self.write_buffer_bytes) as u64;
        let cache = memory.saturating_sub(writes + buffers + mailbox + uncounted);
        Self {
            memtable_bytes_max: bytes(memtable),
            memtables_bytes_max: bytes(memtable + waiting),
            memtable_parts: bytes(parts),
            encoded_bytes: bytes(encoded),
            compaction_bytes: bytes(compaction),
            cache_bytes: bytes(cache),
            meta_bytes_max: bytes(cache / 2),
            mailbox_bytes_max: bytes(mailbox),
            answers_bytes: bytes(cache / ANSWERS_DIVISOR),
            ..*self
        }
    }

    /// A first guess of the bytes that are flushed in one round over all key groups, until flushes are measured: entries take two thirds of a
    /// memtable, and its fullest part, which is flushed first, is that much above the mean.
    pub(crate) fn flush_unit_bytes(&self) -> usize {
        self.memtable_bytes_max * 2 / 3 * (2 * self.memtable_parts) / (self.memtable_parts + 1)
    }

    /// What memtables and their encoded segments may take beyond their share while so much is frozen.
    pub(crate) fn borrowed_bytes(&self, frozen_bytes: usize) -> usize {
        frozen_bytes.saturating_sub(self.encoded_bytes)
    }
}

fn bytes(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Parts of a memtable, bytes of all that take writes, of what may wait for its upload beside them, and of encoded segments: three
/// sixteenths of `memory`.
fn memtables(memory: u64) -> (u64, u64, u64, u64) {
    let share = memory * 3 / 16;
    let most = (share / 2 / MEMTABLE_PART_BYTES_MIN).clamp(1, MEMTABLE_PARTS_MAX);
    let parts = 1 << most.ilog2();
    // In thousandths of what takes writes: the fullest part, when parts are evenly spread in fullness.
    let fullest = 2000 / (parts + 1);
    let waiting = fullest.max(333);
    let memtable = (share * 1000 / (1000 + waiting + fullest)).min(MEMTABLE_BYTES_MAX);
    (parts, memtable, memtable * waiting / 1000, memtable * fullest / 1000)
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
                assert!(
                    sum(&budget) <= options.memory_bytes / shards as u64,
                    "{mib} MiB a shard: {budget:?}"
                );
                assert!(budget.cache_bytes > 2 * budget.memtable_bytes_max);
                // A checkpoint freezes all of it at once.
                let borrowed = budget.borrowed_bytes(budget.memtables_bytes_max);
                assert!(borrowed < budget.cache_bytes / 2, "{mib} MiB a shard: {budget:?}");
            }
        }
    }

    fn sum(budget: &ShardBudget) -> u64 {
        let sum = budget.memtables_bytes_max
            + budget.encoded_bytes
            + budget.compaction_bytes
            + budget.buffer_bytes
            + budget.write_buffer_bytes
            + budget.mailbox_bytes_max
            + budget.cache_bytes;
        sum as u64
    }

    #[test]
    fn a_running_shard_is_divided_anew_as_at_opening_but_for_its_buffers() {
        let mib = 1024 * 1024;
        for (shards, opened) in [(1, 4), (2, 16), (3, 1024), (1, 100_000)] {
            let options = Options { memory_bytes: opened * shards * mib, ..Options::default() };
            let shards = usize::try_from(shards).unwrap();
            let budget = ShardBudget::new(&options, shards);
            assert_eq!(budget.with_memory(options.memory_bytes, shards).unwrap(), budget, "the same again");
            for memory in [4, 5, 7, 16, 64, 300, 5_000] {
                let memory_bytes = memory * mib * shards as u64;
                match budget.with_memory(memory_bytes, shards) {
                    Ok(next) => {
                        assert!(sum(&next) <= memory * mib && next.cache_bytes as u64 >= memory * mib / 4);
                        assert_eq!(next.buffer_bytes, budget.buffer_bytes);
                        // And back: nothing is left of it.
                        assert_eq!(next.with_memory(options.memory_bytes, shards).unwrap(), budget);
                    }
                    Err(error) => {
                        assert!(memory < opened);
                        let text = error.to_string();
                        let needed = text.split("at least ").nth(1).unwrap().split(':').next().unwrap();
                        let needed = needed.parse::<u64>().unwrap();
                        assert!(
                            needed > memory_bytes && budget.with_memory(needed, shards).is_ok(),
                            "{text}"
                        );
                        assert!(needed <= options.memory_bytes, "{text}");
                    }
                }
            }
        }
    }
}
