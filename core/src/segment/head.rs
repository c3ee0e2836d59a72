//! The head of a segment: which of its partitions may hold a key, what is in it, what it deletes of older ones.
//!
//! ```text
//! offset  bytes   field
//!      0     56   counts of its entries (see counts.rs)
//!     56      4   number of partitions
//!     60      4   number of key groups that have entries
//!     64      4   number of range deletions
//!     68      4   bytes of the smallest key
//!     72      4   bytes of the largest key
//!     76      4   zero
//!     80  16 * p  partitions: end of its data in the segment | end of its meta | checksum of its meta | end of its separator below
//!      -   8 * g  key groups, ascending: the group, 2 bytes | zero, 2 bytes | the partition with its first entry, 4 bytes
//!      -   8 * r  range deletions, ascending: bytes of its first key | bytes of its end, exclusive
//!      -      -   separators of all partitions, one behind the other
//!      -      -   smallest key, largest key
//!      -      -   of each range deletion its first key and its end
//! ```
//! Smallest and largest key are borders that no entry and no range deletion passes. One read of the segment's tail brings the head,
//! and with it what any read of the segment needs to know where to go.

use super::block::{self, Dictionary, Expected, Kind, Written};
use super::counts::{COUNTS_BYTES, Counts};
use super::footer::{FOOTER_BYTES, Footer};
use super::partition::PartitionHandle;
use super::place::SegmentPlace;
use super::ranges::RangeDeletes;
use super::segment_entry::SegmentEntry;
use super::separators::{Layout, Separators};
use crate::codec::{Reader, partition_point, stored_u32, u32_at};
use crate::error::{Error, Result};
use crate::key::group_prefix;
use bytes::Bytes;
use std::ops::Range;

const ROWS_AT: usize = 80;
const ROW_BYTES: usize = 16;
const GROUP_ROW_BYTES: usize = 8;
const RANGE_ROW_BYTES: usize = 8;
const _: () = assert!(COUNTS_BYTES + 6 * 4 == ROWS_AT);
const _: () = assert!(4 * 4 == ROW_BYTES && 2 + 2 + 4 == GROUP_ROW_BYTES && 2 * 4 == RANGE_ROW_BYTES);

/// Collects what the head says while partitions are written.
#[derive(Default)]
pub(crate) struct Builder {
    rows: Vec<u8>,
    separators: Vec<u8>,
    groups: Vec<(u16, u32)>,
    counts: Counts,
}

impl Builder {
    /// Takes note of the next partition: its data ends at `data_end` of the segment, its meta follows.
    pub(crate) fn push(&mut self, data_end: u32, meta: Written, separator: &[u8], counts: &Counts) {
        self.separators.extend_from_slice(separator);
        let end = data_end.saturating_add(meta.bytes);
        for field in [data_end, end, meta.crc, stored_u32(self.separators.len())] {
            self.rows.extend_from_slice(&field.to_le_bytes());
        }
        self.counts.add(counts);
    }

    /// Takes note that the partition that is not pushed yet has entries of `group`.
    pub(crate) fn group(&mut self, group: u16) {
        if self.groups.last().is_none_or(|(last, _)| *last < group) {
            self.groups.push((group, stored_u32(self.partitions())));
        }
    }

    pub(crate) fn partitions(&self) -> usize {
        self.rows.len() / ROW_BYTES
    }

    pub(crate) fn bytes(&self) -> usize {
        ROWS_AT + self.rows.len() + self.separators.len() + self.groups.len() * GROUP_ROW_BYTES
    }

