//! Heads, partition metas and data blocks of segments through the cache: what is in memory at once, the rest by one read from SSD or DFS.
//!
//! Each of the three is a range of an object and one entry of the cache. The `_now` methods answer from memory alone; the others ask for
//! what is missing: what all ask for in one turn of the loop is planned together by the cache. On the DFS a partition's meta follows its
//! data, so a lookup that finds neither in memory nor on the SSD takes both by one GET; and a small segment comes whole with its head.

use crate::blocks::along::Along;
use crate::blocks::cached_block::{
    CachedBlock, data_key, decode_data, decode_head, decode_partition, extent_key, head_key, partition_key,
};
use crate::blocks::load::{loaded, mixed_up, take_data, take_partition};
use crate::error::{Error, ErrorKind, Result};
use crate::segment::data::{Access, DataBlock};
use crate::segment::encoded::{EncodedSegment, WrittenExtent};
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::version::Segment;
use crate::version::head_pin::SegmentObject;
use aquifer_cache::{
    Ask, Cache, CacheKey, Class, Load, MemorySlot, ObjectRead, ObjectReader, ReadClass, Tier, Written,
};
use aquifer_remote::{ObjectName, Remote};
use bytes::Bytes;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

struct RemoteObject {
    remote: Arc<dyn Remote>,
    name: ObjectName,
}

impl ObjectReader<Error> for RemoteObject {
    fn read(&self, range: Range<u64>) -> ObjectRead<Error> {
        let read = self.remote.get_range(&self.name, range);
        Box::pin(async move { read.await.map_err(Error::from) })
    }

    fn is_of_range(&self, error: &Error) -> bool {
        // A cut object: what lies before the cut can be read.
        error.kind() == ErrorKind::Corrupt
    }
}

/// Every so many uses of a pinned head the cache is asked for it as well: a head in use must not look forgotten there.
const PIN_USES: u8 = 32;

/// Extents of a segment just written that are offered to the cache between two chances for reads to run: a microsecond or two each.
const WRITTEN_EXTENTS_A_SLICE: usize = 64;

/// Reads heads, metas and data blocks of segments through a cache. Whoever looks into segments has one: a shard, and a worker that merges.
pub(crate) struct BlockReader {
    pub(crate) cache: Cache<CachedBlock>,
    pub(crate) remote: Arc<dyn Remote>,
}

impl BlockReader {
    /// A segment's head, if it is in memory.
    #[inline]
    pub(crate) fn head_now(&self, segment: &Segment) -> Option<Rc<SegmentHead>> {
        let pinned = segment.head.head.borrow().upgrade();
        let uses = segment.head.uses.get().wrapping_add(1);
        segment.head.uses.set(uses);
        if pinned.is_some() && !uses.is_multiple_of(PIN_USES) {
            return pinned;
        }
        let Some(CachedBlock::Head(head)) = self.cache.get(Class::Meta, &head_key(segment)) else {
            return pinned;
        };
        *segment.head.head.borrow_mut() = Rc::downgrade(&head);
        Some(head)
    }

    /// The meta of the partition at `position`, if it is in memory. Mostly without a search: the segment remembers where it was.
    #[inline]
    pub(crate) fn partition_now(
        &self,
        segment: &Segment,
        head: &SegmentHead,
        position: usize,
        handle: &PartitionHandle,
    ) -> Option<Rc<PartitionMeta>> {
        let known = segment.head.metas.borrow().get(position).copied();
        if let Some(place) = known
            && let Some(CachedBlock::Partition(meta)) = self.cache.get_at(Class::Meta, place)
        {
            return Some(meta);
        }
        let found = self.cache.get_placed(Class::Meta, &partition_key(segment, handle));
        let Some((CachedBlock::Partition(meta), place)) = found else { return None };
        let mut places = segment.head.metas.borrow_mut();
        if places.is_empty() {
            *places = vec![MemorySlot::NONE; head.partitions()].into_boxed_slice();
        }
        if let Some(known) = places.get_mut(position) {
            *known = place;
        }
        Some(meta)
    }

    /// A data block, if it is in memory.
    #[inline]
    pub(crate) fn data_now(&self, segment: &Segment, handle: &BlockHandle) -> Option<Rc<DataBlock>> {
        self.data_placed_now(segment, handle).map(|(block, _)| block)
    }

