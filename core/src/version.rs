//! What a shard's lookups see below its memtable: frozen memtables, then sorted runs of segments, newest first. Immutable: each change
//! makes a new one, so that a read that waits goes on in the version it began in.

use crate::key::group_prefix;
use crate::manifest::format::SegmentEntry;
use crate::memtable::Memtable;
use crate::segment::Place;
use std::rc::Rc;
use xxhash_rust::xxh3::xxh3_64;

/// A memtable that takes no more writes and waits for its upload.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) sequence: u64,
    /// Sequence of the last write that it took.
    pub(crate) last_write: u64,
    pub(crate) memtable: Memtable,
}

/// A segment that this shard reads, clipped to its key groups.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) entry: SegmentEntry,
    /// The object's identity for the cache: names are never reused.
    pub(crate) object_id: u64,
    /// First key that may be found in it here: its smallest, or where its key groups begin.
    pub(crate) from: Box<[u8]>,
}

impl Segment {
    pub(crate) fn new(entry: SegmentEntry) -> Self {
        let object_id = xxh3_64(entry.object.as_str().as_bytes());
        let clip = group_prefix(entry.groups.start);
        let from = if *entry.smallest < *clip.as_slice() { Box::from(clip) } else { entry.smallest.clone() };
        Self { entry, object_id, from }
    }

    /// Where byte `offset` of this segment lies in its object.
    pub(crate) fn place(&self, offset: u64) -> Place {
        Place { object: self.entry.object.clone(), offset: self.entry.offset.saturating_add(offset) }
    }

    /// Offset of the tail in the segment.
    pub(crate) fn tail_offset(&self) -> u64 {
        u64::from(self.entry.bytes - self.entry.tail_bytes)
    }
}

/// A sorted run: what one flush or one merge wrote, cut into segments whose keys do not overlap, in ascending order.
#[derive(Clone, Debug)]
pub(crate) struct SortedRun {
    pub(crate) sequence: u64,
    pub(crate) segments: Rc<[Rc<Segment>]>,
}

impl SortedRun {
    /// The one segment that may hold `key`.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&Rc<Segment>> {
        let above = self.segments.partition_point(|segment| &*segment.from <= key);
        self.segments.get(above.checked_sub(1)?).filter(|segment| *key <= *segment.entry.largest)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.entry.bytes)).sum()
    }
}

/// One consistent view. See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version {
    pub(crate) frozen: Vec<Rc<Frozen>>,
    pub(crate) runs: Vec<SortedRun>,
}

impl Version {
    /// The view of a manifest's segments.
    pub(crate) fn restored(entries: Vec<SegmentEntry>) -> Self {
        let mut segments: Vec<_> = entries.into_iter().map(|entry| Rc::new(Segment::new(entry))).collect();
        segments.sort_by(|a, b| b.entry.sequence.cmp(&a.entry.sequence).then_with(|| a.from.cmp(&b.from)));
        let runs = segments
            .chunk_by(|a, b| a.entry.sequence == b.entry.sequence)
            .map(|pieces| SortedRun {
                sequence: pieces.first().map_or(0, |piece| piece.entry.sequence),
                segments: Rc::from(pieces),
            })
            .collect();
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
        if let Some(segment) = segment {
            next.insert(SortedRun { sequence, segments: Rc::from([segment]) });
        }
        next
    }

    /// With the runs of `merged` gone and what they were merged into, if anything is left of them, in their place.
    pub(crate) fn with_merged(&self, merged: &[u64], outputs: Vec<Rc<Segment>>) -> Self {
        let mut next = self.clone();
        next.runs.retain(|run| !merged.contains(&run.sequence));
        if let Some(sequence) = outputs.first().map(|segment| segment.entry.sequence) {
            next.insert(SortedRun { sequence, segments: Rc::from(outputs) });
        }
        next
    }

    fn insert(&mut self, run: SortedRun) {
        let position = self.runs.partition_point(|newer| newer.sequence > run.sequence);
        self.runs.insert(position, run);
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
            groups,
            entries: 1,
            tombstones: 0,
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