    /// The payload of the head.
    pub(crate) fn finish(self, ranges: &RangeDeletes, smallest: &[u8], largest: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes() + smallest.len() + largest.len());
        self.counts.encode(&mut out);
        for field in [self.partitions(), self.groups.len(), ranges.count(), smallest.len(), largest.len(), 0]
        {
            out.extend_from_slice(&stored_u32(field).to_le_bytes());
        }
        out.extend_from_slice(&self.rows);
        for (group, partition) in &self.groups {
            out.extend_from_slice(&group.to_le_bytes());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&partition.to_le_bytes());
        }
        for (from, to) in ranges.iter() {
            out.extend_from_slice(&stored_u32(from.len()).to_le_bytes());
            out.extend_from_slice(&stored_u32(to.len()).to_le_bytes());
        }
        out.extend_from_slice(&self.separators);
        out.extend_from_slice(smallest);
        out.extend_from_slice(largest);
        for (from, to) in ranges.iter() {
            out.extend_from_slice(from);
            out.extend_from_slice(to);
        }
        out
    }
}

/// A verified head, with the dictionary of the data blocks if they have one.
#[derive(Clone, Debug)]
pub(crate) struct SegmentHead {
    payload: Bytes,
    separators: Separators,
    groups_at: usize,
    groups: usize,
    smallest: Range<usize>,
    largest: Range<usize>,
    ranges: RangeDeletes,
    counts: Counts,
    dictionary: Option<Dictionary>,
}

