//! Data blocks: sorted entries with prefix compression, and in memory a hash of their keys.
//!
//! ```text
//! entry:   varint shared key bytes * 8 + kind + 4 if it expires      kind: 0 put, 1 deletion, 2 merge,
//!                                                                                                 3 several writes
//!          varint further key bytes
//!          varint bytes of value or operand                          (not of a deletion)
//!          identity of the merge operator, 4 bytes, and moment of writing in milliseconds, 8 bytes    (of a merge)
//!          moment of expiry in milliseconds, 8 bytes                 (if it expires)
//!          further key bytes | value or operand
//! payload: entry ... entry | number of entries, 4 bytes
//! ```
//! Every 16th entry is a restart: it shares nothing. The others share their first bytes with the restart before them, not with
//! their neighbour as in LevelDB's `doc/table_format.md`: of sorted keys that costs under one byte an entry, and any entry can be
//! read without the ones before it, forward, backward, or out of the blue.
//!
//! A block is checked entry by entry when it is decoded. That pass notes where each entry begins and, for point lookups, hashes the keys
//! into a table of entry numbers (RocksDB's data-block hash index holds restart numbers; with one byte more an entry, in memory only,
//! the walk from the restart goes away). After that no read of a block can fail.

use super::filter;
use super::place::SegmentPlace;
use crate::codec::{Reader, common_prefix, put_varint, stored_u32, u32_at};
use crate::entry::{Entry, NEVER, Op, next_chained};
use crate::error::Result;
use crate::key::GROUP_BYTES;
use crate::limits::{KEY_BYTES_MAX, RESTART_INTERVAL};
use std::cmp::Ordering;

/// Where the number of entries stands, from the end.
const COUNT_BYTES: usize = 4;
/// A deletion with an empty key: two numbers of one byte.
const ENTRY_BYTES_MIN: usize = 2;
const KIND_PUT: u32 = 0;
const KIND_DELETE: u32 = 1;
const KIND_MERGE: u32 = 2;
const KIND_CHAIN: u32 = 3;
const KIND_MASK: u32 = 3;
const EXPIRES: u32 = 4;
const FLAG_BITS: u32 = 3;
const _: () = assert!(KEY_BYTES_MAX + GROUP_BYTES < (u32::MAX >> FLAG_BITS) as usize);
const _: () = assert!(RESTART_INTERVAL.is_power_of_two());

/// Collects sorted entries into a payload.
#[derive(Default)]
pub(crate) struct Builder {
    payload: Vec<u8>,
    restart_key: Vec<u8>,
    entries: usize,
}

impl Builder {
    /// Appends an entry; keys must come in strictly ascending order.
    pub(crate) fn push(&mut self, key: &[u8], entry: &Entry<'_>) {
        let shared = if self.entries.is_multiple_of(RESTART_INTERVAL) {
            self.restart_key.clear();
            self.restart_key.extend_from_slice(key);
            0
        } else {
            common_prefix(&self.restart_key, key)
        };
        let suffix = key.get(shared..).unwrap_or_default();
        let (kind, merge) = match entry.op {
            Op::Put(_) => (KIND_PUT, None),
            Op::Delete => (KIND_DELETE, None),
            Op::Merge { operator, written_ms, .. } => (KIND_MERGE, Some((operator, written_ms))),
            Op::Chain(_) => (KIND_CHAIN, None),
        };
        let expires = entry.expires_ms != NEVER && kind != KIND_DELETE;
        let flags = kind | if expires { EXPIRES } else { 0 };
        put_varint(&mut self.payload, stored_u32(shared) << FLAG_BITS | flags);
        put_varint(&mut self.payload, stored_u32(suffix.len()));
        if kind != KIND_DELETE {
            put_varint(&mut self.payload, stored_u32(entry.payload().len()));
        }
        if let Some((operator, written_ms)) = merge {
            self.payload.extend_from_slice(&operator.to_le_bytes());
            self.payload.extend_from_slice(&written_ms.to_le_bytes());
        }
        if expires {
            self.payload.extend_from_slice(&entry.expires_ms.to_le_bytes());
        }
        self.payload.extend_from_slice(suffix);
        self.payload.extend_from_slice(entry.payload());
        self.entries += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload.len() + COUNT_BYTES
    }