    /// The same, with its place.
    #[inline]
    pub(crate) fn data_placed_now(
        &self,
        segment: &Segment,
        handle: &BlockHandle,
    ) -> Option<(Rc<DataBlock>, MemorySlot)> {
        match self.cache.get_placed(Class::Data, &data_key(segment, handle)) {
            Some((CachedBlock::Data(block), place)) => Some((block, place)),
            _ => None,
        }
    }

    /// A segment's head: one read of its tail if it is not in memory.
    pub(crate) async fn head(&self, segment: &Rc<Segment>) -> Result<(Rc<SegmentHead>, Tier)> {
        if let Some(head) = self.head_now(segment) {
            return Ok((head, Tier::Memory));
        }
        let (block, tier, _) = loaded(self.ask_head(segment, false, Asking::default())).await?;
        Ok((self.take_head(segment, block)?, tier))
    }

    /// Asks for a segment's head; if it has to come from the DFS and `with_segment`, all of the segment comes along. Memory was asked before.
    pub(crate) fn ask_head(
        &self,
        segment: &Rc<Segment>,
        with_segment: bool,
        asking: Asking,
    ) -> Load<CachedBlock> {
        let opened = Rc::clone(segment);
        let decode = move |tail: &Bytes| Ok(CachedBlock::Head(Rc::new(decode_head(&opened, tail)?)));
        let mut ask = asking.ask(Class::Meta, head_key(segment));
        let whole = segment.entry.offset..segment.entry.offset + u64::from(segment.entry.bytes);
        ask.span = with_segment.then_some(whole);
        self.cache.load(ask, self.object(segment), decode)
    }

    /// Asks for the meta of a partition; if it has to come from the DFS, its data blocks come along ([`Along`]) if that saves more to all
    /// who want them than it costs. `data_uses`: requests that they save to this reader. Memory was asked before.
    pub(crate) fn ask_partition(
        &self,
        segment: &Rc<Segment>,
        handle: PartitionHandle,
        data_uses: u32,
        asking: Asking,
    ) -> Load<CachedBlock> {
        let owner = Rc::clone(segment);
        let decode = move |stored: &Bytes| {
            Ok(CachedBlock::Partition(Rc::new(decode_partition(&owner, &handle, stored)?)))
        };
        let whole = extent_key(segment, handle.offset, handle.bytes());
        let mut ask = asking.ask(Class::Meta, partition_key(segment, &handle));
        ask.span = (data_uses > 0).then(|| whole.offset..whole.offset + u64::from(whole.bytes));
        ask.span_uses = data_uses;
        self.cache.load(ask, self.object(segment), decode)
    }

    /// Asks for a data block. Memory was asked before.
    pub(crate) fn ask_data(
        &self,
        segment: &Rc<Segment>,
        head: &Rc<SegmentHead>,
        handle: BlockHandle,
        asking: Asking,
    ) -> Load<CachedBlock> {
        let (owner, opened) = (Rc::clone(segment), Rc::clone(head));
        let decode = move |stored: &Bytes| {
            let block = decode_data(&owner, &opened, &handle, Access::Points, stored)?;
            Ok(CachedBlock::Data(Rc::new(block)))
        };
        self.cache.load(asking.ask(Class::Data, data_key(segment, &handle)), self.object(segment), decode)
    }

    /// Asks for bytes of a segment as they are stored, for a merge: a window of it, or one block that may be on the SSD.
    pub(crate) fn ask_stored(
        &self,
        segment: &Segment,
        (offset, bytes): (u32, u32),
        class: Class,
        in_batch: u32,
    ) -> Load<CachedBlock> {
        let ask = Ask { in_batch, ..Ask::new(class, extent_key(segment, offset, bytes)) };
        let stored = |stored: &Bytes| Ok(CachedBlock::Stored(stored.clone()));
        self.cache.load_apart(ask, self.object(segment), stored)
    }

