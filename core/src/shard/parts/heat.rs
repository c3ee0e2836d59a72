//! Which data blocks lookups had to wait for in the last hour: what is hot and not in memory. What memory answers is not counted here, so
//! that a hit costs nothing; memory knows its hot blocks itself. Scans are not counted either: one pass over everything says nothing about
//! what is read next.
//!
//! Two generations of half an hour each. A generation that is full forgets what was read least often, until half of it is free.

use crate::blocks::cached_block::data_key;
use crate::manifest::hot::BLOCKS_MAX;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::version::Segment;
use aquifer_io::Instant;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

/// Of the cache's memory, both generations may take one part in so many.
const MEMORY_PART: usize = 128;
/// Blocks of a generation, whatever the memory: more than a hot list can name.
const BLOCKS_COUNTED_MAX: usize = 14_336;
/// A key, a count, and a control byte at the lowest load of the table.
const BLOCK_BYTES: usize = (size_of::<(Key, Counted)>() + 1) * 16 / 7;
const GENERATION: Duration = Duration::from_secs(30 * 60);

/// An object and the offset of a block in it.
type Key = (u64, u64);

/// Reads of one data block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Position of its partition in the segment.
    pub(crate) partition: u32,
    /// Its own position in the partition.
    pub(crate) block: u8,
    pub(crate) reads: u8,
}

impl Counted {
    /// How hot that is, as a rank of the hot list.
    pub(crate) fn rank(self) -> u8 {
        match self.reads {
            0 | 1 => 0,
            2 | 3 => 1,
            4..16 => 2,
            _ => 3,
        }
    }

    /// Reads that a rank stands for, at least.
    fn reads_of(rank: u8) -> u8 {
        match rank {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => 16,
        }
    }
}

/// The counts of one shard.
#[derive(Debug)]
pub(crate) struct Heat {
    blocks_max: usize,
    generations: RefCell<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    now: HashMap<Key, Counted>,
    before: HashMap<Key, Counted>,
    began: Option<Instant>,
}

impl Heat {
    /// For a shard whose cache has so much memory.
    pub(crate) fn new(cache_bytes: usize) -> Self {
        let blocks_max = (cache_bytes / MEMORY_PART / 2 / BLOCK_BYTES).min(BLOCKS_COUNTED_MAX);
        Self { blocks_max, generations: RefCell::default() }
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let generations = self.generations.borrow();
        // A table of so much capacity has up to 8/7 of it in places, and as many control bytes.
        (generations.now.capacity() + generations.before.capacity()) * (size_of::<(Key, Counted)>() + 1) * 8
            / 7
    }

    /// A lookup waits for a block, or it came along with its meta from the DFS.
    pub(crate) fn note(
        &self,
        segment: &Segment,
        partition: (usize, &PartitionHandle, &PartitionMeta),
        handle: &BlockHandle,
    ) {
        let (position, partition, meta) = partition;
        if let Some(block) = meta.position_of(handle.offset.saturating_sub(partition.offset)) {
            self.add(segment, (position, block), handle, 1);
        }
    }

    /// A block was hot elsewhere, or before a restart: it counts as one of the generation before this one.
    pub(crate) fn inherit(&self, segment: &Segment, at: (usize, usize), handle: &BlockHandle, rank: u8) {
        let Some((key, counted)) = self.entry(segment, at, handle) else { return };
        let mut generations = self.generations.borrow_mut();
        generations.age();
        if generations.before.len() < self.blocks_max {
            let known = generations.before.entry(key).or_insert(counted);
            known.reads = known.reads.max(Counted::reads_of(rank));
        }
    }

    fn entry(&self, segment: &Segment, at: (usize, usize), handle: &BlockHandle) -> Option<(Key, Counted)> {
        let block = u8::try_from(at.1).ok().filter(|&block| usize::from(block) < BLOCKS_MAX)?;
        let key = data_key(segment, handle);
        let counted = Counted { partition: u32::try_from(at.0).ok()?, block, reads: 0 };
        (self.blocks_max > 0).then_some(((key.object, key.offset), counted))
    }

    fn add(&self, segment: &Segment, at: (usize, usize), handle: &BlockHandle, reads: u8) {
        let Some((key, counted)) = self.entry(segment, at, handle) else { return };
        let mut generations = self.generations.borrow_mut();
        generations.age();
        if generations.now.len() >= self.blocks_max && !generations.now.contains_key(&key) {
            forget_coldest(&mut generations.now, self.blocks_max / 2);
        }
        let known = generations.now.entry(key).or_insert(counted);
        known.reads = known.reads.saturating_add(reads);
    }