impl SegmentHead {
    /// Verifies `tail`, read from `place` (the tail's own offset in the object), against the manifest's `entry`.
    pub(crate) fn decode(tail: &Bytes, entry: &SegmentEntry, place: &SegmentPlace) -> Result<Self> {
        let short = || place.corrupt("a segment's tail", format!("{} bytes", tail.len()));
        let footer_at = tail.len().checked_sub(FOOTER_BYTES).ok_or_else(short)?;
        let footer_bytes = tail.last_chunk::<FOOTER_BYTES>().ok_or_else(short)?;
        let footer_place = place.plus(footer_at as u64);
        let footer = Footer::decode(footer_bytes, entry.tag, entry.footer_crc, &footer_place)?;
        // The manifest and the footer must agree on where the partitions end.
        let partitions_bytes = u64::from(footer.partitions_bytes);
        if partitions_bytes + tail.len() as u64 != u64::from(entry.bytes) {
            return Err(footer_place.corrupt(
                format!("partitions up to {partitions_bytes}"),
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
            let payload =
                block::decode(&stored, Expected { kind, crc: written.crc, dictionary: None }, &from)?;
            Ok::<_, Error>((payload, from))
        };
        let dictionary = footer.dictionary.map(|written| part(Kind::Dictionary, written)).transpose()?;
        // A copy: the dictionary must not keep the whole tail in memory.
        let dictionary = dictionary.map(|(bytes, _)| Dictionary::new(Bytes::copy_from_slice(&bytes)));
        let (payload, from) = part(Kind::Head, footer.head)?;
        if at != footer_at {
            return Err(place.plus(at as u64).corrupt("the footer", "bytes that no block of the tail takes"));
        }
        let payload = if dictionary.is_some() { Bytes::copy_from_slice(&payload) } else { payload };
        let head = Self::decode_payload(payload, footer.partitions_bytes, dictionary, &from)?;
        let same = head.counts == entry.counts
            && head.ranges.count() as u64 == u64::from(entry.range_deletes)
            && *head.smallest() == *entry.smallest
            && *head.largest() == *entry.largest;
        if !same {
            return Err(from.corrupt(
                format!("{} entries in the manifest's key range", entry.counts.entries),
                format!("{} in another", head.counts.entries),
            ));
        }
        Ok(head)
    }

    /// Checks every row of a payload whose checksum was verified.
    pub(crate) fn decode_payload(
        payload: Bytes,
        partitions_bytes: u32,
        dictionary: Option<Dictionary>,
        place: &SegmentPlace,
    ) -> Result<Self> {
        let bad = |what: &str| place.corrupt("the head of a segment", what);
        let mut fields = Reader::new(&payload);
        let counts = Counts::decode(&mut fields).ok_or_else(|| bad("counts that contradict each other"))?;
        let mut next = || fields.u32().map(|field| field as usize).ok_or_else(|| bad("a cut one"));
        let (partitions, groups, range_count) = (next()?, next()?, next()?);
        let (smallest_bytes, largest_bytes, zero) = (next()?, next()?, next()?);
        if zero != 0 || counts.entries < partitions as u64 {
            return Err(bad("a partition without entries"));
        }
        let mut table = |rows: usize, row_bytes: usize| {
            let at = fields.at();
            rows.checked_mul(row_bytes)
                .and_then(|bytes| fields.bytes(bytes))
                .map(|rows| (at, rows))
                .ok_or_else(|| bad("fewer rows than counted"))
        };
        let (_, rows) = table(partitions, ROW_BYTES)?;
        let (groups_at, group_rows) = table(groups, GROUP_ROW_BYTES)?;
        let (_, lengths) = table(range_count, RANGE_ROW_BYTES)?;
        if !partitions_follow(rows, partitions_bytes) {
            return Err(bad("partitions that do not follow each other"));
        }
        if !groups_ascend(group_rows, partitions) {
            return Err(bad("key groups out of order"));
        }
        let keys_at = fields.at();
        let layout = Layout { count: partitions, ends_at: ROWS_AT + 12, stride: ROW_BYTES, keys_at };
        let separators =
            Separators::decode(payload.clone(), layout).ok_or_else(|| bad("separators out of order"))?;
        let smallest_at = keys_at + separators.keys_bytes();
        let largest_at = smallest_at.saturating_add(smallest_bytes);
        let ranges_at = largest_at.saturating_add(largest_bytes);
        let mut range_keys = Reader::new(payload.get(ranges_at..).ok_or_else(|| bad("a cut one"))?);
        let ranges = RangeDeletes::decode(&mut Reader::new(lengths), &mut range_keys, range_count)
            .filter(|_| range_keys.remaining() == 0)
            .ok_or_else(|| bad("range deletions out of order"))?;
        let (smallest, largest) = (smallest_at..largest_at, largest_at..ranges_at);
        let head =
            Self { payload, separators, groups_at, groups, smallest, largest, ranges, counts, dictionary };
        if !head.borders_hold() {
            return Err(bad("keys outside of its borders"));
        }
        Ok(head)
    }

    /// Whether partitions and range deletions begin and end inside the smallest and the largest key.
    fn borders_hold(&self) -> bool {
        let (smallest, largest) = (self.smallest(), self.largest());
        let ranges = self.ranges.iter().next().is_none_or(|(from, _)| smallest <= from)
            && self.ranges.iter().next_back().is_none_or(|(_, to)| to <= largest);
        let partitions =
            self.partitions().checked_sub(1).is_none_or(|last| self.separators.get(last) <= largest);
        smallest <= largest && ranges && partitions
    }

    /// The partition that may hold `key`, by its position; `None` if there is none.
    #[inline]
    pub(crate) fn seek(&self, key: &[u8]) -> Option<usize> {
        self.separators.seek(key)
    }

    /// Number of partitions.
    pub(crate) fn partitions(&self) -> usize {
        self.separators.count()
    }

    /// No key of the partition at `position` is below it, every key of the ones before is. Empty past the last.
    pub(crate) fn separator(&self, position: usize) -> &[u8] {
        self.separators.get(position)
    }

    /// The partition at `position`; `None` past the last.
    #[inline]
    pub(crate) fn partition(&self, position: usize) -> Option<PartitionHandle> {
        if position >= self.partitions() {
            return None;
        }
        let row =
            |position: usize, field: usize| u32_at(&self.payload, ROWS_AT + position * ROW_BYTES + 4 * field);
        let offset = match position.checked_sub(1) {
            None => 0,
            Some(before) => row(before, 1)?,
        };
        let (data_end, end) = (row(position, 0)?, row(position, 1)?);
        Some(PartitionHandle {
            offset,
            data_bytes: data_end - offset,
            meta_bytes: end - data_end,
            meta_crc: row(position, 2)?,
        })
    }

    /// The position of the partition that byte `offset` of the segment belongs to, data or meta; `None` behind the last.
    pub(crate) fn position_of(&self, offset: u32) -> Option<usize> {
        let end = |position| self.partition(position).map_or(u32::MAX, |handle| handle.end());
        let position = partition_point(self.partitions(), |position| end(position) <= offset);
        (position < self.partitions()).then_some(position)
    }

    /// Key groups that have entries, each with the position of the partition with its first entry, ascending.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u16, usize)> {
        let rows = self.payload.get(self.groups_at..).unwrap_or_default();
        rows.chunks_exact(GROUP_ROW_BYTES).take(self.groups).filter_map(group_row)
    }

    /// Partitions that may hold entries of these key groups.
    pub(crate) fn partitions_of(&self, groups: &Range<u16>) -> Range<usize> {
        let mut first = None;
        for (group, partition) in self.groups() {
            if group >= groups.end {
                // The next group's first partition may begin with entries of these.
                let end = group_prefix(group);
                let shared = self.separators.get(partition) < end.as_slice();
                return first.map_or(0..0, |first| first..partition + usize::from(shared));
            }
            if group >= groups.start {
                first = first.or(Some(partition));
            }
        }
        first.map_or(0..0, |first| first..self.partitions())
    }

    /// Stored bytes of these key groups, exact to a partition; no data is read for it.
    #[cfg_attr(
        not(any(test, feature = "internals")),
        expect(dead_code, reason = "merges re-encode every block for now: decision 0009")
    )]
    pub(crate) fn bytes_of(&self, groups: &Range<u16>) -> u64 {
        let partitions = self.partitions_of(groups).filter_map(|position| self.partition(position));
        partitions.map(|partition| u64::from(partition.bytes())).sum()
    }

    pub(crate) fn range_deletes(&self) -> &RangeDeletes {
        &self.ranges
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn dictionary(&self) -> Option<&Dictionary> {
        self.dictionary.as_ref()
    }

    /// No key and no range deletion of the segment begins below it.
    pub(crate) fn smallest(&self) -> &[u8] {
        self.payload.get(self.smallest.clone()).unwrap_or_default()
    }

    /// No key of the segment is above it, no range deletion ends above it.
    pub(crate) fn largest(&self) -> &[u8] {
        self.payload.get(self.largest.clone()).unwrap_or_default()
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let dictionary = self.dictionary.as_ref().map_or(0, |dictionary| dictionary.bytes().len());
        self.payload.len()
            + self.separators.memory_bytes()
            + self.ranges.memory_bytes()
            + dictionary
            + size_of::<Self>()
    }
}

