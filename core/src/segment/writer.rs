//! Writes a segment from sorted entries, in chunks that become the body of its upload.

use super::block::{Encoder, Kind};
use super::footer::{FOOTER_BYTES, Footer};
use super::meta::{Properties, SegmentMeta};
use super::{Place, data, filter, index};
use crate::codec::stored_u32;
use crate::error::{Error, Result};
use crate::limits::{BLOCK_RAW_BYTES, SEGMENT_BYTES_MAX};
use crate::manifest::format::SegmentEntry;
use crate::options::Compression;
use bytes::Bytes;

/// Finished bytes are handed out in chunks of about this many.
const CHUNK_BYTES: usize = 256 * 1024;

/// A data block as it was written: where, and the bytes, for the cache.
#[derive(Clone, Debug)]
pub(crate) struct WrittenBlock {
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
}

/// A complete segment that waits for its upload.
#[derive(Debug)]
pub(crate) struct EncodedSegment {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) bytes: u32,
    pub(crate) tail_bytes: u32,
    pub(crate) footer_crc: u32,
    pub(crate) tag: u64,
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    pub(crate) smallest: Box<[u8]>,
    pub(crate) largest: Box<[u8]>,
    pub(crate) blocks: Vec<WrittenBlock>,
    pub(crate) meta: SegmentMeta,
}

impl EncodedSegment {
    /// What the manifest will say of it, but for its place, which only the upload decides.
    pub(crate) fn entry(&self, sequence: u64) -> Result<SegmentEntry> {
        let group = |key: &[u8]| crate::key::group_of(key).unwrap_or_default();
        Ok(SegmentEntry {
            object: crate::name::unwritten()?,
            offset: 0,
            bytes: self.bytes,
            tail_bytes: self.tail_bytes,
            footer_crc: self.footer_crc,
            tag: self.tag,
            sequence,
            groups: group(&self.smallest)..group(&self.largest) + 1,
            entries: self.entries,
            tombstones: self.tombstones,
            smallest: self.smallest.clone(),
            largest: self.largest.clone(),
        })
    }

    /// The stored bytes of one data block: they never straddle two chunks.
    pub(crate) fn block_bytes(&self, block: &WrittenBlock) -> Option<Bytes> {
        let mut start = 0usize;
        for chunk in &self.chunks {
            let at = (block.offset as usize).checked_sub(start)?;
            if at < chunk.len() {
                return (at + block.bytes as usize <= chunk.len())
                    .then(|| chunk.slice(at..at + block.bytes as usize));
            }
            start += chunk.len();
        }
        None
    }
}

/// Takes entries in strictly ascending key order and frames them as a segment.
pub(crate) struct SegmentWriter {
    encoder: Encoder,
    tag: u64,
    data: data::Builder,
    index: index::Builder,
    hashes: Vec<u64>,
    properties: Properties,
    open: Vec<u8>,
    chunks: Vec<Bytes>,
    blocks: Vec<WrittenBlock>,
    offset: u64,
}

