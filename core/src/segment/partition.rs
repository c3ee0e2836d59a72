//! The meta of a partition: which of its data blocks may hold a key, and which keys it surely does not hold.
//!
//! ```text
//! offset  bytes   field
//!      0      4   number of data blocks
//!      4      4   bytes of the largest key
//!      8      4   bytes of the filter
//!     12      4   zero
//!     16     56   counts of its entries (see counts.rs)
//!     72  12 * n  rows: end of the block in the partition | checksum of the block | end of its separator below
//!      -      -   separators of all blocks, one behind the other; the first is the partition's smallest key
//!      -      -   largest key
//!      -      -   filter of all its keys (see filter.rs)
//! ```
//! A partition is the data blocks of about 64 KiB of entries. Its meta follows them directly, so that a cold read takes both at once.

use super::block::Written;
use super::counts::{COUNTS_BYTES, Counts};
use super::filter::{self, Filter};
use super::place::SegmentPlace;
use super::separators::{Layout, Separators};
use crate::codec::{Reader, partition_point, stored_u32, u32_at};
use crate::error::Result;
use bytes::Bytes;
use std::ops::Range;

const ROWS_AT: usize = 16 + COUNTS_BYTES;
const ROW_BYTES: usize = 12;
const _: () = assert!(4 * 4 + COUNTS_BYTES == ROWS_AT && ROWS_AT == 72);
const _: () = assert!(3 * 4 == ROW_BYTES);

/// Where a partition lies in its segment, and the checksum of its meta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionHandle {
    /// Offset of its first data block in the segment.
    pub(crate) offset: u32,
    /// Bytes of its data blocks.
    pub(crate) data_bytes: u32,
    /// Bytes of its meta, which follows.
    pub(crate) meta_bytes: u32,
    pub(crate) meta_crc: u32,
}

impl PartitionHandle {
    /// Offset of its meta in the segment.
    pub(crate) fn meta_offset(&self) -> u32 {
        self.offset.saturating_add(self.data_bytes)
    }

    /// Where it ends in the segment, its meta included.
    pub(crate) fn end(&self) -> u32 {
        self.meta_offset().saturating_add(self.meta_bytes)
    }

    /// Bytes of data and meta.
    pub(crate) fn bytes(&self) -> u32 {
        self.data_bytes.saturating_add(self.meta_bytes)
    }
}

/// Where a data block lies in its segment, and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHandle {
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
    pub(crate) crc: u32,
}

/// Collects what the meta says while blocks are written.
#[derive(Default)]
pub(crate) struct Builder {
    rows: Vec<u8>,
    separators: Vec<u8>,
    last_key: Vec<u8>,
    hashes: Vec<u64>,
    counts: Counts,
    data_bytes: u32,
}

