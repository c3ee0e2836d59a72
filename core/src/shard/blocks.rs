//! Heads, partition metas and data blocks of segments through the cache: what is in memory at once, the rest by one read from SSD or DFS.
//!
//! Each of the three is one extent of an object and one entry of the cache. The `_now` methods answer from memory alone; the others load
//! what is missing. On the DFS a partition's meta follows its data, so a lookup that finds neither in memory nor on the SSD takes both by
//! one GET.

use super::ShardCore;
use crate::error::{Error, Result};
use crate::segment::block::{self, Expected, Kind};
use crate::segment::data::{Access, DataBlock};
use crate::segment::encoded::{EncodedSegment, WrittenExtent};
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::version::Segment;
use aquifer_cache::{CacheKey, Cached, Class, LoadError, Tier, Written};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// What the cache holds, verified and decoded.
#[derive(Clone)]
pub(crate) enum CachedBlock {
    Data(Rc<DataBlock>),
    Partition(Rc<PartitionMeta>),
    Head(Rc<SegmentHead>),
}

impl Cached for CachedBlock {
    fn memory_bytes(&self) -> usize {
        match self {
            Self::Data(block) => block.memory_bytes(),
            Self::Partition(meta) => meta.memory_bytes(),
            Self::Head(head) => head.memory_bytes(),
        }
    }
}

/// A segment's way to its head without a search in the cache. The cache counts the head and may forget it; then so does this.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadPin {
    head: RefCell<Weak<SegmentHead>>,
    uses: Cell<u8>,
}

/// Every so many uses of a pinned head the cache is asked for it as well: a head in use must not look forgotten there.
const PIN_USES: u8 = 32;

/// Identity of a segment's tail in the cache.
pub(crate) fn head_key(segment: &Segment) -> CacheKey {
    CacheKey {
        object: segment.object_id,
        offset: segment.entry.offset + segment.tail_offset(),
        bytes: segment.entry.tail_bytes,
    }
}

/// Identity of an extent of a segment in the cache.
fn extent_key(segment: &Segment, offset: u32, bytes: u32) -> CacheKey {
    CacheKey { object: segment.object_id, offset: segment.entry.offset + u64::from(offset), bytes }
}

/// Identity of the meta of a partition in the cache.
pub(crate) fn partition_key(segment: &Segment, handle: &PartitionHandle) -> CacheKey {
    extent_key(segment, handle.meta_offset(), handle.meta_bytes)
}

/// Identity of a data block in the cache.
pub(crate) fn data_key(segment: &Segment, handle: &BlockHandle) -> CacheKey {
    extent_key(segment, handle.offset, handle.bytes)
}

/// Verifies a segment's tail as it was stored and makes it ready to be searched.
pub(crate) fn decode_head(segment: &Segment, tail: &Bytes) -> Result<SegmentHead> {
    SegmentHead::decode(tail, &segment.entry, &segment.place(segment.tail_offset()))
}

/// Verifies a partition's meta as it was stored and makes it ready to be searched.
pub(crate) fn decode_partition(
    segment: &Segment,
    handle: &PartitionHandle,
    stored: &Bytes,
) -> Result<PartitionMeta> {
    let place = segment.place(u64::from(handle.meta_offset()));
    let expected = Expected { kind: Kind::Partition, crc: handle.meta_crc, dictionary: None };
    PartitionMeta::decode(block::decode(stored, expected, &place)?, handle.data_bytes, &place)
}

/// Verifies a data block as it was stored and makes it ready to be searched.
pub(crate) fn decode_data(
    segment: &Segment,
    head: &SegmentHead,
    handle: &BlockHandle,
    access: Access,
    stored: &Bytes,
) -> Result<DataBlock> {
    let place = segment.place(u64::from(handle.offset));
    let expected = Expected { kind: Kind::Data, crc: handle.crc, dictionary: head.dictionary() };
    DataBlock::decode(block::decode(stored, expected, &place)?, access, &place)
}