    /// The completed payload; the next entry begins the next block.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.payload.extend_from_slice(&stored_u32(self.entries).to_le_bytes());
        self.entries = 0;
        std::mem::take(&mut self.payload)
    }
}

/// Whether a block will be asked for single keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Point lookups and cursors: keys are hashed.
    Points,
    /// Cursors alone.
    Scan,
}

/// A verified data block, ready to be searched.
#[derive(Clone, Debug)]
pub(crate) struct DataBlock {
    /// The payload, then its table of two-byte numbers: where each entry begins, in one or two of them; then the buckets of the hash,
    /// each the number of an entry + 1, or 0: one byte wide up to [`BYTE_BUCKETS_ENTRIES`] entries, else two. One piece of memory: what
    /// a lookup reads of it stands in few pages.
    data: Box<[u8]>,
    payload_bytes: u32,
    entries: u32,
    /// Buckets, a power of two; 0 without a hash.
    buckets: u32,
}

/// Most entries whose numbers fit buckets of one byte, with 0 for an empty one.
const BYTE_BUCKETS_ENTRIES: usize = 255;

/// One entry as it is stored: its key is the first `shared` bytes of its restart's key, then `suffix`.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    pub(super) shared: usize,
    pub(super) suffix: &'a [u8],
    pub(super) entry: Entry<'a>,
}

impl DataBlock {
    /// Checks every entry of a payload whose checksum was verified.
    pub(crate) fn decode(payload: &[u8], access: Access, place: &SegmentPlace) -> Result<Self> {
        let bad = |at: usize| place.plus(at as u64).corrupt("sorted entries and their number", "other bytes");
        let entries_end = payload.len().checked_sub(COUNT_BYTES).ok_or_else(|| bad(0))?;
        let entries = u32_at(payload, entries_end).ok_or_else(|| bad(entries_end))? as usize;
        if entries == 0 || entries > entries_end / ENTRY_BYTES_MIN {
            return Err(bad(entries_end));
        }
        let buckets = match access {
            Access::Points if entries <= usize::from(u16::MAX) => {
                (entries + entries / 3 + 1).next_power_of_two()
            }
            _ => 0,
        };
        let table_bytes = Table::of(payload.len(), entries, buckets).bytes();
        let mut data = Vec::with_capacity(payload.len() + table_bytes);
        data.extend_from_slice(payload);
        data.resize(payload.len() + table_bytes, 0);
        let mut block = Self {
            data: data.into_boxed_slice(),
            payload_bytes: stored_u32(payload.len()),
            entries: stored_u32(entries),
            buckets: stored_u32(buckets),
        };
        let stored = payload.get(..entries_end).ok_or_else(|| bad(0))?;
        let end = block.fill(stored).map_err(bad)?;
        if end != entries_end {
            return Err(bad(end));
        }
        Ok(block)
    }

    /// A block of one entry, for a cache: its number is 0.
    pub(crate) fn of_entry(key: &[u8], entry: &Entry<'_>, place: &SegmentPlace) -> Result<Self> {
        let mut builder = Builder::default();
        builder.push(key, entry);
        Self::decode(&builder.finish(), Access::Scan, place)
    }

    /// Reads all entries in order and notes them in the table. Returns where they end, or where one is not sound.
    fn fill(&mut self, stored: &[u8]) -> Result<usize, usize> {
        let (entries, layout) = (self.entries(), self.table());
        let mut table = Filler { bytes: self.data.get_mut(layout.at..).ok_or(0usize)?, layout };
        let mut fields = Reader::new(stored);
        let mut restart: &[u8] = &[];
        let (mut key, mut before) = (Vec::new(), Vec::new());
        for number in 0..entries {
            let at = fields.at();
            let entry = parse(&mut fields).ok_or(at)?;
            if number.is_multiple_of(RESTART_INTERVAL) {
                restart = entry.suffix;
                if entry.shared > 0 {
                    return Err(at);
                }
            }
            key.clear();
            key.extend_from_slice(restart.get(..entry.shared).ok_or(at)?);
            key.extend_from_slice(entry.suffix);
            let ascends = number == 0 || before < key;
            if let Op::Chain(mut chain) = entry.entry.op {
                while next_chained(&mut chain).is_some() {}
                if !chain.is_empty() {
                    return Err(at);
                }
            }
            if !ascends || key.len() > KEY_BYTES_MAX + GROUP_BYTES {
                return Err(at);
            }
            table.note(number, at, &key);
            std::mem::swap(&mut key, &mut before);
        }
        Ok(fields.at())
    }