    /// A partition's meta that came along with its segment's head; `None` if it did not.
    pub(crate) fn partition_along(
        &self,
        segment: &Rc<Segment>,
        handle: &PartitionHandle,
        along: &Along,
    ) -> Result<Option<(Rc<PartitionMeta>, Tier)>> {
        let Some(stored) = along.meta(handle) else { return Ok(None) };
        let ask = Ask::new(Class::Meta, partition_key(segment, handle));
        let (block, tier) = self.cache.get_or_decode(&ask, stored, |stored| {
            Ok(CachedBlock::Partition(Rc::new(decode_partition(segment, handle, stored)?)))
        })?;
        Ok(Some((take_partition(segment, block)?, tier)))
    }

    /// A data block that came along with its partition's meta or its segment's head; `None` if it did not.
    pub(crate) fn data_along(
        &self,
        segment: &Rc<Segment>,
        head: &Rc<SegmentHead>,
        handle: BlockHandle,
        along: &Along,
    ) -> Result<Option<(Rc<DataBlock>, Tier)>> {
        let Some(stored) = along.data(&handle) else { return Ok(None) };
        let ask = Ask::new(Class::Data, data_key(segment, &handle));
        let (block, tier) = self.cache.get_or_decode(&ask, stored, |stored| {
            let block = decode_data(segment, head, &handle, Access::Points, stored)?;
            Ok(CachedBlock::Data(Rc::new(block)))
        })?;
        Ok(Some((take_data(segment, block)?, tier)))
    }

    /// Takes a segment's head out of a loaded block; `Corrupt` if the block is of another kind.
    pub(crate) fn take_head(&self, segment: &Segment, block: CachedBlock) -> Result<Rc<SegmentHead>> {
        let CachedBlock::Head(head) = block else { return Err(mixed_up(segment)) };
        *segment.head.head.borrow_mut() = Rc::downgrade(&head);
        Ok(head)
    }

    fn object<'a>(&self, segment: &'a Segment) -> &'a Rc<dyn ObjectReader<Error>> {
        let object = segment.head.object.get_or_init(|| {
            let (remote, name) = (Arc::clone(&self.remote), segment.entry.object.clone());
            SegmentObject(Rc::new(RemoteObject { remote, name }))
        });
        &object.0
    }

    /// Offers a segment that was just written to the cache: what is needed to search it, which is at hand already, and of its data what
    /// `written` names. It tells of a data block, by its offset in the segment, how it was made; `None` if it is not worth its way. In
    /// slices, between which reads run.
    pub(crate) async fn cache_written(
        &self,
        segment: &Segment,
        encoded: EncodedSegment,
        written: impl Fn(u32) -> Option<Written>,
    ) {
        let mut slice = 0;
        for extent in &encoded.extents {
            slice += 1;
            if slice == WRITTEN_EXTENTS_A_SLICE {
                slice = 0;
                aquifer_io::yield_now().await;
            }
            match extent {
                WrittenExtent::Data { offset, bytes } => {
                    if let Some(written) = written(*offset)
                        && let Some(stored) = encoded.stored(*offset, *bytes)
                    {
                        let key = extent_key(segment, *offset, *bytes);
                        self.cache.offer_written(Class::Data, key, &stored, None, written);
                    }
                }
                WrittenExtent::Partition(handle) => {
                    if let Some(stored) = encoded.stored(handle.meta_offset(), handle.meta_bytes) {
                        // A copy: what the cache keeps must not hold the chunk. What was just encoded is sound.
                        let meta = decode_partition(segment, handle, &Bytes::copy_from_slice(&stored)).ok();
                        let meta = meta.map(|meta| CachedBlock::Partition(Rc::new(meta)));
                        self.cache.insert(Class::Meta, partition_key(segment, handle), &stored, meta);
                    }
                }
            }
        }
        if let Some(tail) = encoded.tail().cloned() {
            let head = Rc::new(encoded.head);
            *segment.head.head.borrow_mut() = Rc::downgrade(&head);
            self.cache.insert(Class::Meta, head_key(segment), &tail, Some(CachedBlock::Head(head)));
        }
    }
}

/// Who asks: for what, and where in its batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asking {
    pub(crate) reads: ReadClass,
    pub(crate) in_batch: u32,
}

impl Asking {
    fn ask(self, class: Class, key: CacheKey) -> Ask {
        Ask { reads: self.reads, in_batch: self.in_batch, ..Ask::new(class, key) }
    }
}
