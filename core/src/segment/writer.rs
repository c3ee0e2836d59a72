//! Writes a segment from sorted entries, or from partitions of other segments, in chunks that become the body of its upload.
//!
//! ```text
//! push ──> open block ──full──> (waits for the dictionary) ──> encoded ──> partition ──full──> its meta ──> head
//! push_raw_partition ──────────────────────────────────────────────────────────────────────────────^
//! ```

use super::block::{Dictionary, Encoder, Kind, Written};
use super::counts::Counts;
use super::encoded::{EncodedSegment, WrittenExtent};
use super::footer::{FOOTER_BYTES, Footer};
use super::head::{self, SegmentHead};
use super::partition::{self, PartitionHandle, PartitionMeta};
use super::place::SegmentPlace;
use super::ranges::{KeyRange, RangeDeletes};
use super::{data, dictionary, filter, separators};
use crate::codec::stored_u32;
use crate::compression_options::Compression;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::key::{GROUP_BYTES, group_of, user_key};
use crate::limits::{
    BLOCK_RAW_BYTES, BLOCK_RAW_BYTES_RANGE, BORDER_BYTES_MAX, CHAIN_BYTES_MAX, KEY_BYTES_MAX,
    PARTITION_RAW_BYTES, SEGMENT_BYTES_MAX,
};
use bytes::Bytes;
use std::collections::VecDeque;

/// Finished bytes are handed out in chunks of about this many.
const CHUNK_BYTES: usize = 256 * 1024;

/// How one segment is written. Segments of one store may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriterOptions {
    /// Of data blocks; everything else is stored as it is.
    pub(crate) compression: Compression,
    /// Raw bytes after which a data block is closed, 4 to 64 KiB. A larger entry has a block of its own.
    pub(crate) block_raw_bytes: usize,
    /// Raw bytes of data blocks after which a partition is closed.
    pub(crate) partition_raw_bytes: usize,
    /// Largest dictionary to train from the segment's first blocks; 0 for none. Training is one computation of tens of milliseconds:
    /// for merges that no read waits for.
    pub(crate) dictionary_bytes_max: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            compression: Compression::Zstd { level: 1 },
            block_raw_bytes: BLOCK_RAW_BYTES,
            partition_raw_bytes: PARTITION_RAW_BYTES,
            dictionary_bytes_max: 0,
        }
    }
}

/// A data block before its compression, and what its partition's meta will say of it.
struct RawBlock {
    payload: Vec<u8>,
    notes: BlockNotes,
}

/// What is noted of a block's entries.
#[derive(Default)]
struct BlockNotes {
    opens_partition: bool,
    /// The partition's smallest key, or the shortest separator from the block before.
    separator: Vec<u8>,
    last_key: Vec<u8>,
    hashes: Vec<u64>,
    groups: Vec<u16>,
    counts: Counts,
}

impl BlockNotes {
    fn note(&mut self, key: &[u8], entry: &Entry<'_>) {
        self.hashes.push(filter::hash(key));
        self.counts.count(key, entry);
        let group = group_of(key).unwrap_or_default();
        if self.groups.last() != Some(&group) {
            self.groups.push(group);
        }
    }

    fn memory_bytes(&self) -> usize {
        self.separator.len() + self.last_key.len() + self.hashes.len() * 8
    }
}

/// Takes entries in strictly ascending key order and frames them as a segment.
pub(crate) struct SegmentWriter {
    options: WriterOptions,
    tag: u64,
    /// The open block, its notes, and raw bytes of the open partition's blocks before it.
    data: data::Builder,
    notes: BlockNotes,
    partition_raw_bytes: usize,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    /// Blocks that wait for the dictionary; `None` once it is trained, or if none is wanted.
    waiting: Option<VecDeque<RawBlock>>,
    waiting_bytes: usize,
    encoder: Encoder,
    dictionary: Option<Dictionary>,
    /// The open partition, and the separator between it and the one before.
    partition: partition::Builder,
    partition_separator: Vec<u8>,
    /// Last key of the partitions before.
    partitions_last_key: Vec<u8>,
    head: head::Builder,
    ranges: Vec<KeyRange>,
    open: Vec<u8>,
    chunks: Vec<Bytes>,
    extents: Vec<WrittenExtent>,
    offset: u32,
}

