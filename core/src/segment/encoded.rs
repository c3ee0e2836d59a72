//! A complete segment that waits for its upload.

use super::counts::Counts;
use super::head::SegmentHead;
use super::partition::PartitionHandle;
use super::segment_entry::SegmentEntry;
use crate::error::Result;
use crate::key::{GROUP_BYTES, group_of};
use bytes::Bytes;
use std::ops::Range;

/// A block as it was written: where, for the cache. It never straddles two chunks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WrittenExtent {
    /// A data block.
    Data { offset: u32, bytes: u32 },
    /// The meta of a partition.
    Partition(PartitionHandle),
}

/// A segment as bytes, and what is known of it.
#[derive(Debug)]
pub(crate) struct EncodedSegment {
    /// Its bytes; the tail is the last chunk.
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) bytes: u32,
    pub(crate) tail_bytes: u32,
    pub(crate) footer_crc: u32,
    pub(crate) tag: u64,
    pub(crate) extents: Vec<WrittenExtent>,
    pub(crate) head: SegmentHead,
}

impl EncodedSegment {
    /// What the manifest will say of it, on level 0, but for its place, which only the upload decides.
    pub(crate) fn entry(&self, sequence: u64) -> Result<SegmentEntry> {
        let (smallest, largest) = (self.head.smallest(), self.head.largest());
        Ok(SegmentEntry {
            object: crate::name::unwritten()?,
            offset: 0,
            bytes: self.bytes,
            tail_bytes: self.tail_bytes,
            footer_crc: self.footer_crc,
            tag: self.tag,
            sequence,
            level: 0,
            groups: groups(&self.head),
            counts: *self.counts(),
            range_deletes: u32::try_from(self.head.range_deletes().count()).unwrap_or(u32::MAX),
            smallest: Box::from(smallest),
            largest: Box::from(largest),
        })
    }

    pub(crate) fn counts(&self) -> &Counts {
        self.head.counts()
    }

    /// The stored bytes of one block.
    pub(crate) fn stored(&self, offset: u32, bytes: u32) -> Option<Bytes> {
        let mut start = 0usize;
        for chunk in &self.chunks {
            let at = (offset as usize).checked_sub(start)?;
            if at < chunk.len() {
                let end = at.checked_add(bytes as usize)?;
                return (end <= chunk.len()).then(|| chunk.slice(at..end));
            }
            start += chunk.len();
        }
        None
    }

    /// The stored bytes of the tail.
    pub(crate) fn tail(&self) -> Option<&Bytes> {
        self.chunks.last()
    }
}

/// The key groups that entries and range deletions lie in.
///
/// A bare group may be the exclusive end of a range deletion, in which nothing lies, or an empty key, which does.
fn groups(head: &SegmentHead) -> Range<u16> {
    let (smallest, largest) = (head.smallest(), head.largest());
    let first = group_of(smallest).unwrap_or_default();
    let last = group_of(largest).unwrap_or_default();
    let is_end =
        largest.len() == GROUP_BYTES && first < last && head.groups().all(|(group, _)| group != last);
    first..if is_end { last } else { last.saturating_add(1) }
}