/// Whether the partitions follow each other without a gap up to `partitions_bytes`.
fn partitions_follow(rows: &[u8], partitions_bytes: u32) -> bool {
    let mut end_before = 0;
    for row in rows.chunks_exact(ROW_BYTES) {
        match (u32_at(row, 0), u32_at(row, 4)) {
            (Some(data_end), Some(end)) if end_before < data_end && data_end < end => end_before = end,
            _ => return false,
        }
    }
    end_before == partitions_bytes
}

/// Whether the groups ascend, and with them their partitions, from the first one on.
fn groups_ascend(rows: &[u8], partitions: usize) -> bool {
    let mut before: Option<(u16, usize)> = None;
    for row in rows.chunks_exact(GROUP_ROW_BYTES) {
        let Some((group, partition)) = group_row(row) else { return false };
        let ascends = match before {
            None => partition == 0,
            Some((group_before, partition_before)) => group_before < group && partition_before <= partition,
        };
        if !ascends || partition >= partitions {
            return false;
        }
        before = Some((group, partition));
    }
    before.is_some() == (partitions > 0)
}

fn group_row(row: &[u8]) -> Option<(u16, usize)> {
    let mut fields = Reader::new(row);
    let group = fields.u16()?;
    fields.bytes(2)?;
    Some((group, fields.u32()? as usize))
}
