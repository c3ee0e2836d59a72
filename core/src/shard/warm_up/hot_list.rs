//! What of a shard's state is in use at a checkpoint: its part of the hot list.
//!
//! ```text
//! memory tier: entries that were asked for again ──┐
//! heat.rs: blocks that lookups waited for ─────────┼─> by segment, partition and block ─> ranks ─> cut to the list's size
//! a list that the warm-up has not finished ────────┘
//! ```
//! HotList beside the encoding and the upload of a checkpoint, in slices between which reads run. An entry of the cache is named by where it
//! lies in an object; heads and metas that are in memory tell which partition and block that is. What they cannot tell goes unlisted.

use crate::blocks::cached_block::CachedBlock;
use crate::manifest::hot::{self, BLOCKS_MAX, HotPartition, HotSegment, HotSegments, RANK_MAX};
use crate::segment::cursor::Cursor;
use crate::segment::filter;
use crate::shard::parts::hot_list::HotList;
use crate::shard::reads::walk::{candidate, holder, partition_of};
use crate::shard::shard_core::ShardCore;
use crate::version::{Segment, SegmentId, Version};
use aquifer_cache::Class;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::time::Duration;

/// Entries looked at between two chances for reads to run.
const ENTRIES_A_SLICE: usize = 512;

/// Gathering takes one part in so many of the shard's time, at most: checkpoints that follow each other faster name what the one before named.
const TIME_PART: u32 = 32;

/// What was found in use, by segment (its place in the version, newest first).
struct Found {
    segments: Vec<Rc<Segment>>,
    /// Object, offset in it, end, and which of the segments; ascending.
    places: Vec<(u64, u64, u64, usize)>,
    heads: Vec<bool>,
    partitions: HashMap<(usize, u32), Use>,
}

/// What is in use of a partition.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// Blocks of each rank.
    blocks: [u32; RANK_MAX as usize + 1],
    /// Of its meta: 0 if only its blocks are.
    meta: u8,
}

impl Use {
    /// What the list says of it: with a block goes what is at most a rank colder, not what was read once beside it.
    fn listed(self, position: u32) -> HotPartition {
        let hottest = self.blocks.iter().rposition(|&blocks| blocks > 0);
        let rank = hottest.unwrap_or_else(|| usize::from(self.meta.saturating_sub(1)));
        let blocks = self.blocks.iter().skip(rank.saturating_sub(1)).fold(0, |all, blocks| all | blocks);
        HotPartition { position, rank: u8::try_from(rank).unwrap_or(RANK_MAX), blocks }
    }
}

impl Found {
    fn new(version: &Version) -> Self {
        let mut segments: Vec<Rc<Segment>> = Vec::new();
        let mut places = Vec::new();
        for segment in version.segments() {
            let (object, offset) = segment.id();
            places.push((object, offset, offset + u64::from(segment.entry.bytes), segments.len()));
            segments.push(Rc::clone(segment));
        }
        places.sort_unstable();
        // One that counts in two pieces is one segment.
        places.dedup_by_key(|(object, offset, ..)| (*object, *offset));
        let heads = vec![false; segments.len()];
        Self { segments, places, heads, partitions: HashMap::new() }
    }

    /// The segment that has a byte of an object, and where that is in it.
    fn segment_at(&self, object: u64, offset: u64) -> Option<(usize, u32)> {
        let above = self.places.partition_point(|(o, from, ..)| (*o, *from) <= (object, offset));
        let (found, from, to, number) = self.places.get(above.checked_sub(1)?)?;
        let inside = *found == object && offset < *to;
        inside.then(|| Some((*number, u32::try_from(offset - from).ok()?)))?
    }

    fn number_of(&self, id: SegmentId) -> Option<usize> {
        let at = self.places.binary_search_by_key(&id, |(object, offset, ..)| (*object, *offset)).ok()?;
        self.places.get(at).map(|(.., number)| *number)
    }

    fn of_partition(&mut self, number: usize, partition: u32) -> &mut Use {
        match self.partitions.entry((number, partition)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(Use::default()),
        }
    }

    fn add_block(&mut self, number: usize, partition: u32, block: usize, rank: u8) {
        if block < BLOCKS_MAX
            && let Some(blocks) = self.of_partition(number, partition).blocks.get_mut(usize::from(rank))
        {
            *blocks |= 1 << block;
        }
    }

    /// The list, in the order of the version.
    fn list(self) -> HotSegments<SegmentId> {
        let mut partitions: Vec<_> = self.partitions.into_iter().collect();
        partitions.sort_unstable_by_key(|(at, _)| *at);
        let mut rest = partitions.into_iter().peekable();
        let mut list = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let mut of_segment = Vec::new();
            while let Some(((_, position), used)) = rest.next_if(|((of, _), _)| *of == number) {
                of_segment.push(used.listed(position));
            }
            if self.heads.get(number) == Some(&true) || !of_segment.is_empty() {
                list.push(HotSegment { segment: segment.id(), partitions: of_segment });
            }
        }
        list
    }
}