impl SegmentWriter {
    /// A writer of the segment `tag`, a random number.
    pub(crate) fn new(tag: u64, options: WriterOptions) -> Result<Self> {
        let (block_min, block_max) = BLOCK_RAW_BYTES_RANGE;
        let options =
            WriterOptions { block_raw_bytes: options.block_raw_bytes.clamp(block_min, block_max), ..options };
        let encoder = Encoder::new(options.compression)?;
        let trains = options.dictionary_bytes_max > 0 && encoder.compresses();
        Ok(Self {
            options,
            tag,
            data: data::Builder::default(),
            notes: BlockNotes { opens_partition: true, ..BlockNotes::default() },
            partition_raw_bytes: 0,
            first_key: Vec::new(),
            last_key: Vec::new(),
            waiting: trains.then(VecDeque::new),
            waiting_bytes: 0,
            encoder,
            dictionary: None,
            partition: partition::Builder::default(),
            partition_separator: Vec::new(),
            partitions_last_key: Vec::new(),
            head: head::Builder::default(),
            ranges: Vec::new(),
            open: Vec::new(),
            chunks: Vec::new(),
            extents: Vec::new(),
            offset: 0,
        })
    }

    /// Appends one entry.
    ///
    /// # Errors
    /// `Invalid` for a key or payload that no reader of segments takes.
    pub(crate) fn push(&mut self, key: &[u8], entry: &Entry<'_>) -> Result<()> {
        debug_assert!(self.has_no_entries() || key > self.last_key.as_slice(), "keys ascend");
        let entry_bytes = key.len() + entry.payload().len();
        if key.len() > GROUP_BYTES + KEY_BYTES_MAX || entry.payload().len() > CHAIN_BYTES_MAX {
            return Err(Error::invalid(format!(
                "an entry with a key of {} bytes and {} more; a segment takes {KEY_BYTES_MAX} and {CHAIN_BYTES_MAX}",
                user_key(key).len(),
                entry.payload().len()
            )));
        }
        // A large entry gets a block of its own, so that a small neighbour does not drag it along.
        if !self.data.is_empty() && self.data.payload_bytes() + entry_bytes > self.options.block_raw_bytes {
            self.close_block()?;
        }
        if self.data.is_empty() {
            self.begin_block(key);
        }
        self.notes.note(key, entry);
        self.data.push(key, entry);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        Ok(())
    }

    /// Deletes every key from `from` to `to`, exclusive, in all that is older than this segment. Entries of this segment stay. Both
    /// are engine keys of the key groups that the segment is for, `to` at most the bare group that follows them.
    pub(crate) fn push_range_delete(&mut self, from: &[u8], to: &[u8]) {
        self.ranges.push(Box::from(from)..Box::from(to));
    }

    /// Whether partitions of the segment with this head can be appended as they are stored: its blocks need no dictionary.
    pub(crate) fn takes_blocks_of(head: &SegmentHead) -> bool {
        head.dictionary().is_none()
    }

    /// Appends the partition at `position` of another segment, `stored` with its meta and verified, without encoding it anew or
    /// looking into it. All its keys are above what was written before, and [`Self::takes_blocks_of`] holds for its segment.
    pub(crate) fn push_raw_partition(
        &mut self,
        stored: &[u8],
        head: &SegmentHead,
        position: usize,
        meta: &PartitionMeta,
    ) -> Result<()> {
        self.settle()?;
        self.close_partition()?;
        self.notes.opens_partition = true;
        self.partition_raw_bytes = 0;
        self.must_follow(meta.smallest())?;
        let handle = head.partition(position).filter(|handle| handle.bytes() as usize == stored.len());
        let handle = handle.ok_or_else(|| Error::invalid("a partition is not stored as its segment says"))?;
        if self.has_no_entries() {
            self.first_key.extend_from_slice(meta.smallest());
        }
        self.head.group(group_of(meta.smallest()).unwrap_or_default());
        head.groups().filter(|(_, first)| *first == position).for_each(|(group, _)| self.head.group(group));
        let offset = self.offset;
        for block in (0..meta.blocks()).filter_map(|block| meta.block(block, offset)) {
            self.extents.push(WrittenExtent::Data { offset: block.offset, bytes: block.bytes });
        }
        let moved = PartitionHandle { offset, ..handle };
        self.extents.push(WrittenExtent::Partition(moved));
        let separator = separators::shortest(&self.partitions_last_key, meta.smallest());
        let written = Written { bytes: handle.meta_bytes, crc: handle.meta_crc };
        self.head.push(moved.meta_offset(), written, separator, meta.counts());
        self.open.extend_from_slice(stored);
        self.last_key.clear();
        self.last_key.extend_from_slice(meta.largest());
        self.partitions_last_key.clone_from(&self.last_key);
        self.advance(handle.bytes())
    }