impl SegmentWriter {
    pub(crate) fn new(tag: u64, compression: Compression) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(tag, compression)?,
            tag,
            data: data::Builder::default(),
            index: index::Builder::default(),
            hashes: Vec::new(),
            properties: Properties::default(),
            open: Vec::new(),
            chunks: Vec::new(),
            blocks: Vec::new(),
            offset: 0,
        })
    }

    /// Appends one entry; `None` is a deletion.
    pub(crate) fn push_range_delete(&mut self, _from: &[u8], _to: &[u8]) {}

    pub(crate) fn push(&mut self, key: &[u8], entry: &crate::entry::Entry<'_>) -> Result<()> {
        let value = match entry.op {
            crate::entry::Op::Put(value) => Some(value),
            _ => None,
        };
        let entry_bytes = key.len() + value.map_or(0, <[u8]>::len);
        // A large entry gets a block of its own, so that a small neighbour does not drag it along.
        if !self.data.is_empty() && self.data.payload_bytes() + entry_bytes > BLOCK_RAW_BYTES {
            self.close_block()?;
        }
        if self.properties.entries == 0 {
            self.properties.smallest.extend_from_slice(key);
        }
        self.properties.entries += 1;
        self.properties.tombstones += u64::from(value.is_none());
        self.hashes.push(filter::hash(key));
        self.data.push(key, value);
        Ok(())
    }

    /// Bytes so far: what the finished segment takes at least.
    fn bytes(&self) -> u64 {
        self.offset + (self.data.payload_bytes() + self.index.bytes()) as u64
    }

    /// Memory that the unfinished segment and the construction of its filter take, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        // While a filter is built, each key takes its hash, a slot's count and xor, a fingerprint, and its place in the order.
        const FILTER_KEY_BYTES: usize = 8 + 2 * (1 + 8 + 1) + 16;
        usize::try_from(self.bytes()).unwrap_or(usize::MAX) + self.hashes.len() * FILTER_KEY_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.properties.entries == 0
    }

    fn close_block(&mut self) -> Result<()> {
        let (encoder, open) = (&mut self.encoder, &mut self.open);
        self.properties.largest.clear();
        self.properties.largest.extend_from_slice(self.data.last_key());
        let written = self.data.finish(|payload| encoder.encode(Kind::Data, payload, open));
        let offset =
            u32::try_from(self.offset).ok().filter(|_| self.offset < SEGMENT_BYTES_MAX).ok_or_else(|| {
                Error::invalid(format!(
                    "a segment would pass {SEGMENT_BYTES_MAX} bytes; use a smaller memory budget per shard"
                ))
            })?;
        self.index.push(offset, written, &self.properties.largest);
        self.blocks.push(WrittenBlock { offset, bytes: written.bytes });
        self.offset += u64::from(written.bytes);
        if self.open.len() >= CHUNK_BYTES {
            self.cut_chunk();
        }
        Ok(())
    }

    fn cut_chunk(&mut self) {
        if !self.open.is_empty() {
            // Exactly sized: what waits for its upload is counted by its length.
            self.open.shrink_to_fit();
            self.chunks.push(Bytes::from(std::mem::take(&mut self.open)));
        }
    }

    /// Completes the segment: filter, index, properties, footer.
    pub(crate) fn finish(mut self) -> Result<EncodedSegment> {
        if !self.data.is_empty() {
            self.close_block()?;
        }
        self.cut_chunk();
        let filter_offset =
            u32::try_from(self.offset).map_err(|_| Error::invalid("a segment is too large"))?;
        let filter_payload = filter::build(&mut self.hashes);
        drop(std::mem::take(&mut self.hashes));
        let index_payload = self.index.finish();
        let mut tail = Vec::with_capacity(filter_payload.len() + index_payload.len() + 4096);
        let filter = self.encoder.encode(Kind::Filter, &filter_payload, &mut tail);
        let index = self.encoder.encode(Kind::Index, &index_payload, &mut tail);
        let properties = self.encoder.encode(Kind::Properties, &self.properties.encode(), &mut tail);
        let footer = Footer { tag: self.tag, filter_offset, filter, index, properties };
        let (footer_bytes, footer_crc) = footer.encode();
        tail.extend_from_slice(&footer_bytes);
        tail.shrink_to_fit();
        let meta = decode_own(filter_payload, index_payload, filter_offset)?;
        let tail_bytes = stored_u32(tail.len());
        let bytes =
            filter_offset.checked_add(tail_bytes).ok_or_else(|| Error::invalid("a segment is too large"))?;
        self.chunks.push(Bytes::from(tail));
        Ok(EncodedSegment {
            chunks: self.chunks,
            bytes,
            tail_bytes,
            footer_crc,
            tag: self.tag,
            entries: self.properties.entries,
            tombstones: self.properties.tombstones,
            smallest: self.properties.smallest.into_boxed_slice(),
            largest: self.properties.largest.into_boxed_slice(),
            blocks: self.blocks,
            meta,
        })
    }
}

/// Opens what was just written, without the way over its bytes on the DFS.
fn decode_own(filter_payload: Vec<u8>, index_payload: Vec<u8>, data_end: u32) -> Result<SegmentMeta> {
    let place = Place { object: crate::name::unwritten()?, offset: 0 };
    let filter = filter::Filter::decode(&Bytes::from(filter_payload), &place)?;
    let index = index::Index::decode(Bytes::from(index_payload), data_end, &place)?;
    Ok(SegmentMeta::new(filter, index))
}

const _: () = assert!(FOOTER_BYTES < CHUNK_BYTES);