impl Builder {
    /// Takes note of the next block and what is in it.
    pub(crate) fn push(
        &mut self,
        written: Written,
        separator: &[u8],
        last_key: Vec<u8>,
        hashes: &[u64],
        counts: &Counts,
    ) {
        self.data_bytes = self.data_bytes.saturating_add(written.bytes);
        self.separators.extend_from_slice(separator);
        for field in [self.data_bytes, written.crc, stored_u32(self.separators.len())] {
            self.rows.extend_from_slice(&field.to_le_bytes());
        }
        self.last_key = last_key;
        self.hashes.extend_from_slice(hashes);
        self.counts.add(counts);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn data_bytes(&self) -> u32 {
        self.data_bytes
    }

    pub(crate) fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// Memory it takes, about, and what building the filter will take.
    pub(crate) fn memory_bytes(&self) -> usize {
        // A hash a key, and a row, a result and a solution.
        self.rows.len() + self.separators.len() + self.hashes.len() * (8 + 8 + 1 + 1)
    }

    /// The payload of the meta.
    pub(crate) fn finish(self) -> Vec<u8> {
        let filter = filter::build(&self.hashes);
        let mut out = Vec::with_capacity(
            ROWS_AT + self.rows.len() + self.separators.len() + self.last_key.len() + filter.len(),
        );
        for field in [self.rows.len() / ROW_BYTES, self.last_key.len(), filter.len(), 0] {
            out.extend_from_slice(&stored_u32(field).to_le_bytes());
        }
        self.counts.encode(&mut out);
        out.extend_from_slice(&self.rows);
        out.extend_from_slice(&self.separators);
        out.extend_from_slice(&self.last_key);
        out.extend_from_slice(&filter);
        out
    }
}

/// A verified meta.
#[derive(Clone, Debug)]
pub(crate) struct PartitionMeta {
    payload: Bytes,
    separators: Separators,
    largest: Range<usize>,
    filter: Filter,
    counts: Counts,
}

impl PartitionMeta {
    /// Checks every row of a payload whose checksum was verified. The partition has `data_bytes` of data blocks.
    pub(crate) fn decode(payload: Bytes, data_bytes: u32, place: &SegmentPlace) -> Result<Self> {
        let bad = |what: &str| place.corrupt("the meta of a partition", what);
        let mut fields = Reader::new(&payload);
        let mut next = || fields.u32().map(|field| field as usize).ok_or_else(|| bad("a cut one"));
        let (blocks, largest_bytes, filter_bytes, zero) = (next()?, next()?, next()?, next()?);
        let counts = Counts::decode(&mut fields).ok_or_else(|| bad("counts that contradict each other"))?;
        if zero != 0 || blocks == 0 || counts.entries < blocks as u64 {
            return Err(bad("a block without entries"));
        }
        let rows = blocks.checked_mul(ROW_BYTES).and_then(|bytes| fields.bytes(bytes));
        let rows = rows.ok_or_else(|| bad("fewer rows than counted"))?;
        let mut end_before = 0;
        for row in rows.chunks_exact(ROW_BYTES) {
            let end = u32_at(row, 0).filter(|&end| end > end_before);
            end_before = end.ok_or_else(|| bad("blocks that do not follow each other"))?;
        }
        if end_before != data_bytes {
            return Err(bad("blocks of other bytes than the partition's"));
        }
        let keys_at = ROWS_AT + rows.len();
        let layout = Layout { count: blocks, ends_at: ROWS_AT + 8, stride: ROW_BYTES, keys_at };
        let separators =
            Separators::decode(payload.clone(), layout).ok_or_else(|| bad("separators out of order"))?;
        let largest_at = keys_at + separators.keys_bytes();
        let filter_at = largest_at.saturating_add(largest_bytes);
        if filter_at.checked_add(filter_bytes) != Some(payload.len()) {
            return Err(bad("other lengths than it has"));
        }
        let filter = Filter::decode(&payload.slice(filter_at..), &place.plus(filter_at as u64))?;
        let meta = Self { payload, separators, largest: largest_at..filter_at, filter, counts };
        if meta.largest() < meta.separators.get(blocks - 1) {
            return Err(bad("a largest key below its last block"));
        }
        Ok(meta)
    }

    /// Whether the partition may hold a key of this hash.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.filter.may_contain(hash)
    }

    /// Position of the one block that may hold `key`; `None` if it is below the smallest key.
    #[inline]
    pub(crate) fn seek(&self, key: &[u8]) -> Option<usize> {
        self.separators.seek(key)
    }

    /// Number of data blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.separators.count()
    }

    /// The block at `position` of the partition that begins at `offset` of its segment; `None` past the last.
    #[inline]
    pub(crate) fn block(&self, position: usize, offset: u32) -> Option<BlockHandle> {
        if position >= self.blocks() {
            return None;
        }
        let row =
            |position: usize, field: usize| u32_at(&self.payload, ROWS_AT + position * ROW_BYTES + 4 * field);
        let start = match position.checked_sub(1) {
            None => 0,
            Some(before) => row(before, 0)?,
        };
        let (end, crc) = (row(position, 0)?, row(position, 1)?);
        Some(BlockHandle { offset: offset.checked_add(start)?, bytes: end - start, crc })
    }

    /// The position of the block that begins at `offset` of the partition.
    pub(crate) fn position_of(&self, offset: u32) -> Option<usize> {
        let end = |position: usize| u32_at(&self.payload, ROWS_AT + position * ROW_BYTES).unwrap_or(u32::MAX);
        let position = partition_point(self.blocks(), |position| end(position) <= offset);
        let start = position.checked_sub(1).map_or(0, end);
        (position < self.blocks() && start == offset).then_some(position)
    }

    /// No key of the block at `position` is below it, every key of the blocks before is. Empty past the last.
    pub(crate) fn separator(&self, position: usize) -> &[u8] {
        self.separators.get(position)
    }

    /// Bytes of its filter.
    #[cfg(any(feature = "cli", feature = "internals"))]
    pub(crate) fn filter_bytes(&self) -> usize {
        self.payload.len() - self.largest.end
    }

    /// Its smallest key.
    pub(crate) fn smallest(&self) -> &[u8] {
        self.separators.get(0)
    }

    /// Its largest key.
    pub(crate) fn largest(&self) -> &[u8] {
        self.payload.get(self.largest.clone()).unwrap_or_default()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.payload.len() + self.separators.memory_bytes() + size_of::<Self>()
    }
}
