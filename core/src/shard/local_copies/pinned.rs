//! Segments on the SSD for good: what they take, fetching what is not there, and letting go.
//!
//! What is missing is fetched past the read plan, by large ranged GETs: the plan would decode every block into the memory tier, pushing out what is in use
//! there, and its offers to the SSD do not wait. Here whole partitions are verified and pinned as they are stored, and a few windows
//! of them are in flight: while a shard opens within compaction's share of memory, later a single one of a quarter of that.
//!
//! A partition's meta is pinned before its data, and a segment's head before its partitions: where there is no meta, there is no data to look
//! for.

use crate::blocks::cached_block::{
    CachedBlock, data_key, decode_head, decode_partition, extent_key, head_key, partition_key,
};
use crate::blocks::load::{loaded, take_partition};
use crate::blocks::reader::Asking;
use crate::error::{Error, Result};
use crate::limits::{COMPACTION_JOB_BYTES, LEVEL_MAX, PARTITION_BLOCKS_MAX, PARTITION_RAW_BYTES};
use crate::opening::{Measured, ShardOpening};
use crate::segment::block::{self, Expected, Kind};
use crate::segment::encoded::{EncodedSegment, WrittenExtent};
use crate::segment::head::SegmentHead;
use crate::segment::partition::{PartitionHandle, PartitionMeta};
use crate::shard::parts::keeper::{Kept, Locality};
use crate::shard::shard_core::ShardCore;
use crate::version::Segment;
use aquifer_cache::{CacheKey, Class, PinError, PinSize, ReadClass};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{StreamExt, iter};
use std::ops::Range;
use std::rc::Rc;

/// Segments whose heads are read, and whose data is fetched, at once while a shard opens.
const HEADS_AT_ONCE: usize = 16;
const WINDOWS_AT_ONCE: usize = 4;
/// Partitions that are looked at together.
const PARTITIONS_AT_ONCE: usize = 32;
/// Blocks of a segment just written that are pinned between two chances for reads to run.
const EXTENTS_A_SLICE: usize = 64;
/// Largest window.
const WINDOW_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is done to a segment that is being made local.
struct Filling<'a> {
    segment: &'a Rc<Segment>,
    head: Rc<SegmentHead>,
    taken: Taken,
}

/// What the SSD said to what it was to take.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    missing_bytes: u64,
    /// Nothing more can be taken.
    is_full: bool,
}

impl ShardCore {
    /// Makes everything local that the shard holds; begins once the engine says that there is room for it.
    pub(crate) async fn open_pinned(&self, opening: ShardOpening) -> Result<()> {
        let Some(keeper) = self.keeper.as_ref() else { return Ok(()) };
        let ShardOpening { measured, go, progress } = opening;
        keeper.adopt_all(&self.version());
        let all = keeper.to_pin(false);
        let _ = measured.send(self.measure(&all).await?);
        if go.await.is_err() {
            return Err(Error::closed());
        }
        self.blocks.cache.unmark().await;
        let mut absent = Vec::with_capacity(all.len());
        for kept in &all {
            let (head, _) = self.blocks.head(&kept.segment).await?;
            self.blocks.cache.mark(&head_key(&kept.segment));
            absent.push(self.absent(&kept.segment, &head, &kept.groups).await?);
        }
        // What an earlier process had local, and nobody needs any more.
        self.blocks.cache.sweep().await;
        let filled = iter(all.iter().zip(absent)).map(|(kept, absent)| {
            let progress = &progress;
            async move {
                let mut filling = self.pin_head(&kept.segment).await?;
                let bytes = local_bytes(&kept.segment, &filling.head, &kept.groups);
                let to_fetch: u64 = absent.iter().map(|(_, handle)| u64::from(handle.bytes())).sum();
                progress.add(bytes - to_fetch)?;
                self.fill(&mut filling, absent, |bytes| progress.add(bytes)).await?;
                keeper.pinned(kept, bytes, filling.taken.missing_bytes);
                Ok::<(), Error>(())
            }
        });
        let mut filled = filled.buffer_unordered(WINDOWS_AT_ONCE);
        while let Some(outcome) = filled.next().await {
            outcome?;
        }
        Ok(())
    }

