//! A block of a segment as the cache keeps it: how it is named, decoded and checked.

use crate::error::{Error, Result};
use crate::segment::block::{self, Expected, Kind};
use crate::segment::data::{Access, DataBlock};
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::version::Segment;
use aquifer_cache::{CacheKey, Cached};
use bytes::Bytes;
use std::rc::Rc;

/// What the cache holds, verified and decoded.
#[derive(Clone)]
pub(crate) enum CachedBlock {
    Data(Rc<DataBlock>),
    Partition(Rc<PartitionMeta>),
    Head(Rc<SegmentHead>),
    /// Bytes as they are stored, not verified yet, for a merge: never kept.
    Stored(Bytes),
}

impl Cached for CachedBlock {
    type Error = Error;

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Data(block) => block.memory_bytes(),
            Self::Partition(meta) => meta.memory_bytes(),
            Self::Head(head) => head.memory_bytes(),
            Self::Stored(stored) => stored.len(),
        }
    }
}

/// Identity of a segment's tail in the cache.
pub(crate) fn head_key(segment: &Segment) -> CacheKey {
    CacheKey {
        object: segment.object_id,
        offset: segment.entry.offset + segment.tail_offset(),
        bytes: segment.entry.tail_bytes,
    }
}

/// Identity of an extent of a segment in the cache.
pub(crate) fn extent_key(segment: &Segment, offset: u32, bytes: u32) -> CacheKey {
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
    DataBlock::decode(&block::decode(stored, expected, &place)?, access, &place)
}

/// Verifies a data block as it was stored and leaves it so.
pub(crate) fn verify_data(segment: &Segment, handle: &BlockHandle, stored: &[u8]) -> Result<()> {
    let place = segment.place(u64::from(handle.offset));
    let expected = Expected { kind: Kind::Data, crc: handle.crc, dictionary: None };
    block::verify(stored, expected, &place)
}
