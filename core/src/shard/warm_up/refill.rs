//! Which blocks of a compaction's output stand for blocks of its inputs that were in use: those go to the SSD, so that a compaction does
//! not empty the cache.
//!
//! A block of an input is in use if it is in memory, or was hit on the SSD since it was written there. A block of the output stands for every
//! such block whose keys overlap its own. Heads and metas that are not in memory are not fetched for this: nobody looks into blocks without them.

use crate::blocks::cached_block::{data_key, decode_partition};
use crate::compact::job::Job;
use crate::segment::encoded::{EncodedSegment, WrittenExtent};
use crate::segment::partition::PartitionMeta;
use crate::shard::shard_core::ShardCore;
use crate::version::Segment;
use aquifer_cache::{Class, Written};
use bytes::Bytes;
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// Partitions of an output looked at between two chances for reads to run.
const PARTITIONS_A_SLICE: usize = 8;

/// First key, and a key that is not below the last.
type Span = RangeInclusive<Box<[u8]>>;

impl ShardCore {
    /// Offers an output of a compaction to the cache: what stands for blocks in use, and `with_data` the rest of its data as well.
    pub(crate) async fn cache_compacted(
        &self,
        job: &Job,
        segment: &Segment,
        encoded: EncodedSegment,
        with_data: bool,
    ) {
        let hot = match self.budget().disk_bytes {
            0 => HashSet::new(),
            // All of it is kept.
            _ if self.keeper.is_some() => HashSet::new(),
            _ => self.hot_blocks(job, segment, &encoded).await,
        };
        let written = |offset| match hot.contains(&offset) {
            true => Some(Written::Compacted { is_hot: true }),
            false => with_data.then_some(Written::Compacted { is_hot: false }),
        };
        self.keep_written(segment, encoded, written).await;
    }

    /// Offsets of the data blocks of an output that stand for blocks in use. In slices, between which reads run.
    async fn hot_blocks(&self, job: &Job, segment: &Segment, encoded: &EncodedSegment) -> HashSet<u32> {
        let mut hot = HashSet::new();
        let mut partitions = 0;
        for extent in &encoded.extents {
            let WrittenExtent::Partition(handle) = extent else { continue };
            partitions += 1;
            if partitions % PARTITIONS_A_SLICE == 0 {
                aquifer_io::yield_now().await;
            }
            let stored = encoded.stored(handle.meta_offset(), handle.meta_bytes);
            let stored = stored.map(|stored| Bytes::copy_from_slice(&stored));
            let Some(meta) = stored.and_then(|stored| decode_partition(segment, handle, &stored).ok()) else {
                continue;
            };
            let spans = self.spans_in_use(job, meta.smallest(), meta.largest());
            for position in 0..meta.blocks() {
                let (from, to) = span(&meta, position);
                let stands_for = |span: &Span| **span.start() <= *to && *from <= **span.end();
                if let Some(block) =
                    meta.block(position, handle.offset).filter(|_| spans.iter().any(stands_for))
                {
                    hot.insert(block.offset);
                }
            }
        }
        hot
    }

    /// Spans of the inputs' blocks in use that touch the keys from `from` to `to`, both included.
    fn spans_in_use(&self, job: &Job, from: &[u8], to: &[u8]) -> Vec<Span> {
        let mut spans = Vec::new();
        for segment in job.segments() {
            let Some(head) = self.blocks.head_now(segment) else { continue };
            let Some(last) = head.seek(to) else { continue };
            for position in head.seek(from).unwrap_or(0)..=last {
                let Some(handle) = head.partition(position) else { break };
                let Some(meta) = self.blocks.partition_now(segment, &head, position, &handle) else {
                    continue;
                };
                let Some(last) = meta.seek(to) else { continue };
                for position in meta.seek(from).unwrap_or(0)..=last {
                    let Some(block) = meta.block(position, handle.offset) else { break };
                    let key = data_key(segment, &block);
                    let in_use = self.blocks.cache.holds(Class::Data, &key)
                        || self.blocks.cache.ssd_heat(&key).is_some_and(|heat| heat > 0);
                    if in_use {
                        let (from, to) = span(&meta, position);
                        spans.push(Box::from(from)..=Box::from(to));
                    }
                }
            }
        }
        spans
    }
}

/// The keys of a block: from its separator to the next, or to the partition's largest.
fn span(meta: &PartitionMeta, position: usize) -> (&[u8], &[u8]) {
    let to = if position + 1 < meta.blocks() { meta.separator(position + 1) } else { meta.largest() };
    (meta.separator(position), to)
}
