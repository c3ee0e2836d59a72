//! What must hold of every version and of every step between two: named functions, each a sentence.
//!
//! All of them run in debug builds after each change of a version, and, on a manifest's segments, before each swap; a violation is
//! refused there and never written. Release builds run the cheap ones after each change.

use super::change::Change;
use super::segment::{Segment, intersection};
use super::state::Version;
use crate::limits::LEVEL_MAX;
use crate::segment::SegmentEntry;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// What is wrong, in one line.
pub(crate) type Checked = Result<(), String>;

/// Everything that must hold of the segments of a manifest, or of a version: in their order there.
pub(crate) fn of_segments(segments: &[&SegmentEntry]) -> Checked {
    tiers_come_before_the_bottom_newest_first(segments)?;
    runs_are_disjoint(segments)?;
    deeper_is_older(segments)
}

/// Everything that must hold of a version of the shard of `groups`.
pub(crate) fn of_version(version: &Version, groups: &Range<u16>) -> Checked {
    runs_have_one_level_and_stand_in_order(version)?;
    if cfg!(debug_assertions) {
        segments_ascend_within_their_run(version)?;
        segments_stay_inside(version, groups)?;
        let mut entries: Vec<_> = version.segments().map(|segment| &segment.entry).collect();
        entries.sort_by_key(|entry| (entry.level, std::cmp::Reverse(entry.sequence)));
        of_segments(&entries)?;
    }
    Ok(())
}

/// What a merge counted: the keys that it met, and those of them that it wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    pub(crate) keys: u64,
    pub(crate) kept: u64,
}

/// Everything that must hold of one change of compaction; `merged` if it was a merge.
pub(crate) fn of_change(
    before: &Version,
    change: &Change,
    after: &Version,
    merged: Option<Merged>,
) -> Checked {
    if let Some(merged) = merged {
        entries_add_up(change, merged)?;
    }
    if cfg!(debug_assertions) {
        no_input_is_left_behind(change, after)?;
        nothing_else_changes(before, change, after)?;
    }
    Ok(())
}

/// Lookups stop at the first run that knows a key: tiers by falling sequence, the bottom last.
pub(crate) fn tiers_come_before_the_bottom_newest_first(segments: &[&SegmentEntry]) -> Checked {
    for pair in segments.windows(2) {
        if let [a, b] = pair
            && (a.level > b.level || (a.level == 0 && b.level == 0 && a.sequence < b.sequence))
        {
            return Err(format!(
                "segment sequences {} of level {} before {} of level {}",
                a.sequence, a.level, b.sequence, b.level
            ));
        }
    }
    Ok(())
}

/// At most one segment of a run counts for a key.
pub(crate) fn runs_are_disjoint(segments: &[&SegmentEntry]) -> Checked {
    let mut runs: HashMap<Option<u64>, Vec<Segment>> = HashMap::new();
    for entry in segments {
        let run = (entry.level < LEVEL_MAX).then_some(entry.sequence);
        runs.entry(run).or_default().push(Segment::new((*entry).clone()));
    }
    for run in runs.values_mut() {
        run.retain(|segment| !segment.groups().is_empty());
        run.sort_by(|a, b| a.from.cmp(&b.from));
        for pair in run.windows(2) {
            if let [a, b] = pair
                && !a.is_below(b)
            {
                return Err(format!(
                    "segments of one run overlap: {} at {} and {} at {}",
                    a.entry.object, a.entry.offset, b.entry.object, b.entry.offset
                ));
            }
        }
    }
    Ok(())
}

/// Of every key group, what the bottom holds is older than what any tier holds.
pub(crate) fn deeper_is_older(segments: &[&SegmentEntry]) -> Checked {
    let mut tier_oldest: HashMap<u16, u64> = HashMap::new();
    let bottom = |entry: &&&SegmentEntry| entry.level == LEVEL_MAX;
    if !segments.iter().any(|entry| bottom(&entry)) {
        return Ok(());
    }
    for entry in segments.iter().filter(|entry| !bottom(entry)) {
        for group in counted_groups(entry) {
            let oldest = tier_oldest.entry(group).or_insert(u64::MAX);
            *oldest = entry.sequence.min(*oldest);
        }
    }
    for entry in segments.iter().filter(bottom) {
        for group in counted_groups(entry) {
            if tier_oldest.get(&group).is_some_and(|&oldest| oldest <= entry.sequence) {
                return Err(format!(
                    "the bottom's {} of sequence {} is not older than a tier in key group {group}",
                    entry.object, entry.sequence
                ));
            }
        }
    }
    Ok(())
}