    /// Number of entries.
    #[inline]
    pub(crate) fn entries(&self) -> usize {
        self.entries as usize
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.data.len() + size_of::<Self>()
    }

    #[inline]
    fn table(&self) -> Table {
        Table::of(self.payload_bytes as usize, self.entries(), self.buckets as usize)
    }

    /// What this block says about `key`, whose filter hash is `hash`, with the number of that entry, which is good for [`Self::entry_of`]; `None` if
    /// it says nothing.
    #[inline]
    pub(crate) fn find(&self, key: &[u8], hash: u64) -> Option<(usize, Entry<'_>)> {
        if self.buckets == 0 {
            let number = self.lower_bound(key);
            let stored = self.stored(number)?;
            return (self.compare(number, &stored, key) == Ordering::Equal).then_some((number, stored.entry));
        }
        let mask = self.buckets as usize - 1;
        let mut bucket = home(hash) & mask;
        // At most three quarters of the buckets are taken: there is an empty one.
        loop {
            let number = self.bucket(bucket).checked_sub(1)?;
            if let Some(entry) = self.entry_of(number, key) {
                return Some((number, entry));
            }
            bucket = (bucket + 1) & mask;
        }
    }

    /// The entry with this number, if it is of `key`.
    #[inline]
    pub(crate) fn entry_of(&self, number: usize, key: &[u8]) -> Option<Entry<'_>> {
        let stored = self.stored(number)?;
        // Another key of the same bucket may share more bytes with its restart than this key has.
        let (first, rest) = key.split_at_checked(stored.shared)?;
        let same = stored.suffix == rest
            && (first.is_empty() || self.restart_key(number).get(..stored.shared) == Some(first));
        same.then_some(stored.entry)
    }

    /// Number of the first entry whose key is not below `key`; past the last if all are.
    pub(crate) fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.entries());
        while low < high {
            let middle = low + (high - low) / 2;
            let below = self
                .stored(middle)
                .is_some_and(|stored| self.compare(middle, &stored, key) == Ordering::Less);
            if below {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn compare(&self, number: usize, stored: &Stored<'_>, key: &[u8]) -> Ordering {
        let (first, rest) = key.split_at_checked(stored.shared).unwrap_or((key, &[]));
        let shared = self.restart_key(number).get(..stored.shared).unwrap_or_default();
        shared.cmp(first).then_with(|| stored.suffix.cmp(rest))
    }

    #[inline]
    fn bucket(&self, bucket: usize) -> usize {
        let table = self.table();
        if table.byte_buckets {
            self.data.get(table.buckets_at() + bucket).map_or(0, |&number| usize::from(number))
        } else {
            usize::from(u16_at(&self.data, table.buckets_at() + 2 * bucket))
        }
    }

    #[inline]
    fn offset(&self, number: usize) -> usize {
        let table = self.table();
        if table.wide {
            let at = table.at + 4 * number;
            usize::from(u16_at(&self.data, at)) | usize::from(u16_at(&self.data, at + 2)) << 16
        } else {
            usize::from(u16_at(&self.data, table.at + 2 * number))
        }
    }

    /// The entry with this number; `None` past the last.
    #[inline]
    pub(super) fn stored(&self, number: usize) -> Option<Stored<'_>> {
        if number >= self.entries() {
            return None;
        }
        parse(&mut Reader::new(self.data.get(self.offset(number)..)?))
    }

    /// Asks the processor for what [`Self::entry_of`] reads first: where the entry begins.
    #[inline]
    pub(crate) fn prefetch_offset(&self, number: usize) {
        if let Some(offset) = self.data.get(self.payload_bytes as usize + 2 * number) {
            aquifer_io::prefetch(offset);
        }
    }

    /// Asks the processor for what [`Self::entry_of`] reads next: the entry and its restart.
    #[inline]
    pub(crate) fn prefetch_entry(&self, number: usize) {
        if number >= self.entries() {
            return;
        }
        let at = self.offset(number);
        for at in [at, at + 64, self.offset(number & !(RESTART_INTERVAL - 1))] {
            if let Some(first) = self.data.get(at) {
                aquifer_io::prefetch(first);
            }
        }
    }

    /// Key of the restart that the entry with this number shares bytes with.
    #[inline]
    pub(super) fn restart_key(&self, number: usize) -> &[u8] {
        self.stored(number & !(RESTART_INTERVAL - 1)).map_or(&[], |restart| restart.suffix)
    }
}

