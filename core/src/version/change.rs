//! One step from a version to the next that compaction makes: parts of segments go, segments come.

use super::segment::{Segment, SegmentId, intersection};
use super::state::{SortedRun, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::segment::SegmentEntry;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// What compaction changes. Everything in it happens at once, or nothing of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// Segments that lose these key groups.
    pub(crate) removed: Vec<(Rc<Segment>, Range<u16>)>,
    /// Segments that come, of whatever runs.
    pub(crate) added: Vec<Rc<Segment>>,
}

impl Change {
    /// The same segments under another level and sequence: nothing is read or written.
    pub(crate) fn relabel<'a>(
        segments: impl Iterator<Item = &'a Rc<Segment>>,
        level: u8,
        sequence: u64,
    ) -> Self {
        let mut change = Self::default();
        for segment in segments {
            let entry = SegmentEntry { level, sequence, ..segment.entry.clone() };
            change.added.push(Rc::new(segment.with_entry(entry)));
            change.removed.push((Rc::clone(segment), segment.entry.groups.clone()));
        }
        change
    }
}

impl Version {
    /// With `change` made.
    ///
    /// # Errors
    /// `Busy` if a segment that should lose key groups does not have them here any more: another change came first, and this
    /// one's work is void.
    pub(crate) fn with_change(&self, change: &Change) -> Result<Self> {
        let mut removed: HashMap<SegmentId, Vec<&Range<u16>>> = HashMap::new();
        for (segment, groups) in &change.removed {
            removed.entry(segment.id()).or_default().push(groups);
        }
        self.has_all(change)?;
        let mut next = Self { frozen: self.frozen.clone(), runs: Vec::with_capacity(self.runs.len() + 1) };
        for run in &self.runs {
            if !run.segments.iter().any(|segment| removed.contains_key(&segment.id())) {
                next.runs.push(run.clone());
                continue;
            }
            let mut left = Vec::with_capacity(run.segments.len() + 1);
            for segment in run.segments.iter() {
                match removed.get(&segment.id()) {
                    None => left.push(Rc::clone(segment)),
                    Some(ranges) => left.extend(without_all(segment, ranges)),
                }
            }
            next.runs.extend(SortedRun::new(left));
        }
        let mut added: HashMap<(u8, u64), Vec<Rc<Segment>>> = HashMap::new();
        for segment in &change.added {
            added.entry((segment.entry.level, segment.entry.sequence)).or_default().push(Rc::clone(segment));
        }
        added.into_values().for_each(|segments| next.insert(segments));
        Ok(next)
    }

    /// Whether every part that `change` takes away is here.
    pub(crate) fn has_all(&self, change: &Change) -> Result<()> {
        let mut here: HashMap<SegmentId, Vec<Range<u16>>> = HashMap::new();
        for segment in self.segments() {
            here.entry(segment.id()).or_default().push(segment.entry.groups.clone());
        }
        for (segment, groups) in &change.removed {
            let wanted = intersection(&segment.entry.groups, groups);
            let parts = here.get(&segment.id());
            if !parts.is_some_and(|parts| {
                parts.iter().any(|part| part.start <= wanted.start && wanted.end <= part.end)
            }) {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!(
                        "{} lost its key groups {wanted:?} to another compaction meanwhile; this one's result is not used",
                        segment.entry.object
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn without_all(segment: &Segment, ranges: &[&Range<u16>]) -> Vec<Rc<Segment>> {
    let (first, others) = match ranges.split_first() {
        Some((first, others)) => (*first, others),
        None => return Vec::new(),
    };
    let mut left: Vec<Segment> = segment.without(first).collect();
    for groups in others {
        left = left.iter().flat_map(|part| part.without(groups)).collect();
    }
    left.into_iter().map(Rc::new).collect()
}