impl ShardCore {
    /// This shard's part of the hot list, of at most `bytes_max`. In slices.
    pub(crate) async fn gather_hot(&self, bytes_max: usize) -> HotSegments<SegmentId> {
        let began = aquifer_io::now();
        {
            let mut gathered = self.hot_list.borrow_mut();
            let was_late = std::mem::take(&mut gathered.is_late);
            if was_late || gathered.next.is_some_and(|next| began < next) {
                return gathered.list.clone();
            }
        }
        let mut found = Found::new(&self.version());
        self.find_counted(&mut found).await;
        self.find_in_memory(Class::Meta, &mut found).await;
        self.find_in_memory(Class::Data, &mut found).await;
        self.find_unfinished(&mut found);
        let mut list = found.list();
        hot::cut(&mut list, bytes_max);
        let took = aquifer_io::now().duration_since(began);
        let next = (took > Duration::ZERO).then(|| aquifer_io::now() + took * TIME_PART);
        *self.hot_list.borrow_mut() = HotList { list: list.clone(), next, is_late: false };
        list
    }

    /// What lookups waited for.
    async fn find_counted(&self, found: &mut Found) {
        for slice in self.heat.all().chunks(ENTRIES_A_SLICE) {
            for ((object, offset), counted) in slice {
                if let Some((number, _)) = found.segment_at(*object, *offset) {
                    found.add_block(number, counted.partition, usize::from(counted.block), counted.rank());
                }
            }
            aquifer_io::yield_now().await;
        }
    }

    /// What is in memory and was asked for again there.
    async fn find_in_memory(&self, class: Class, found: &mut Found) {
        let mut next = Some(0);
        let mut slice = Vec::with_capacity(ENTRIES_A_SLICE);
        while let Some(from) = next {
            next = self.blocks.cache.look_over_memory(class, from, ENTRIES_A_SLICE, |key, heat, block| {
                if heat > 0 {
                    slice.push((*key, heat.min(RANK_MAX), block.clone()));
                }
            });
            for (key, heat, block) in slice.drain(..) {
                // Entries that are kept by themselves belong to no object: they stand for the block that they came from.
                match block {
                    CachedBlock::Data(block) if key.bytes == 0 => {
                        self.find_block_of(Cursor::first(block).key(), heat, found);
                    }
                    block => self.find_entry((key.object, key.offset), heat, &block, found),
                }
            }
            aquifer_io::yield_now().await;
        }
    }

    fn find_entry(&self, key: (u64, u64), heat: u8, block: &CachedBlock, found: &mut Found) {
        let Some((number, offset)) = found.segment_at(key.0, key.1) else { return };
        let Some(segment) = found.segments.get(number).cloned() else { return };
        if matches!(block, CachedBlock::Head(_)) {
            if let Some(is_hot) = found.heads.get_mut(number) {
                *is_hot = true;
            }
            return;
        }
        let Some(head) = self.blocks.head_now(&segment) else { return };
        let Some(position) = head.position_of(offset) else { return };
        let Ok(partition) = u32::try_from(position) else { return };
        if matches!(block, CachedBlock::Partition(_)) {
            let used = found.of_partition(number, partition);
            used.meta = used.meta.max(heat);
            return;
        }
        let Some(handle) = head.partition(position) else { return };
        let Some(meta) = self.blocks.partition_now(&segment, &head, position, &handle) else { return };
        if let Some(block) = meta.position_of(offset.saturating_sub(handle.offset)) {
            found.add_block(number, partition, block, heat);
        }
    }

    /// The block that a lookup of `key` would read first, as far as memory can tell.
    fn find_block_of(&self, key: &[u8], heat: u8, found: &mut Found) {
        let hash = filter::hash(key);
        let version = self.version();
        for segment in version.runs.iter().filter_map(|run| holder(run, key)) {
            let Some(head) = self.blocks.head_now(segment) else { return };
            let Some((position, handle)) = partition_of(&head, key) else { continue };
            let Some(meta) = self.blocks.partition_now(segment, &head, position, &handle) else { return };
            if candidate(&meta, &handle, key, hash).is_some()
                && let Some(block) = meta.seek(key)
                && let Some(number) = found.number_of(segment.id())
                && let Ok(partition) = u32::try_from(position)
            {
                found.add_block(number, partition, block, heat);
                return;
            }
        }
    }

    /// What the warm-up has not fetched yet: a second move soon after the first must not forget it.
    fn find_unfinished(&self, found: &mut Found) {
        for segment in self.warm_up.unfinished().iter() {
            let Some(number) = found.number_of(segment.segment) else { continue };
            if let Some(is_hot) = found.heads.get_mut(number) {
                *is_hot = true;
            }
            for HotPartition { position, rank, blocks } in &segment.partitions {
                let used = found.of_partition(number, *position);
                match used.blocks.get_mut(usize::from(*rank)) {
                    Some(known) if *blocks > 0 => *known |= blocks,
                    _ => used.meta = used.meta.max(*rank + 1),
                }
            }
        }
    }
}