    /// What all of this takes. Merges write their outputs beside their inputs: for that there is to be room for as much as tiers hold and one
    /// job into the bottom reads, but never for more than the whole once more.
    async fn measure(&self, all: &[Kept]) -> Result<Measured> {
        let (mut whole, mut tiers) = (PinSize::default(), PinSize::default());
        let mut bytes = 0;
        for some in all.chunks(HEADS_AT_ONCE) {
            let heads = join_all(some.iter().map(|kept| self.pin_head(&kept.segment))).await;
            for (kept, filling) in some.iter().zip(heads) {
                let head = filling?.head;
                let size = size_of(kept, &head);
                whole = whole.plus(&size);
                if kept.segment.entry.level < LEVEL_MAX {
                    tiers = tiers.plus(&size);
                }
                bytes += local_bytes(&kept.segment, &head, &kept.groups);
            }
        }
        let mut job = PinSize::default();
        let partitions = COMPACTION_JOB_BYTES / PARTITION_RAW_BYTES as u64;
        job.add(partitions * (PARTITION_BLOCKS_MAX + 1), COMPACTION_JOB_BYTES, u64::MAX);
        let room = tiers.plus(&job).min(&whole);
        Ok(Measured { bytes, size: whole.plus(&room) })
    }

    /// Makes a segment local; its bytes that count, and those of them that did not fit.
    pub(crate) async fn make_local(&self, kept: &Kept) -> Result<(u64, u64)> {
        if self.is_tier_off() {
            // Nothing is fetched for a tier that takes nothing.
            let bytes = kept.segment.live_bytes();
            return Ok((bytes, bytes));
        }
        let mut filling = self.pin_head(&kept.segment).await?;
        let absent = self.absent(&kept.segment, &filling.head, &kept.groups).await?;
        self.fill(&mut filling, absent, |_| Ok(())).await?;
        Ok((local_bytes(&kept.segment, &filling.head, &kept.groups), filling.taken.missing_bytes))
    }

    fn is_tier_off(&self) -> bool {
        self.blocks.cache.stats().ssd.file_bytes == 0
    }

    /// How much of the state is local; `None` if it is not to be.
    pub(crate) fn locality(&self) -> Option<Locality> {
        self.keeper.as_ref().map(|keeper| keeper.locality(self.is_tier_off()))
    }

    /// A block onto the SSD, for good; what cannot be taken is counted.
    async fn pin(&self, taken: &mut Taken, class: Class, key: CacheKey, stored: &[u8]) {
        let pinned = match taken.is_full {
            true => false,
            false => match self.blocks.cache.pin(class, key, stored).await {
                Ok(()) => true,
                Err(error) => {
                    taken.is_full = !matches!(error, PinError::TooLarge { .. });
                    false
                }
            },
        };
        if !pinned {
            taken.missing_bytes += stored.len() as u64;
        }
    }

