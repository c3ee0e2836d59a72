//! Stored bytes that a read brought along with what it was for.

use crate::segment::partition::{BlockHandle, PartitionHandle};
use bytes::Bytes;

/// Stored bytes of a segment that a GET brought along; nothing if there were none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Along {
    /// Where they begin in the segment.
    offset: u32,
    bytes: Bytes,
}

impl Along {
    /// Takes the bytes that a load of a segment's head brought along: the segment from its beginning.
    pub(crate) const fn of_head(along: Bytes) -> Self {
        Self { offset: 0, bytes: along }
    }

    /// Takes the bytes that a load of a partition's meta brought along: the partition from its beginning.
    pub(crate) const fn of_partition(handle: &PartitionHandle, along: Bytes) -> Self {
        Self { offset: handle.offset, bytes: along }
    }

    /// A copy of this block alone; nothing if it did not come.
    pub(crate) fn only(&self, handle: &BlockHandle) -> Self {
        let copy = |stored: &[u8]| Self { offset: handle.offset, bytes: Bytes::copy_from_slice(stored) };
        self.data(handle).map_or_else(Self::default, copy)
    }

    /// A data block as it is stored, not verified yet.
    pub(crate) fn data(&self, handle: &BlockHandle) -> Option<&[u8]> {
        self.at(handle.offset, handle.bytes)
    }

    /// A partition's meta as it is stored, not verified yet.
    pub(crate) fn meta(&self, handle: &PartitionHandle) -> Option<&[u8]> {
        self.at(handle.meta_offset(), handle.meta_bytes)
    }

    fn at(&self, offset: u32, bytes: u32) -> Option<&[u8]> {
        let start = offset.checked_sub(self.offset)? as usize;
        self.bytes.get(start..start.checked_add(bytes as usize)?)
    }
}