    /// Everything that was counted in the last hour.
    pub(crate) fn all(&self) -> Vec<(Key, Counted)> {
        let mut generations = self.generations.borrow_mut();
        generations.age();
        let Generations { now, before, .. } = &*generations;
        let sum = |(key, counted): (&Key, &Counted)| {
            let earlier = before.get(key).map_or(0, |counted| counted.reads);
            (*key, Counted { reads: counted.reads.saturating_add(earlier), ..*counted })
        };
        let only_before = before.iter().filter(|(key, _)| !now.contains_key(key));
        now.iter().map(sum).chain(only_before.map(|(key, counted)| (*key, *counted))).collect()
    }
}

impl Generations {
    fn age(&mut self) {
        let now = aquifer_io::now();
        let age = now.duration_since(*self.began.get_or_insert(now));
        if age >= GENERATION {
            self.before = std::mem::take(&mut self.now);
            self.began = Some(now);
        }
        if age >= 2 * GENERATION {
            self.before = HashMap::new();
        }
    }
}

/// Forgets those with the fewest reads until at most `left` are there.
fn forget_coldest(counts: &mut HashMap<Key, Counted>, left: usize) {
    let mut reads = 0;
    while counts.len() > left {
        reads += 1;
        counts.retain(|_, counted| counted.reads > reads);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::tests::entry;
    use aquifer_io::simulated::{World, WorldOptions};
    use aquifer_io::{ExecutorOptions, sleep};

    fn simulated(test: impl AsyncFnOnce() + Send + 'static) {
        let world = World::new(1, WorldOptions::default());
        let driver = world.spawn_executor(ExecutorOptions::default(), move || async move { test().await });
        world.run_for(Duration::from_secs(4 * 3_600));
        driver.join().unwrap();
    }

    fn block(n: u32) -> BlockHandle {
        BlockHandle { offset: n * 100, bytes: 100, crc: 0 }
    }

    fn reads(heat: &Heat, segment: &Segment, n: u32) -> u8 {
        let key = data_key(segment, &block(n));
        heat.all()
            .iter()
            .find(|(known, _)| *known == (key.object, key.offset))
            .map_or(0, |(_, found)| found.reads)
    }

    #[test]
    fn reads_count_for_half_an_hour_to_an_hour() {
        simulated(async || {
            let segment = Segment::new(entry(1, 0..1, (0, b"a"), (0, b"z"), 1 << 20));
            let heat = Heat::new(1 << 20);
            for _ in 0..3 {
                heat.add(&segment, (7, 2), &block(1), 1);
            }
            heat.inherit(&segment, (7, 3), &block(2), 3);
            assert_eq!((reads(&heat, &segment, 1), reads(&heat, &segment, 2)), (3, 16));
            sleep(GENERATION).await;
            heat.add(&segment, (7, 2), &block(1), 1);
            assert_eq!((reads(&heat, &segment, 1), reads(&heat, &segment, 2)), (4, 0));
            sleep(GENERATION).await;
            assert_eq!(reads(&heat, &segment, 1), 1);
            let of = heat.all();
            assert_eq!((of[0].1.partition, of[0].1.block), (7, 2));
            sleep(2 * GENERATION).await;
            assert_eq!(heat.all(), []);
        });
    }

    #[test]
    fn a_flood_of_single_reads_pushes_out_none_that_is_read_often_and_memory_stays_bounded() {
        simulated(async || {
            let segment = Segment::new(entry(1, 0..1, (0, b"a"), (0, b"z"), 1 << 20));
            let cache_bytes = 4 << 20;
            let heat = Heat::new(cache_bytes);
            for n in 0..100_000u32 {
                heat.add(&segment, (0, 0), &block(n + 1_000), 1);
                if n % 10 == 0 {
                    heat.add(&segment, (0, 0), &block(n / 10 % 20), 1);
                }
            }
            assert!((0..20).all(|n| reads(&heat, &segment, n) > 100));
            assert!(heat.bytes() <= cache_bytes / MEMORY_PART, "{} bytes", heat.bytes());
            let none = Heat::new(0);
            none.add(&segment, (0, 0), &block(1), 1);
            assert_eq!((none.all(), none.bytes()), (Vec::new(), 0));
        });
    }
}
