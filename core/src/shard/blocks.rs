//! Blocks of segments through the cache: what is in memory at once, the rest by one read from SSD or DFS.

use super::ShardCore;
use crate::error::{Error, Result};
use crate::segment::block::{self, Expected, Kind};
use crate::segment::data::DataBlock;
use crate::segment::index::BlockHandle;
use crate::segment::meta::SegmentMeta;
use crate::segment::writer::EncodedSegment;
use crate::version::Segment;
use aquifer_cache::{CacheKey, Cached, Class, LoadError, Tier};
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
    pub(crate) async fn meta(&self, segment: &Rc<Segment>) -> Result<(Rc<SegmentMeta>, Tier)> {
        let opened = Rc::clone(segment);
        let decode = move |tail: &Bytes| {
            let meta = SegmentMeta::decode(tail, &opened.entry, &opened.place(opened.tail_offset()))?;
            Ok(CachedBlock::Meta(Rc::new(meta)))
        };
        match self.load(Class::Meta, meta_key(segment), segment, decode).await? {
            (CachedBlock::Meta(meta), tier) => Ok((meta, tier)),
            (CachedBlock::Data(_), _) => Err(mixed_up(segment)),
        }
    }

    /// A data block: one read if it is not in memory.
    pub(crate) async fn data(
        &self,
        segment: &Rc<Segment>,
        handle: BlockHandle,
    ) -> Result<(Rc<DataBlock>, Tier)> {
        let owner = Rc::clone(segment);
        let decode =
            move |stored: &Bytes| Ok(CachedBlock::Data(Rc::new(decode_data(&owner, handle, stored)?)));
        match self.load(Class::Data, data_key(segment, handle.offset, handle.bytes), segment, decode).await? {
            (CachedBlock::Data(block), tier) => Ok((block, tier)),
            (CachedBlock::Meta(_), _) => Err(mixed_up(segment)),
        }
    }

    /// Offers a segment that was just written to the cache: what was written lately is read soon. Its filter and index are at hand already.
    pub(crate) fn cache_written(&self, segment: &Segment, encoded: EncodedSegment) {
        for block in &encoded.blocks {
            if let Some(stored) = encoded.block_bytes(block) {
                self.cache.insert(Class::Data, data_key(segment, block.offset, block.bytes), &stored, None);
            }
        }
        if let Some(tail) = encoded.chunks.last() {
            let meta = CachedBlock::Meta(Rc::new(encoded.meta));
            self.cache.insert(Class::Meta, meta_key(segment), tail, Some(meta));
        }
        self.balance_memory();
    }

    async fn load(
        &self,
        class: Class,
        key: CacheKey,
        segment: &Segment,
        decode: impl Fn(&Bytes) -> Result<CachedBlock> + 'static,
    ) -> Result<(CachedBlock, Tier)> {
        let remote = Arc::clone(&self.shared.remote);
        let object = segment.entry.object.clone();
        let fetch = move || async move {
            let range = key.offset..key.offset + u64::from(key.bytes);
            remote.get_range(&object, range).await.map_err(Error::from)
        };
        let mut load = self.cache.get_or_load(class, key, decode, fetch);
        match (&mut load).await {
            Ok(block) => Ok((block, load.tier())),
            Err(LoadError::Source(error)) => Err(error),
            Err(LoadError::Stopped) => Err(Error::closed()),
        }
    }
}

/// Verifies a data block as it was stored and makes it ready to be searched.
fn decode_data(segment: &Segment, handle: BlockHandle, stored: &Bytes) -> Result<DataBlock> {
    let place = segment.place(u64::from(handle.offset));
    let expected = Expected { kind: Kind::Data, tag: segment.entry.tag, crc: handle.crc };
    DataBlock::decode(block::decode(stored, expected, &place)?, &place)
}

/// Where a cursor gets its blocks from.
#[derive(Debug)]
pub(crate) enum BlockSource {
    /// One by one through the cache.
    Cache,
    /// Many neighbours at once from the DFS, past the cache.
    Windows {
        /// Bytes of a window, at least one block.
        bytes_max: usize,
        /// Where the current window begins in the segment, and its bytes.
        window: Option<(u32, Bytes)>,
    },
}

impl BlockSource {
    pub(crate) fn windows(bytes_max: usize) -> Self {
        Self::Windows { bytes_max, window: None }
    }

    /// Forgets what belongs to the segment before.
    pub(crate) fn next_segment(&mut self) {
        if let Self::Windows { window, .. } = self {
            *window = None;
        }
    }

    /// The block at `position`; `None` past the last one.
    pub(crate) async fn block(
        &mut self,
        core: &ShardCore,
        segment: &Rc<Segment>,
        meta: &SegmentMeta,
        position: usize,
    ) -> Result<Option<(BlockHandle, Rc<DataBlock>)>> {
        let Some(handle) = meta.block(position) else { return Ok(None) };
        let Self::Windows { bytes_max, window } = self else {
            return Ok(Some((handle, core.data(segment, handle).await?.0)));
        };
        let inside = |window: &(u32, Bytes)| {
            let start = handle.offset.checked_sub(window.0)? as usize;
            let end = start.checked_add(handle.bytes as usize)?;
            (end <= window.1.len()).then(|| window.1.slice(start..end))
        };
        let stored = match window.as_ref().and_then(inside) {
            Some(stored) => stored,
            None => {
                let end = window_end(meta, position, *bytes_max);
                let offset = segment.entry.offset;
                let range = offset + u64::from(handle.offset)..offset + u64::from(end);
                let fetched = core.shared.remote.get_range(&segment.entry.object, range).await?;
                let fetched = window.insert((handle.offset, fetched));
                fetched.1.slice(..(handle.bytes as usize).min(fetched.1.len()))
            }
        };
        Ok(Some((handle, Rc::new(decode_data(segment, handle, &stored)?))))
    }
}

/// End, in the segment, of the blocks from `position` on that fit a window.
fn window_end(meta: &SegmentMeta, position: usize, bytes_max: usize) -> u32 {
    let first = meta.block(position).map_or(0, |handle| handle.offset);
    let ends = (position..)
        .map_while(|position| meta.block(position))
        .map(|handle| handle.offset.saturating_add(handle.bytes));
    let mut ends = ends.peekable();
    let mut end = ends.next().unwrap_or(first);
    while let Some(next) = ends.next_if(|&next| (next - first) as usize <= bytes_max) {
        end = next;
    }
    end
}

/// One extent is always decoded as the same kind of block; said rather than assumed.
fn mixed_up(segment: &Segment) -> Error {
    segment.place(0).corrupt("blocks and tail of a segment apart", "one extent used as both")
}