impl ShardCore {
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

    /// The meta of a partition, if it is in memory.
    #[inline]
    pub(crate) fn partition_now(
        &self,
        segment: &Segment,
        handle: &PartitionHandle,
    ) -> Option<Rc<PartitionMeta>> {
        match self.cache.get(Class::Meta, &partition_key(segment, handle)) {
            Some(CachedBlock::Partition(meta)) => Some(meta),
            _ => None,
        }
    }

    /// A data block, if it is in memory.
    #[inline]
    pub(crate) fn data_now(&self, segment: &Segment, handle: &BlockHandle) -> Option<Rc<DataBlock>> {
        match self.cache.get(Class::Data, &data_key(segment, handle)) {
            Some(CachedBlock::Data(block)) => Some(block),
            _ => None,
        }
    }

    /// A segment's head: one read of its tail if it is not in memory.
    pub(crate) async fn head(&self, segment: &Rc<Segment>) -> Result<(Rc<SegmentHead>, Tier)> {
        if let Some(head) = self.head_now(segment) {
            return Ok((head, Tier::Memory));
        }
        let opened = Rc::clone(segment);
        let decode = move |tail: &Bytes| Ok(CachedBlock::Head(Rc::new(decode_head(&opened, tail)?)));
        let fetch = self.fetch(segment, head_key(segment));
        match self.load(Class::Meta, head_key(segment), decode, fetch).await? {
            (CachedBlock::Head(head), tier) => {
                *segment.head.head.borrow_mut() = Rc::downgrade(&head);
                Ok((head, tier))
            }
            _ => Err(mixed_up(segment)),
        }
    }

    /// The meta of a partition: one read if it is not in memory.
    pub(crate) async fn partition(
        &self,
        segment: &Rc<Segment>,
        handle: PartitionHandle,
    ) -> Result<Rc<PartitionMeta>> {
        let fetch = self.fetch(segment, partition_key(segment, &handle));
        self.partition_by(segment, handle, fetch).await.map(|(meta, _)| meta)
    }

    /// The meta of a partition; if it has to come from the DFS, one GET brings the partition's data blocks along.
    pub(crate) async fn partition_and_data(
        &self,
        segment: &Rc<Segment>,
        handle: PartitionHandle,
    ) -> Result<(Rc<PartitionMeta>, PartitionData, Tier)> {
        let kept = Rc::new(RefCell::new(Bytes::new()));
        let fetched = self.fetch(segment, extent_key(segment, handle.offset, handle.bytes()));
        let keep = Rc::clone(&kept);
        let fetch = move || async move {
            let both = fetched().await?;
            let at = handle.data_bytes as usize;
            // A copy: what the cache keeps of it must not hold the whole partition. Bytes of another length fail their checksum.
            let meta = Bytes::copy_from_slice(both.get(at..).unwrap_or_default());
            *keep.borrow_mut() = both.slice(..at.min(both.len()));
            Ok(meta)
        };
        let (meta, tier) = self.partition_by(segment, handle, fetch).await?;
        Ok((meta, PartitionData { offset: handle.offset, bytes: kept.take() }, tier))
    }

    async fn partition_by<F, Fut>(
        &self,
        segment: &Rc<Segment>,
        handle: PartitionHandle,
        fetch: F,
    ) -> Result<(Rc<PartitionMeta>, Tier)>
    where
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<Bytes>> + 'static,
    {
        let owner = Rc::clone(segment);
        let decode = move |stored: &Bytes| {
            Ok(CachedBlock::Partition(Rc::new(decode_partition(&owner, &handle, stored)?)))
        };
        match self.load(Class::Meta, partition_key(segment, &handle), decode, fetch).await? {
            (CachedBlock::Partition(meta), tier) => Ok((meta, tier)),
            _ => Err(mixed_up(segment)),
        }
    }

