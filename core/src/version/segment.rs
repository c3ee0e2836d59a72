//! A segment of a version: what its manifest entry says, the part of it that counts, and who keeps it local.

use super::head_pin::HeadPin;
use super::local_use::LocalUse;
use crate::key::{group_of, group_prefix};
use crate::segment::ranges::RangeDeletes;
use crate::segment::{SegmentEntry, SegmentPlace};
use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;
use xxhash_rust::xxh3::xxh3_64;

/// What tells a segment from every other, whatever its clip: its object and its offset there.
pub(crate) type SegmentId = (u64, u64);

/// Of the segment that an entry names.
pub(crate) fn id_of(entry: &SegmentEntry) -> SegmentId {
    (object_id(entry), entry.offset)
}

/// An object's identity for the cache: names are never reused.
fn object_id(entry: &SegmentEntry) -> u64 {
    xxh3_64(entry.object.as_str().as_bytes())
}

/// Entries of a segment by kind, as far as compaction asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) entries: u64,
    /// Deletions of single keys among them.
    pub(crate) tombstones: u64,
    /// Entries with an expiry among them.
    pub(crate) expiring: u64,
    /// The last of their moments; meaningless if `expiring` is 0.
    pub(crate) expiry_ms_max: u64,
    /// Operands among them that need what is older.
    pub(crate) merges: u64,
    /// Deletions of key ranges, which are no entries.
    pub(crate) range_deletions: u64,
}

impl Facts {
    pub(super) fn of(entry: &SegmentEntry) -> Self {
        Self {
            entries: entry.counts.entries,
            tombstones: entry.counts.tombstones,
            merges: entry.counts.merges,
            expiring: entry.counts.expiring,
            expiry_ms_max: entry.counts.expiry_ms_max,
            range_deletions: u64::from(entry.range_deletes),
        }
    }

    /// Nothing in it is alive at `now_ms`, and nothing in it deletes anything but keys that it names.
    pub(crate) fn all_expired(&self, now_ms: u64) -> bool {
        self.expiring > 0
            && self.expiring == self.entries
            && self.expiry_ms_max <= now_ms
            && self.range_deletions == 0
    }
}

/// A segment that this shard reads, clipped to its key groups.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) entry: SegmentEntry,
    /// The object's identity for the cache: names are never reused.
    pub(crate) object_id: u64,
    /// First key that may be found in it here: its smallest, or where its key groups begin.
    pub(crate) from: Box<[u8]>,
    pub(crate) facts: Facts,
    /// Its head, while the cache has it.
    pub(crate) head: HeadPin,
    /// Keeps its blocks on the SSD while somebody may read it, if they are pinned there.
    pub(crate) home: OnceCell<Rc<LocalUse>>,
}

impl Segment {
    pub(crate) fn new(entry: SegmentEntry) -> Self {
        let object_id = object_id(&entry);
        let clip = group_prefix(entry.groups.start);
        let from = if *entry.smallest < *clip.as_slice() { Box::from(clip) } else { entry.smallest.clone() };
        let facts = Facts::of(&entry);
        Self { entry, object_id, from, facts, head: HeadPin::default(), home: OnceCell::new() }
    }

    pub(crate) fn id(&self) -> SegmentId {
        (self.object_id, self.entry.offset)
    }

    /// The same bytes with another clip, level or sequence.
    pub(super) fn with_entry(&self, entry: SegmentEntry) -> Self {
        Self { facts: self.facts, ..Self::new(entry) }
    }

    /// Where byte `offset` of this segment lies in its object.
    pub(crate) fn place(&self, offset: u64) -> SegmentPlace {
        SegmentPlace { object: self.entry.object.clone(), offset: self.entry.offset.saturating_add(offset) }
    }

    /// Offset of the tail in the segment.
    pub(crate) fn tail_offset(&self) -> u64 {
        u64::from(self.entry.bytes - self.entry.tail_bytes)
    }

    /// Key groups that its keys span, clipped or not; perhaps one more: a bare group at the end may be an empty key, or the end of a range
    /// deletion, in which nothing lies.
    pub(super) fn span(&self) -> Range<u16> {
        let first = group_of(&self.entry.smallest).unwrap_or_default();
        let last = group_of(&self.entry.largest).unwrap_or(u16::MAX);
        first..last.saturating_add(1)
    }

    /// Key groups of which something may be found in it here.
    pub(crate) fn groups(&self) -> Range<u16> {
        intersection(&self.entry.groups, &self.span())
    }

    /// Key groups of `groups` that its keys span, clipped or not.
    pub(crate) fn span_in(&self, groups: &Range<u16>) -> Range<u16> {
        intersection(&self.span(), groups)
    }

    /// The part of `amount`, a property of the whole segment, that falls to `groups`, if keys are spread evenly over its groups.
    pub(crate) fn share(&self, groups: &Range<u16>, amount: u64) -> u64 {
        let part = intersection(&self.groups(), groups).len() as u128;
        let whole = self.span().len().max(1) as u128;
        u64::try_from(u128::from(amount) * part / whole).unwrap_or(amount)
    }

    /// Bytes that count here.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.share(&self.entry.groups, u64::from(self.entry.bytes))
    }

    /// Whether something of `groups` may be found in it here.
    pub(crate) fn touches(&self, groups: &Range<u16>) -> bool {
        !intersection(&self.groups(), groups).is_empty()
    }

    /// What is left of it without `groups`: nothing, one part or two.
    pub(super) fn without(&self, groups: &Range<u16>) -> impl Iterator<Item = Self> {
        let clip = &self.entry.groups;
        let below = clip.start..clip.end.min(groups.start);
        let above = clip.start.max(groups.end)..clip.end;
        let parts = if groups.is_empty() { [clip.clone(), 0..0] } else { [below, above] };
        parts
            .into_iter()
            .map(|groups| self.with_entry(SegmentEntry { groups, ..self.entry.clone() }))
            .filter(|part| !part.entry.groups.is_empty() && !part.groups().is_empty())
    }

    /// The last key that may be found in it here, or an end above it: its largest, or where its key groups end.
    pub(super) fn to(&self) -> (Box<[u8]>, bool) {
        let clip = group_prefix(self.entry.groups.end);
        if *self.entry.largest < *clip.as_slice() {
            (self.entry.largest.clone(), true)
        } else {
            (Box::from(clip), false)
        }
    }

    /// Whether `ranges` take every key that may be found in it here.
    pub(crate) fn is_covered(&self, ranges: &RangeDeletes) -> bool {
        match self.to() {
            (to, true) => ranges.covers_all(&self.from, &to),
            (to, false) => ranges.covers_below(&self.from, &to),
        }
    }

    /// Whether every key of this one is below every key of `other`, as both count here.
    pub(crate) fn is_below(&self, other: &Self) -> bool {
        let (to, included) = self.to();
        // The largest key of a segment with range deletions may be the end of one, which is not in it any more.
        if included && self.facts.range_deletions == 0 { to < other.from } else { to <= other.from }
    }
}

/// What both ranges hold; an empty range if that is nothing.
pub(crate) fn intersection(a: &Range<u16>, b: &Range<u16>) -> Range<u16> {
    let (start, end) = (a.start.max(b.start), a.end.min(b.end));
    start..end.max(start)
}
