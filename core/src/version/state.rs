//! The frozen memtables and the sorted runs of one moment.

use super::segment::{Segment, intersection};
use crate::limits::LEVEL_MAX;
use crate::memtable::Memtables;
use crate::segment::SegmentEntry;
use std::ops::Range;
use std::rc::Rc;

/// Parts of a memtable, or all of it, that take no more writes and wait for their upload.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) sequence: u64,
    /// Sequence of the last write before it was frozen.
    pub(crate) last_write: u64,
    pub(crate) memtable: Memtables,
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
    pub(super) fn insert(&mut self, mut segments: Vec<Rc<Segment>>) {
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