    /// A segment's head, which is on the SSD from now on if there is room for it.
    async fn pin_head<'a>(&self, segment: &'a Rc<Segment>) -> Result<Filling<'a>> {
        let key = head_key(segment);
        let there = |head| Filling { segment, head, taken: Taken::default() };
        if self.blocks.cache.ssd_heat(&key).is_some() {
            return Ok(there(self.blocks.head(segment).await?.0));
        }
        let tail = self.shared.remote.get_range(&segment.entry.object, range_of(&key)).await?;
        let mut filling = there(Rc::new(decode_head(segment, &tail)?));
        self.pin(&mut filling.taken, Class::Meta, key, &tail).await;
        Ok(filling)
    }

    /// Partitions of these key groups that are not on the SSD as a whole. What is there is marked.
    async fn absent(
        &self,
        segment: &Rc<Segment>,
        head: &Rc<SegmentHead>,
        groups: &[Range<u16>],
    ) -> Result<Vec<(usize, PartitionHandle)>> {
        let mut absent = Vec::new();
        let partitions = partitions(head, groups);
        for some in partitions.chunks(PARTITIONS_AT_ONCE) {
            let looks =
                some.iter().map(|(position, handle)| self.is_there(segment, head, *position, *handle));
            for (partition, is_there) in some.iter().zip(join_all(looks).await) {
                if !is_there? {
                    absent.push(*partition);
                }
            }
            aquifer_io::yield_now().await;
        }
        Ok(absent)
    }

    /// Whether a partition is on the SSD as a whole; what is there is marked.
    async fn is_there(
        &self,
        segment: &Rc<Segment>,
        head: &SegmentHead,
        position: usize,
        handle: PartitionHandle,
    ) -> Result<bool> {
        if !self.blocks.cache.mark(&partition_key(segment, &handle)) {
            return Ok(false);
        }
        let meta = self.meta(segment, head, position, handle).await?;
        let blocks = (0..meta.blocks()).filter_map(|position| meta.block(position, handle.offset));
        // Every one is marked, whatever the others are.
        Ok(blocks.filter(|block| !self.blocks.cache.mark(&data_key(segment, block))).count() == 0)
    }

    async fn meta(
        &self,
        segment: &Rc<Segment>,
        head: &SegmentHead,
        position: usize,
        handle: PartitionHandle,
    ) -> Result<Rc<PartitionMeta>> {
        if let Some(meta) = self.blocks.partition_now(segment, head, position, &handle) {
            return Ok(meta);
        }
        let asking = Asking { reads: ReadClass::WarmUp, ..Asking::default() };
        let (block, _, _) = loaded(self.blocks.ask_partition(segment, handle, 0, asking)).await?;
        take_partition(segment, block)
    }

    /// Fetches partitions, neighbours together, and pins them. Tells of each that is done, whether it fit or not.
    async fn fill(
        &self,
        filling: &mut Filling<'_>,
        absent: Vec<(usize, PartitionHandle)>,
        done: impl Fn(u64) -> Result<()>,
    ) -> Result<()> {
        let window_bytes = (self.budget().compaction_bytes / WINDOWS_AT_ONCE).min(WINDOW_BYTES_MAX);
        let mut rest = absent.as_slice();
        while let Some((_, first)) = rest.first() {
            let mut together = 1;
            for pair in rest.windows(2) {
                let [(before, _), (position, handle)] = pair else { break };
                let bytes = handle.end().saturating_sub(first.offset) as usize;
                if *position != before + 1 || bytes > window_bytes {
                    break;
                }
                together += 1;
            }
            let (window, after) = rest.split_at(together.min(rest.len()));
            rest = after;
            if filling.taken.is_full {
                filling.taken.missing_bytes +=
                    window.iter().map(|(_, handle)| u64::from(handle.bytes())).sum::<u64>();
            } else {
                self.fetch(filling, window).await?;
            }
            done(window.iter().map(|(_, handle)| u64::from(handle.bytes())).sum())?;
        }
        Ok(())
    }

    async fn fetch(&self, filling: &mut Filling<'_>, window: &[(usize, PartitionHandle)]) -> Result<()> {
        let (Some((_, first)), Some((_, last))) = (window.first(), window.last()) else { return Ok(()) };
        let segment = filling.segment;
        let base = segment.entry.offset;
        let range = base + u64::from(first.offset)..base + u64::from(last.end());
        let fetched = self.shared.remote.get_range(&segment.entry.object, range).await?;
        for (_, handle) in window {
            let piece = |offset: u32, bytes: u32| {
                // Of another length than was asked for: no checksum holds then.
                let start = (offset.saturating_sub(first.offset) as usize).min(fetched.len());
                fetched.slice(start..start.saturating_add(bytes as usize).min(fetched.len()))
            };
            let stored = piece(handle.meta_offset(), handle.meta_bytes);
            let meta = decode_partition(segment, handle, &stored)?;
            self.pin(&mut filling.taken, Class::Meta, partition_key(segment, handle), &stored).await;
            for position in 0..meta.blocks() {
                let Some(block) = meta.block(position, handle.offset) else { break };
                let stored = piece(block.offset, block.bytes);
                let expected = Expected { kind: Kind::Data, crc: block.crc, dictionary: None };
                block::verify(&stored, expected, &segment.place(u64::from(block.offset)))?;
                self.pin(&mut filling.taken, Class::Data, data_key(segment, &block), &stored).await;
            }
        }
        Ok(())
    }

    /// Pins a segment that was just written, all of it, in slices; waits for the SSD for as long as that takes something.
    pub(crate) async fn pin_written(&self, segment: &Segment, encoded: EncodedSegment) {
        let Some(keeper) = self.keeper.as_ref() else { return };
        keeper.begin_written(segment);
        let mut taken = Taken::default();
        if let Some(tail) = encoded.tail() {
            self.pin(&mut taken, Class::Meta, head_key(segment), tail).await;
        }
        let mut data = Vec::new();
        for (number, extent) in encoded.extents.iter().enumerate() {
            if number % EXTENTS_A_SLICE == 0 {
                aquifer_io::yield_now().await;
            }
            match extent {
                WrittenExtent::Data { offset, bytes } => data.push((*offset, *bytes)),
                WrittenExtent::Partition(handle) => {
                    let Some(stored) = encoded.stored(handle.meta_offset(), handle.meta_bytes) else {
                        continue;
                    };
                    let key = partition_key(segment, handle);
                    // A copy: what the cache keeps must not hold the chunk. What was just encoded is sound.
                    let meta = decode_partition(segment, handle, &Bytes::copy_from_slice(&stored)).ok();
                    let meta = meta.map(|meta| CachedBlock::Partition(Rc::new(meta)));
                    self.blocks.cache.insert(Class::Meta, key, &stored, meta);
                    self.pin(&mut taken, Class::Meta, key, &stored).await;
                    for (offset, bytes) in data.drain(..) {
                        if let Some(stored) = encoded.stored(offset, bytes) {
                            self.pin(&mut taken, Class::Data, extent_key(segment, offset, bytes), &stored)
                                .await;
                        }
                    }
                }
            }
        }
        if let Some(tail) = encoded.tail().cloned() {
            let head = CachedBlock::Head(Rc::new(encoded.head));
            self.blocks.cache.insert(Class::Meta, head_key(segment), &tail, Some(head));
        }
        keeper.end_written(segment, taken.missing_bytes);
        self.balance_memory();
    }

    /// Takes off the SSD what is not needed any more of a segment; the stored bytes that are needed still, if that could be seen.
    pub(crate) async fn unpin(&self, was: &Kept, needed: &[Range<u16>]) -> Result<Option<u64>> {
        let segment = &was.segment;
        let key = head_key(segment);
        let is_there = |key: &CacheKey| self.blocks.cache.ssd_heat(key).is_some();
        if !is_there(&key) && !self.blocks.cache.holds(Class::Meta, &key) {
            return Ok(None);
        }
        let (head, _) = self.blocks.head(segment).await?;
        let needed_still = partitions(&head, needed);
        for (position, handle) in partitions(&head, &was.groups) {
            let key = partition_key(segment, &handle);
            let is_needed = needed_still.binary_search_by_key(&position, |(position, _)| *position).is_ok();
            if is_needed || !is_there(&key) {
                continue;
            }
            let meta = self.meta(segment, &head, position, handle).await?;
            let blocks = (0..meta.blocks()).filter_map(|position| meta.block(position, handle.offset));
            blocks.for_each(|block| self.blocks.cache.unpin(&data_key(segment, &block)));
            self.blocks.cache.unpin(&key);
        }
        if needed.is_empty() {
            self.blocks.cache.unpin(&key);
        }
        Ok(Some(local_bytes(segment, &head, needed)))
    }
}

