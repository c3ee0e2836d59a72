//! The index: one row a data block, found by binary search without decoding the whole.
//!
//! ```text
//! offset  bytes  field
//!      0      4  number of data blocks
//!      4  16 * n  rows: offset of the block in the segment | its stored bytes | CRC-32 of its payload | end of its last key below
//!      -      -  last keys of all blocks, one behind the other
//! ```

use super::Place;
use super::block::Written;
use crate::codec::{stored_u32, u32_at};
use crate::error::Result;
use bytes::Bytes;

const COUNT_BYTES: usize = 4;
const ROW_BYTES: usize = 16;
const _: () = assert!(ROW_BYTES == 4 + 4 + 4 + 4);

/// Where a data block lies in its segment, and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHandle {
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
    pub(crate) crc: u32,
}

/// Collects the rows while blocks are written.
#[derive(Default)]
pub(crate) struct Builder {
    rows: Vec<u8>,
    keys: Vec<u8>,
}

impl Builder {
    pub(crate) fn push(&mut self, offset: u32, written: Written, last_key: &[u8]) {
        self.keys.extend_from_slice(last_key);
        for field in [offset, written.bytes, written.crc, stored_u32(self.keys.len())] {
            self.rows.extend_from_slice(&field.to_le_bytes());
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        COUNT_BYTES + self.rows.len() + self.keys.len()
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.bytes());
        payload.extend_from_slice(&stored_u32(self.rows.len() / ROW_BYTES).to_le_bytes());
        payload.extend_from_slice(&self.rows);
        payload.extend_from_slice(&self.keys);
        payload
    }
}

/// A verified index.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    payload: Bytes,
    blocks: usize,
}

impl Index {
    /// Checks the frame, every key's border and every block's place, of a payload whose checksum was verified. Blocks lie below `blocks_end`.
    pub(crate) fn decode(payload: Bytes, blocks_end: u32, place: &Place) -> Result<Self> {
        let bad = |what: &str| place.corrupt("an index of data blocks", what);
        let blocks = u32_at(&payload, 0).ok_or_else(|| bad("no count"))? as usize;
        let rows_end = blocks.checked_mul(ROW_BYTES).and_then(|bytes| bytes.checked_add(COUNT_BYTES));
        let keys_bytes = rows_end
            .and_then(|end| payload.len().checked_sub(end))
            .ok_or_else(|| bad("fewer rows than counted"))?;
        let index = Self { payload, blocks };
        let (mut next_offset, mut key_end) = (0u32, 0usize);
        for block in 0..blocks {
            let handle = index.handle(block).ok_or_else(|| bad("a cut row"))?;
            let end = index.row(block, 3).ok_or_else(|| bad("a cut row"))? as usize;
            if handle.offset != next_offset || end < key_end || end > keys_bytes {
                return Err(bad("a row that does not follow the one before"));
            }
            next_offset = handle
                .offset
                .checked_add(handle.bytes)
                .filter(|&end| end <= blocks_end)
                .ok_or_else(|| bad("a block outside"))?;
            key_end = end;
        }
        if key_end != keys_bytes || next_offset != blocks_end {
            return Err(bad("bytes left over"));
        }
        Ok(index)
    }

    fn row(&self, block: usize, field: usize) -> Option<u32> {
        u32_at(&self.payload, COUNT_BYTES + block * ROW_BYTES + field * 4)
    }

    /// The data block at position `block`.
    pub(crate) fn handle(&self, block: usize) -> Option<BlockHandle> {
        if block >= self.blocks {
            return None;
        }
        Some(BlockHandle {
            offset: self.row(block, 0)?,
            bytes: self.row(block, 1)?,
            crc: self.row(block, 2)?,
        })
    }

    fn last_key(&self, block: usize) -> &[u8] {
        let keys = COUNT_BYTES + self.blocks * ROW_BYTES;
        let start = block.checked_sub(1).and_then(|before| self.row(before, 3)).unwrap_or(0) as usize;
        let end = self.row(block, 3).unwrap_or(0) as usize;
        self.payload.get(keys + start..keys + end).unwrap_or_default()
    }

    /// Position of the one block that may hold `key`: the first whose last key is not below it. May be one past the last block.
    pub(crate) fn seek(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.blocks);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.last_key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.payload.len() + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_remote::ObjectName;

    fn place() -> Place {
        Place { object: ObjectName::new("pack/test").unwrap(), offset: 0 }
    }

    fn payload() -> Vec<u8> {
        let mut builder = Builder::default();
        for (n, key) in [(0, "bb"), (1, "dd"), (2, "ff")] {
            builder.push(n * 100, Written { bytes: 100, crc: n }, key.as_bytes());
        }
        builder.finish()
    }

    #[test]
    fn seeks_the_block_that_may_hold_a_key() {
        let index = Index::decode(Bytes::from(payload()), 300, &place()).unwrap();
        for (key, block) in [("a", 0), ("bb", 0), ("bbb", 1), ("dd", 1), ("e", 2), ("ff", 2), ("g", 3)] {
            assert_eq!(index.seek(key.as_bytes()), block, "{key}");
        }
        assert_eq!(index.handle(1), Some(BlockHandle { offset: 100, bytes: 100, crc: 1 }));
        assert_eq!(index.handle(3), None);
    }

    #[test]
    fn rows_that_do_not_fit_together_are_refused() {
        let good = payload();
        assert!(Index::decode(Bytes::from(good.clone()), 301, &place()).is_err());
        for at in (0..COUNT_BYTES + 3 * ROW_BYTES)
            .filter(|at| (at + 16 - COUNT_BYTES) % ROW_BYTES < 8 || *at < COUNT_BYTES)
        {
            let mut bad = good.clone();
            bad[at] ^= 0x41;
            assert!(Index::decode(Bytes::from(bad), 300, &place()).is_err(), "byte {at}");
        }
        for length in 0..good.len() {
            assert!(Index::decode(Bytes::copy_from_slice(&good[..length]), 300, &place()).is_err());
        }
    }
}