/// The bucket that a key is looked for first, before the mask.
#[inline]
fn home(hash: u64) -> usize {
    (hash >> 20) as usize
}

/// The two bytes at `at` as a number; 0 past the end.
#[inline]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |two| u16::from_le_bytes(*two))
}

/// Where the table of a block is and what its numbers are like.
#[derive(Clone, Copy)]
struct Table {
    at: usize,
    entries: usize,
    buckets: usize,
    /// Entries begin at offsets of more than 16 bits.
    wide: bool,
    byte_buckets: bool,
}

impl Table {
    #[inline]
    const fn of(payload_bytes: usize, entries: usize, buckets: usize) -> Self {
        let wide = payload_bytes > u16::MAX as usize;
        Self { at: payload_bytes, entries, buckets, wide, byte_buckets: entries <= BYTE_BUCKETS_ENTRIES }
    }

    #[inline]
    const fn offset_bytes(self) -> usize {
        if self.wide { 4 * self.entries } else { 2 * self.entries }
    }

    #[inline]
    const fn buckets_at(self) -> usize {
        self.at + self.offset_bytes()
    }

    const fn bytes(self) -> usize {
        self.offset_bytes() + if self.byte_buckets { self.buckets } else { 2 * self.buckets }
    }
}

/// The table of a block while it is filled.
struct Filler<'a> {
    bytes: &'a mut [u8],
    layout: Table,
}

impl Filler<'_> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an offset below four gigabytes; numbers below the bucket's width"
    )]
    fn note(&mut self, number: usize, at: usize, key: &[u8]) {
        let width = if self.layout.wide { 4 } else { 2 };
        if let Some(slot) = self.bytes.get_mut(width * number..width * (number + 1)) {
            slot.iter_mut().zip((at as u32).to_le_bytes()).for_each(|(slot, byte)| *slot = byte);
        }
        if self.layout.buckets == 0 {
            return;
        }
        let mask = self.layout.buckets - 1;
        let width = if self.layout.byte_buckets { 1 } else { 2 };
        let mut bucket = home(filter::hash(key)) & mask;
        loop {
            let begin = self.layout.offset_bytes() + width * bucket;
            let Some(slot) = self.bytes.get_mut(begin..begin + width) else { return };
            if slot.iter().all(|byte| *byte == 0) {
                let number = (number as u32 + 1).to_le_bytes();
                slot.iter_mut().zip(number).for_each(|(slot, byte)| *slot = byte);
                return;
            }
            bucket = (bucket + 1) & mask;
        }
    }
}

/// One entry off the bytes; `None` if they end early or cannot be one.
#[inline]
fn parse<'a>(fields: &mut Reader<'a>) -> Option<Stored<'a>> {
    let first = fields.varint()?;
    let suffix_bytes = fields.varint()? as usize;
    let kind = first & KIND_MASK;
    let payload_bytes = if kind == KIND_DELETE { 0 } else { fields.varint()? as usize };
    let (operator, written_ms) = if kind == KIND_MERGE { (fields.u32()?, fields.u64()?) } else { (0, 0) };
    let expires_ms = if first & EXPIRES == 0 { NEVER } else { fields.u64()? };
    let suffix = fields.bytes(suffix_bytes)?;
    let payload = fields.bytes(payload_bytes)?;
    let op = match kind {
        KIND_PUT => Op::Put(payload),
        KIND_DELETE if first & EXPIRES == 0 => Op::Delete,
        KIND_MERGE => Op::Merge { operator, operand: payload, written_ms },
        KIND_CHAIN => Op::Chain(payload),
        _ => return None,
    };
    Some(Stored { shared: (first >> FLAG_BITS) as usize, suffix, entry: Entry { op, expires_ms } })
}