fn range_of(key: &CacheKey) -> Range<u64> {
    key.offset..key.offset + u64::from(key.bytes)
}

/// Partitions of these key groups, in order, each once.
fn partitions(head: &SegmentHead, groups: &[Range<u16>]) -> Vec<(usize, PartitionHandle)> {
    let mut positions: Vec<usize> = groups.iter().flat_map(|groups| head.partitions_of(groups)).collect();
    positions.sort_unstable();
    positions.dedup();
    positions.into_iter().filter_map(|position| Some((position, head.partition(position)?))).collect()
}

/// Stored bytes of a segment that count.
fn local_bytes(segment: &Segment, head: &SegmentHead, groups: &[Range<u16>]) -> u64 {
    let partitions = partitions(head, groups);
    let bytes: u64 = partitions.iter().map(|(_, handle)| u64::from(handle.bytes())).sum();
    bytes + u64::from(segment.entry.tail_bytes)
}

/// What they take on disk at most: how many blocks a partition has, only its meta says.
fn size_of(kept: &Kept, head: &SegmentHead) -> PinSize {
    let mut size = PinSize::default();
    let tail = u64::from(kept.segment.entry.tail_bytes);
    size.add(1, tail, tail);
    for (_, handle) in partitions(head, &kept.groups) {
        let longest = handle.data_bytes.max(handle.meta_bytes);
        size.add(PARTITION_BLOCKS_MAX + 1, u64::from(handle.bytes()), u64::from(longest));
    }
    size
}
