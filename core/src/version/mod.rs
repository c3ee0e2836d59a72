//! What a shard's lookups see below its memtable: frozen memtables, then sorted runs of segments, newest first. Immutable: each change
//! makes a new one, so that a read that waits goes on in the version it began in, and a snapshot keeps its version for as long as it lives.
//!
//! ```text
//! frozen    memtables that wait for their upload
//! level 0   tiers: one run a flush, or what several were merged into; any of them may hold any key
//! level 1   the bottom: one run, older than every tier, cut into segments at key-group borders
//! ```
//! A merge of some key groups takes these groups out of its inputs, by clipping them; the objects stay as they are.

pub(crate) mod head_pin;
pub(crate) mod home;
mod change;
pub(crate) mod invariants;

pub(crate) use change::Change;

use crate::key::{group_of, group_prefix};
use crate::limits::LEVEL_MAX;
use crate::memtable::Memtables;
use crate::segment::Place;
use crate::segment::SegmentEntry;
use crate::segment::ranges::RangeDeletes;
use head_pin::HeadPin;
use home::Home;
use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;
use xxhash_rust::xxh3::xxh3_64;

/// Parts of a memtable, or all of it, that take no more writes and wait for their upload.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) sequence: u64,
    /// Sequence of the last write before it was frozen.
    pub(crate) last_write: u64,
    pub(crate) memtable: Memtables,
}

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
    fn of(entry: &SegmentEntry) -> Self {
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
    pub(crate) home: OnceCell<Rc<Home>>,
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
    fn with_entry(&self, entry: SegmentEntry) -> Self {
        Self { facts: self.facts, ..Self::new(entry) }
    }

    /// Where byte `offset` of this segment lies in its object.
    pub(crate) fn place(&self, offset: u64) -> Place {
        Place { object: self.entry.object.clone(), offset: self.entry.offset.saturating_add(offset) }
    }

    /// Offset of the tail in the segment.
    pub(crate) fn tail_offset(&self) -> u64 {
        u64::from(self.entry.bytes - self.entry.tail_bytes)
    }

    /// Key groups that its keys span, clipped or not; perhaps one more: a bare group at the end may be an empty key, or the end of a range
    /// deletion, in which nothing lies.
    fn span(&self) -> Range<u16> {
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
    fn without(&self, groups: &Range<u16>) -> impl Iterator<Item = Self> {
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
    fn to(&self) -> (Box<[u8]>, bool) {
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

/// A sorted run: segments whose keys do not overlap, in ascending order. A tier is what one flush or merge wrote; the bottom level is one run.
#[derive(Clone, Debug)]
pub(crate) struct SortedRun {
    pub(crate) level: u8,
    /// Of a tier: that of all of its segments. Of the bottom level: the highest.
    pub(crate) sequence: u64,
    pub(crate) segments: Rc<[Rc<Segment>]>,
}

impl SortedRun {
    /// The run of these segments; `None` without any.
    pub(crate) fn new(mut segments: Vec<Rc<Segment>>) -> Option<Self> {
        segments.sort_by(|a, b| a.from.cmp(&b.from));
        let level = segments.first()?.entry.level;
        let sequence = segments.iter().map(|segment| segment.entry.sequence).max()?;
        Some(Self { level, sequence, segments: Rc::from(segments) })
    }

    pub(crate) fn is_bottom(&self) -> bool {
        self.level == LEVEL_MAX
    }

    /// The one segment that may hold `key`.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&Rc<Segment>> {
        let above = self.segments.partition_point(|segment| &*segment.from <= key);
        self.segments.get(above.checked_sub(1)?).filter(|segment| *key <= *segment.entry.largest)
    }

    /// Bytes of its segments that count here.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.live_bytes()).sum()
    }

    /// Segments that may hold something of `groups`.
    pub(crate) fn touching<'a>(&'a self, groups: &'a Range<u16>) -> impl Iterator<Item = &'a Rc<Segment>> {
        self.segments.iter().filter(|segment| segment.touches(groups))
    }
}

/// One consistent view. See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version {
    pub(crate) frozen: Vec<Rc<Frozen>>,
    /// Tiers, newest first, then the bottom level.
    pub(crate) runs: Vec<SortedRun>,
}

impl Version {
    /// The view of a manifest's segments.
    pub(crate) fn restored(entries: Vec<SegmentEntry>) -> Self {
        let mut segments: Vec<_> = entries.into_iter().map(|entry| Rc::new(Segment::new(entry))).collect();
        segments.sort_by_key(|segment| (segment.entry.level, std::cmp::Reverse(segment.entry.sequence)));
        let one_run = |a: &Rc<Segment>, b: &Rc<Segment>| {
            a.entry.level == b.entry.level
                && (a.entry.level == LEVEL_MAX || a.entry.sequence == b.entry.sequence)
        };
        let runs = segments.chunk_by(one_run).filter_map(|pieces| SortedRun::new(pieces.to_vec())).collect();
        Self { frozen: Vec::new(), runs }
    }

    /// With a memtable frozen on top.
    pub(crate) fn with_frozen(&self, frozen: Rc<Frozen>) -> Self {
        let mut next = self.clone();
        next.frozen.insert(0, frozen);
        next
    }

    /// Whether the frozen memtable `sequence` is part of it.
    pub(crate) fn has_frozen(&self, sequence: u64) -> bool {
        self.frozen.iter().any(|frozen| frozen.sequence == sequence)
    }

    /// With the frozen memtable `sequence` gone and its segment, if it made one, in place.
    pub(crate) fn with_flushed(&self, sequence: u64, segment: Option<Rc<Segment>>) -> Self {
        let mut next = self.clone();
        next.frozen.retain(|frozen| frozen.sequence != sequence);
        next.insert(segment.into_iter().collect());
        next
    }

    /// Puts segments of one run where they belong.
    fn insert(&mut self, mut segments: Vec<Rc<Segment>>) {
        let Some(first) = segments.first() else { return };
        let (level, sequence) = (first.entry.level, first.entry.sequence);
        let is_older = |run: &SortedRun| {
            (level, std::cmp::Reverse(sequence)) > (run.level, std::cmp::Reverse(run.sequence))
        };
        let same = self
            .runs
            .iter()
            .position(|run| run.level == level && (level == LEVEL_MAX || run.sequence == sequence));
        if let Some(same) = same {
            segments.extend(self.runs.remove(same).segments.iter().cloned());
        }
        let position = self.runs.partition_point(is_older);
        if let Some(run) = SortedRun::new(segments) {
            self.runs.insert(position, run);
        }
    }

    pub(crate) fn frozen_bytes(&self) -> usize {
        self.frozen.iter().map(|frozen| frozen.memtable.bytes()).sum()
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &Rc<Segment>> {
        self.runs.iter().flat_map(|run| run.segments.iter())
    }

    pub(crate) fn entries(&self) -> Vec<SegmentEntry> {
        self.segments().map(|segment| segment.entry.clone()).collect()
    }

    /// Tiers, newest first.
    pub(crate) fn tiers(&self) -> impl DoubleEndedIterator<Item = &SortedRun> {
        self.runs.iter().filter(|run| !run.is_bottom())
    }

    /// The bottom level, if there is one.
    pub(crate) fn bottom(&self) -> Option<&SortedRun> {
        self.runs.last().filter(|run| run.is_bottom())
    }

    /// The most runs that a point read of any of `groups` may have to consult.
    pub(crate) fn depth(&self, groups: &Range<u16>) -> usize {
        depth(self.runs.iter(), groups)
    }
}

/// The most of these runs that reach into one of `groups`.
pub(crate) fn depth<'a>(runs: impl Iterator<Item = &'a SortedRun>, groups: &Range<u16>) -> usize {
    let mut depths = vec![0usize; groups.len()];
    for run in runs {
        let mut counted = groups.start;
        for segment in run.segments.iter() {
            let here = intersection(&segment.groups(), groups);
            // Pieces of one run may share a group at their border: it is one run.
            for group in here.start.max(counted)..here.end {
                if let Some(depth) = depths.get_mut(usize::from(group - groups.start)) {
                    *depth += 1;
                }
            }
            counted = counted.max(here.end);
        }
    }
    depths.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::key::engine_key;
    use aquifer_remote::ObjectName;
    use std::ops::Range;

    pub(crate) fn entry(
        sequence: u64,
        groups: Range<u16>,
        smallest: (u16, &[u8]),
        largest: (u16, &[u8]),
        bytes: u32,
    ) -> SegmentEntry {
        SegmentEntry {
            object: ObjectName::new(format!("pack/{sequence}-{}", smallest.0)).unwrap(),
            offset: 0,
            bytes,
            tail_bytes: 64,
            footer_crc: 0,
            tag: sequence,
            sequence,
            level: 0,
            groups,
            counts: crate::segment::counts::Counts { entries: 1, ..Default::default() },
            range_deletes: 0,
            smallest: engine_key(smallest.0, smallest.1).unwrap(),
            largest: engine_key(largest.0, largest.1).unwrap(),
        }
    }

    #[test]
    fn a_run_in_pieces_finds_the_one_that_may_hold_a_key() {
        let version = Version::restored(vec![
            entry(5, 0..10, (2, b"m"), (4, b"c"), 100),
            entry(5, 0..10, (0, b"a"), (2, b"k"), 100),
            entry(9, 0..10, (0, b""), (9, b"z"), 100),
        ]);
        assert_eq!(
            version.runs.iter().map(|run| (run.sequence, run.segments.len())).collect::<Vec<_>>(),
            [(9, 1), (5, 2)]
        );
        let found = |group, key: &[u8]| {
            version.runs[1]
                .find(&engine_key(group, key).unwrap())
                .map(|segment| segment.entry.object.to_string())
        };
        assert_eq!(found(0, b"a").as_deref(), Some("pack/5-0"));
        assert_eq!(found(2, b"k").as_deref(), Some("pack/5-0"));
        assert_eq!(found(2, b"l"), None, "between the pieces");
        assert_eq!(found(3, b"x").as_deref(), Some("pack/5-2"));
        assert_eq!(found(0, b""), None);
        assert_eq!(found(4, b"d"), None);
    }

    #[test]
    fn pieces_that_two_former_shards_clipped_do_not_hide_each_other() {
        // One segment over groups 1 to 6; the shard of groups 0..4 merged its part into another, the shard of 4..8 still has the rest.
        let version = Version::restored(vec![
            entry(5, 4..8, (1, b"a"), (6, b"z"), 100),
            entry(5, 0..4, (0, b"a"), (3, b"z"), 100),
        ]);
        let found = |group| {
            version.runs[0]
                .find(&engine_key(group, b"k").unwrap())
                .map(|segment| segment.entry.groups.clone())
        };
        assert_eq!(found(2), Some(0..4));
        assert_eq!(found(5), Some(4..8));
    }
}
