//! What one read of a segment's tail gives: its filter, its index and its properties, verified and ready in memory.
//!
//! The properties block, whose payload a newer version may lengthen:
//! ```text
//! offset  bytes  field
//!      0      8  entries, deletions included
//!      8      8  deletions among them
//!     16      4  bytes of the smallest key, then of the largest
//!     24      -  smallest key, largest key
//! ```

use super::Place;
use super::block::{self, Expected, Kind, Written};
use super::filter::Filter;
use super::footer::{FOOTER_BYTES, Footer};
use super::index::{BlockHandle, Index};
use crate::codec::{Reader, stored_u32};
use crate::error::Result;
use crate::manifest::format::SegmentEntry;
use bytes::Bytes;

/// Counts and key borders of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    pub(crate) smallest: Vec<u8>,
    pub(crate) largest: Vec<u8>,
}

impl Properties {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + self.smallest.len() + self.largest.len());
        out.extend_from_slice(&self.entries.to_le_bytes());
        out.extend_from_slice(&self.tombstones.to_le_bytes());
        out.extend_from_slice(&stored_u32(self.smallest.len()).to_le_bytes());
        out.extend_from_slice(&stored_u32(self.largest.len()).to_le_bytes());
        out.extend_from_slice(&self.smallest);
        out.extend_from_slice(&self.largest);
        out
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(payload);
        let (entries, tombstones) = (fields.u64()?, fields.u64()?);
        let (smallest, largest) = (fields.u32()? as usize, fields.u32()? as usize);
        let (smallest, largest) = (fields.bytes(smallest)?.to_vec(), fields.bytes(largest)?.to_vec());
        Some(Self { entries, tombstones, smallest, largest })
    }
}

/// The opened tail of a segment.
#[derive(Debug)]
pub(crate) struct SegmentMeta {
    filter: Filter,
    index: Index,
}

impl SegmentMeta {
    pub(crate) fn is_deleted(&self, _key: &[u8]) -> bool {
        false
    }

    pub(crate) fn new(filter: Filter, index: Index) -> Self {
        Self { filter, index }
    }

    /// Verifies `tail`, read from `place` (the tail's own offset in the object), against the manifest's `entry`.
    pub(crate) fn decode(tail: &Bytes, entry: &SegmentEntry, place: &Place) -> Result<Self> {
        let short = || place.corrupt("a segment's tail", format!("{} bytes", tail.len()));
        let footer_at = tail.len().checked_sub(FOOTER_BYTES).ok_or_else(short)?;
        let footer_bytes = tail.last_chunk::<FOOTER_BYTES>().ok_or_else(short)?;
        let footer =
            Footer::decode(footer_bytes, entry.tag, entry.footer_crc, &place.plus(footer_at as u64))?;
        // The manifest and the footer must agree on where the data blocks end.
        let data_end = u64::from(footer.filter_offset);
        if data_end + tail.len() as u64 != u64::from(entry.bytes) {
            return Err(place.corrupt(
                format!("data blocks up to {data_end}"),
                format!("a segment of {} bytes", entry.bytes),
            ));
        }
        let mut at = 0usize;
        let mut part = |kind: Kind, written: Written| {
            let from = place.plus(at as u64);
            let end = at.checked_add(written.bytes as usize).filter(|&end| end <= footer_at);
            let stored = end
                .map(|end| tail.slice(at..end))
                .ok_or_else(|| from.corrupt("a block of the tail", "the tail's end"))?;
            at += stored.len();
            block::decode(&stored, Expected { kind, tag: entry.tag, crc: written.crc }, &from)
        };
        let filter = part(Kind::Filter, footer.filter)?;
        let index = part(Kind::Index, footer.index)?;
        let properties = part(Kind::Properties, footer.properties)?;
        let properties =
            Properties::decode(&properties).ok_or_else(|| place.corrupt("properties", "a cut block"))?;
        if properties.entries != entry.entries
            || properties.smallest != *entry.smallest
            || properties.largest != *entry.largest
        {
            return Err(place.corrupt(
                format!("{} entries in the manifest's key range", entry.entries),
                properties.entries,
            ));
        }
        Ok(Self {
            filter: Filter::decode(&filter, place)?,
            index: Index::decode(index, footer.filter_offset, place)?,
        })
    }

    /// Whether the segment may hold a key of this hash.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.filter.may_contain(hash)
    }

    /// Position of the block that may hold `key`.
    pub(crate) fn seek(&self, key: &[u8]) -> usize {
        self.index.seek(key)
    }

    pub(crate) fn block(&self, position: usize) -> Option<BlockHandle> {
        self.index.handle(position)
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.filter.memory_bytes() + self.index.memory_bytes() + size_of::<Self>()
    }
}