    /// A data block: one read if it is not in memory.
    pub(crate) async fn data(
        &self,
        segment: &Rc<Segment>,
        head: &Rc<SegmentHead>,
        handle: BlockHandle,
    ) -> Result<Rc<DataBlock>> {
        self.data_or(segment, head, handle, &PartitionData::default()).await.map(|(block, _)| block)
    }

    /// A data block: from memory, else from what a GET of its partition brought along, else by one read.
    pub(crate) async fn data_or(
        &self,
        segment: &Rc<Segment>,
        head: &Rc<SegmentHead>,
        handle: BlockHandle,
        along: &PartitionData,
    ) -> Result<(Rc<DataBlock>, Tier)> {
        let (owner, opened) = (Rc::clone(segment), Rc::clone(head));
        let decode = move |stored: &Bytes| {
            let block = decode_data(&owner, &opened, &handle, Access::Points, stored)?;
            Ok(CachedBlock::Data(Rc::new(block)))
        };
        let brought = along.stored(&handle).map(Bytes::copy_from_slice);
        let fetched = self.fetch(segment, data_key(segment, &handle));
        let fetch = move || async move {
            match brought {
                Some(stored) => Ok(stored),
                None => fetched().await,
            }
        };
        match self.load(Class::Data, data_key(segment, &handle), decode, fetch).await? {
            (CachedBlock::Data(block), tier) => Ok((block, tier)),
            _ => Err(mixed_up(segment)),
        }
    }

    /// Offers a segment that was just written to the cache: what was written lately is read soon. What is needed to search it is at
    /// hand already.
    ///
    /// `written` tells of a data block, by its offset in the segment, how it was made.
    pub(crate) fn cache_written(
        &self,
        segment: &Segment,
        encoded: EncodedSegment,
        written: impl Fn(u32) -> Written,
    ) {
        for extent in &encoded.extents {
            match extent {
                WrittenExtent::Data { offset, bytes } => {
                    if let Some(stored) = encoded.stored(*offset, *bytes) {
                        let key = extent_key(segment, *offset, *bytes);
                        self.cache.offer_written(Class::Data, key, &stored, None, written(*offset));
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
        self.balance_memory();
    }

    /// One GET of an extent.
    fn fetch(
        &self,
        segment: &Segment,
        key: CacheKey,
    ) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = Result<Bytes>>>> + use<> {
        let remote = Arc::clone(&self.shared.remote);
        let object = segment.entry.object.clone();
        move || {
            Box::pin(async move {
                let range = key.offset..key.offset + u64::from(key.bytes);
                remote.get_range(&object, range).await.map_err(Error::from)
            })
        }
    }

    async fn load<F, Fut>(
        &self,
        class: Class,
        key: CacheKey,
        decode: impl Fn(&Bytes) -> Result<CachedBlock> + 'static,
        fetch: F,
    ) -> Result<(CachedBlock, Tier)>
    where
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<Bytes>> + 'static,
    {
        let mut load = self.cache.get_or_load(class, key, decode, fetch);
        match (&mut load).await {
            Ok(block) => Ok((block, load.tier())),
            Err(LoadError::Source(error)) => Err(error),
            Err(LoadError::Stopped) => Err(Error::closed()),
        }
    }
}

/// Stored data blocks of a partition that a GET brought along; nothing if there was none.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartitionData {
    /// Offset of the partition in its segment.
    offset: u32,
    bytes: Bytes,
}

impl PartitionData {
    /// The block as it is stored, not verified yet.
    pub(crate) fn stored(&self, handle: &BlockHandle) -> Option<&[u8]> {
        let start = handle.offset.checked_sub(self.offset)? as usize;
        self.bytes.get(start..start.checked_add(handle.bytes as usize)?)
    }
}

/// One extent is always decoded as the same kind of block; said rather than assumed.
fn mixed_up(segment: &Segment) -> Error {
    segment.place(0).corrupt("head, metas and blocks of a segment apart", "one extent used as two of them")
}