    fn must_follow(&self, key: &[u8]) -> Result<()> {
        if self.has_no_entries() || key > self.last_key.as_slice() {
            return Ok(());
        }
        Err(Error::invalid("stored blocks can only be appended above what a segment holds already"))
    }

    fn has_no_entries(&self) -> bool {
        self.data.is_empty()
            && self.notes.opens_partition
            && self.head.partitions() == 0
            && self.partition.is_empty()
            && self.waiting.as_ref().is_none_or(VecDeque::is_empty)
    }

    /// Nothing was pushed, not even a range deletion.
    pub(crate) fn is_empty(&self) -> bool {
        self.has_no_entries() && self.ranges.is_empty()
    }

    /// Bytes so far: what the finished segment takes, about.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.offset) + (self.data.payload_bytes() + self.waiting_bytes + self.head.bytes()) as u64
    }

    /// Memory that the unfinished segment takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let extents = self.extents.len() * size_of::<WrittenExtent>();
        usize::try_from(self.bytes()).unwrap_or(usize::MAX)
            + self.notes.memory_bytes()
            + self.partition.memory_bytes()
            + extents
    }

    fn begin_block(&mut self, key: &[u8]) {
        if self.has_no_entries() {
            self.first_key.extend_from_slice(key);
        }
        if self.partition_raw_bytes >= self.options.partition_raw_bytes {
            self.notes.opens_partition = true;
            self.partition_raw_bytes = 0;
        }
        let separator =
            if self.notes.opens_partition { key } else { separators::shortest(&self.last_key, key) };
        self.notes.separator.extend_from_slice(separator);
    }

    fn close_block(&mut self) -> Result<()> {
        if self.data.is_empty() {
            return Ok(());
        }
        let payload = self.data.finish();
        self.partition_raw_bytes += payload.len();
        let mut notes = std::mem::take(&mut self.notes);
        notes.last_key.clone_from(&self.last_key);
        let block = RawBlock { payload, notes };
        let Some(waiting) = &mut self.waiting else { return self.encode_block(block) };
        self.waiting_bytes += block.payload.len() + block.notes.memory_bytes();
        waiting.push_back(block);
        if self.waiting_bytes >= dictionary::sample_bytes(self.options.dictionary_bytes_max) {
            self.train()?;
        }
        Ok(())
    }

    /// Trains the dictionary from the blocks that wait, and encodes them.
    fn train(&mut self) -> Result<()> {
        let Some(waiting) = self.waiting.take() else { return Ok(()) };
        self.waiting_bytes = 0;
        let samples = waiting.iter().map(|block| block.payload.as_slice());
        self.dictionary =
            dictionary::train(samples, self.options.dictionary_bytes_max, self.options.compression)?;
        if let Some(dictionary) = &self.dictionary {
            self.encoder.use_dictionary(dictionary)?;
        }
        waiting.into_iter().try_for_each(|block| self.encode_block(block))
    }

    /// Encodes all that was pushed so far.
    fn settle(&mut self) -> Result<()> {
        self.close_block()?;
        self.train()
    }

    fn encode_block(&mut self, block: RawBlock) -> Result<()> {
        self.before_block(&block.notes)?;
        let written = self.encoder.encode(Kind::Data, &block.payload, &mut self.open)?;
        self.place_block(written, block.notes)
    }

    /// Closes the partition that a block does not belong to any more.
    fn before_block(&mut self, notes: &BlockNotes) -> Result<()> {
        if notes.opens_partition {
            self.close_partition()?;
        }
        if self.partition.is_empty() {
            let separator = separators::shortest(&self.partitions_last_key, &notes.separator);
            self.partition_separator.extend_from_slice(separator);
        }
        Ok(())
    }

    /// Takes note of a block whose bytes were just appended.
    fn place_block(&mut self, written: Written, notes: BlockNotes) -> Result<()> {
        notes.groups.iter().for_each(|&group| self.head.group(group));
        self.extents.push(WrittenExtent::Data { offset: self.offset, bytes: written.bytes });
        self.partition.push(written, &notes.separator, notes.last_key, &notes.hashes, &notes.counts);
        self.advance(written.bytes)
    }

    fn close_partition(&mut self) -> Result<()> {
        if self.partition.is_empty() {
            return Ok(());
        }
        let partition = std::mem::take(&mut self.partition);
        let (counts, data_bytes) = (*partition.counts(), partition.data_bytes());
        self.partitions_last_key.clear();
        self.partitions_last_key.extend_from_slice(partition.last_key());
        let payload = partition.finish();
        let written = self.encoder.encode(Kind::Partition, &payload, &mut self.open)?;
        let handle = PartitionHandle {
            offset: self.offset - data_bytes,
            data_bytes,
            meta_bytes: written.bytes,
            meta_crc: written.crc,
        };
        self.extents.push(WrittenExtent::Partition(handle));
        self.head.push(self.offset, written, &self.partition_separator, &counts);
        self.partition_separator.clear();
        self.advance(written.bytes)
    }

    /// Counts bytes that were just appended.
    fn advance(&mut self, bytes: u32) -> Result<()> {
        let end = u64::from(self.offset) + u64::from(bytes);
        self.offset = u32::try_from(end).ok().filter(|_| end < SEGMENT_BYTES_MAX).ok_or_else(|| {
            Error::invalid(format!(
                "a segment would pass {SEGMENT_BYTES_MAX} bytes; use a smaller memory budget per shard"
            ))
        })?;
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

    /// Completes the segment: the last partition, the head, the footer.
    pub(crate) fn finish(mut self) -> Result<EncodedSegment> {
        self.settle()?;
        self.close_partition()?;
        self.cut_chunk();
        let ranges = RangeDeletes::new(std::mem::take(&mut self.ranges));
        if let Some(bytes) = ranges.border_bytes().filter(|&bytes| bytes > BORDER_BYTES_MAX) {
            return Err(Error::invalid(format!(
                "a range deletion's border of {bytes} bytes; at most {BORDER_BYTES_MAX} are possible"
            )));
        }
        let (smallest, largest) = self.borders(&ranges);
        let payload = std::mem::take(&mut self.head).finish(&ranges, &smallest, &largest);
        let mut tail = Vec::with_capacity(payload.len() + 4096);
        let dictionary = self
            .dictionary
            .as_ref()
            .map(|kept| self.encoder.encode(Kind::Dictionary, kept.bytes(), &mut tail))
            .transpose()?;
        let head = self.encoder.encode(Kind::Head, &payload, &mut tail)?;
        let footer = Footer { tag: self.tag, partitions_bytes: self.offset, dictionary, head };
        let (footer_bytes, footer_crc) = footer.encode();
        tail.extend_from_slice(&footer_bytes);
        tail.shrink_to_fit();
        let tail_bytes = stored_u32(tail.len());
        self.advance(tail_bytes)?;
        self.chunks.push(Bytes::from(tail));
        let place = SegmentPlace { object: crate::name::unwritten()?, offset: 0 };
        // What was just written is opened without the way over its bytes on the DFS.
        let head = SegmentHead::decode_payload(
            Bytes::from(payload),
            footer.partitions_bytes,
            self.dictionary,
            &place,
        )?;
        Ok(EncodedSegment {
            chunks: self.chunks,
            bytes: self.offset,
            tail_bytes,
            footer_crc,
            tag: self.tag,
            extents: self.extents,
            head,
        })
    }

    /// Smallest and largest key, range deletions included.
    fn borders(&self, ranges: &RangeDeletes) -> (Vec<u8>, Vec<u8>) {
        let first = ranges.iter().next().map(|(from, _)| from);
        let last = ranges.iter().next_back().map(|(_, to)| to);
        let entries = self.head.partitions() > 0;
        let smallest = match first {
            Some(from) if !entries || from < self.first_key.as_slice() => from.to_vec(),
            _ => self.first_key.clone(),
        };
        let largest = match last {
            Some(to) if to > self.last_key.as_slice() => to.to_vec(),
            _ => self.last_key.clone(),
        };
        (smallest, largest)
    }
}

const _: () = assert!(FOOTER_BYTES < CHUNK_BYTES);