fn counted_groups(entry: &SegmentEntry) -> Range<u16> {
    Segment::new(entry.clone()).groups()
}

/// Levels never rise again, sequences of tiers fall, and there is one bottom.
pub(crate) fn runs_have_one_level_and_stand_in_order(version: &Version) -> Checked {
    for pair in version.runs.windows(2) {
        if let [a, b] = pair {
            let falls = a.level == 0 && b.level == 0 && a.sequence > b.sequence;
            let is_last = a.level == 0 && b.level == LEVEL_MAX;
            if !(falls || is_last) {
                return Err(format!(
                    "runs out of order: sequence {} of level {} before {} of level {}",
                    a.sequence, a.level, b.sequence, b.level
                ));
            }
        }
    }
    Ok(())
}

/// A run's search is by halves: its segments stand in key order and belong to it.
pub(crate) fn segments_ascend_within_their_run(version: &Version) -> Checked {
    for run in &version.runs {
        for segment in run.segments.iter() {
            let belongs = segment.entry.level == run.level
                && (run.is_bottom() || segment.entry.sequence == run.sequence);
            if !belongs {
                return Err(format!(
                    "{} of level {} and sequence {} stands in the run {} of level {}",
                    segment.entry.object,
                    segment.entry.level,
                    segment.entry.sequence,
                    run.sequence,
                    run.level
                ));
            }
        }
        if let Some(pair) = run.segments.windows(2).find(|pair| matches!(pair, [a, b] if a.from > b.from)) {
            return Err(format!("segments descend: {:?}", pair.iter().map(|s| &s.from).collect::<Vec<_>>()));
        }
    }
    Ok(())
}

/// A shard reads no key group of another.
pub(crate) fn segments_stay_inside(version: &Version, groups: &Range<u16>) -> Checked {
    for segment in version.segments() {
        let clip = &segment.entry.groups;
        if clip.is_empty() || clip.start < groups.start || clip.end > groups.end {
            return Err(format!("{} counts for {clip:?}, its shard owns {groups:?}", segment.entry.object));
        }
    }
    Ok(())
}

/// What a merge met, less what it dropped, is what it wrote; and it met every entry of its inputs, each key once a run at most.
pub(crate) fn entries_add_up(change: &Change, merged: Merged) -> Checked {
    let out: u64 = change.added.iter().map(|segment| segment.facts.entries).sum();
    let most: u64 = change.removed.iter().map(|(segment, _)| segment.facts.entries).sum();
    // A clipped input gives a part of its entries: then their number is a bound, not a count.
    let clipped = change
        .removed
        .iter()
        .any(|(segment, groups)| intersection(&segment.groups(), groups) != segment.span_in(&(0..u16::MAX)));
    let runs: HashSet<_> =
        change.removed.iter().map(|(segment, _)| (segment.entry.level, segment.entry.sequence)).collect();
    let met_all = clipped || merged.keys.saturating_mul(runs.len() as u64) >= most;
    if out == merged.kept && merged.kept <= merged.keys && merged.keys <= most && met_all {
        Ok(())
    } else {
        Err(format!(
            "{most} entries in {} runs, {} keys met, {} kept, {out} entries out",
            runs.len(),
            merged.keys,
            merged.kept
        ))
    }
}

/// After a merge nothing of its inputs' key groups is left, else old writes would come back.
pub(crate) fn no_input_is_left_behind(change: &Change, after: &Version) -> Checked {
    for (input, groups) in &change.removed {
        // A relabelled segment comes back under its new label.
        let comes_back = change.added.iter().any(|added| added.id() == input.id());
        let left = after.segments().any(|segment| segment.id() == input.id() && segment.touches(groups));
        if left && !comes_back {
            return Err(format!("{} still counts for {groups:?}", input.entry.object));
        }
    }
    Ok(())
}

/// Every segment that was no input stays with the same key groups.
pub(crate) fn nothing_else_changes(before: &Version, change: &Change, after: &Version) -> Checked {
    let inputs: Vec<_> = change.removed.iter().map(|(segment, _)| segment.id()).collect();
    let others = |version: &Version| {
        let mut others: Vec<_> = version
            .segments()
            .filter(|segment| !inputs.contains(&segment.id()))
            .filter(|segment| !change.added.iter().any(|added| added.id() == segment.id()))
            .map(|segment| (segment.id(), segment.entry.groups.start, segment.entry.groups.end))
            .collect();
        others.sort_unstable();
        others
    };
    if others(before) == others(after) {
        Ok(())
    } else {
        Err("a compaction changed segments that it did not read".to_owned())
    }
}
