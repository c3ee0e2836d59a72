//! Blocks of segments through the cache: what is in memory at once, the rest by one read from SSD or DFS.

use super::ShardCore;
use crate::error::{Error, Result};
use crate::segment::block::{Expected, Kind};
use crate::segment::data::DataBlock;
use crate::segment::index::BlockHandle;
use crate::segment::meta::SegmentMeta;
use crate::segment::block;
use crate::version::Segment;
use aquifer_cache::{CacheKey, Cached, Class, LoadError};
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;

/// What the cache holds, verified and decoded.
#[derive(Clone)]
pub(crate) enum CachedBlock {
    Data(Rc<DataBlock>),
    Meta(Rc<SegmentMeta>),
}

impl Cached for CachedBlock {
    fn memory_bytes(&self) -> usize {
        match self {
            Self::Data(block) => block.memory_bytes(),
            Self::Meta(meta) => meta.memory_bytes(),
        }
    }
}

/// Identity of a segment's tail in the cache.
pub(crate) fn meta_key(segment: &Segment) -> CacheKey {
    CacheKey {
        object: segment.object_id,
        offset: segment.entry.offset + segment.tail_offset(),
        bytes: segment.entry.tail_bytes,
    }
}

/// Identity of a data block in the cache.
pub(crate) fn data_key(segment: &Segment, offset: u32, bytes: u32) -> CacheKey {
    CacheKey { object: segment.object_id, offset: segment.entry.offset + u64::from(offset), bytes }
}

impl ShardCore {
    /// A segment's filter and index, if they are in memory.
    pub(crate) fn meta_now(&self, segment: &Segment) -> Option<Rc<SegmentMeta>> {
        match self.cache.get(Class::Meta, &meta_key(segment)) {
            Some(CachedBlock::Meta(meta)) => Some(meta),
            _ => None,
        }
    }

    /// A data block, if it is in memory.
    pub(crate) fn data_now(&self, segment: &Segment, handle: BlockHandle) -> Option<Rc<DataBlock>> {
        match self.cache.get(Class::Data, &data_key(segment, handle.offset, handle.bytes)) {
            Some(CachedBlock::Data(block)) => Some(block),
            _ => None,
        }
    }

    /// A segment's filter and index: one read of its tail if they are not in memory.
    pub(crate) async fn meta(&self, segment: &Rc<Segment>) -> Result<Rc<SegmentMeta>> {
        let opened = Rc::clone(segment);
        let decode = move |tail: &Bytes| {
            let meta = SegmentMeta::decode(tail, &opened.entry, &opened.place(opened.tail_offset()))?;
            Ok(CachedBlock::Meta(Rc::new(meta)))
        };
        match self.load(Class::Meta, meta_key(segment), segment, decode).await? {
            CachedBlock::Meta(meta) => Ok(meta),
            CachedBlock::Data(_) => Err(mixed_up(segment)),
        }
    }

    /// A data block: one read if it is not in memory.
    pub(crate) async fn data(&self, segment: &Rc<Segment>, handle: BlockHandle) -> Result<Rc<DataBlock>> {
        let owner = Rc::clone(segment);
        let decode = move |stored: &Bytes| {
            let place = owner.place(u64::from(handle.offset));
            let expected = Expected { kind: Kind::Data, tag: owner.entry.tag, crc: handle.crc };
            let payload = block::decode(stored, expected, &place)?;
            Ok(CachedBlock::Data(Rc::new(DataBlock::decode(payload, &place)?)))
        };
        match self.load(Class::Data, data_key(segment, handle.offset, handle.bytes), segment, decode).await? {
            CachedBlock::Data(block) => Ok(block),
            CachedBlock::Meta(_) => Err(mixed_up(segment)),
        }
    }

    async fn load(
        &self,
        class: Class,
        key: CacheKey,
        segment: &Segment,
        decode: impl Fn(&Bytes) -> Result<CachedBlock> + 'static,
    ) -> Result<CachedBlock> {
        let remote = Arc::clone(&self.shared.remote);
        let object = segment.entry.object.clone();
        let fetch = move || async move {
            let range = key.offset..key.offset + u64::from(key.bytes);
            remote.get_range(&object, range).await.map_err(Error::from)
        };
        self.cache.get_or_load(class, key, decode, fetch).await.map_err(|error| match error {
            LoadError::Source(error) => error,
            LoadError::Stopped => Error::closed(),
        })
    }
}

/// One extent is always decoded as the same kind of block; said rather than assumed.
fn mixed_up(segment: &Segment) -> Error {
    segment.place(0).corrupt("blocks and tail of a segment apart", "one extent used as both")
}
