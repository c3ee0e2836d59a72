//! Which job is next: a function of the version, its shard's key groups, the size of a memtable and the moment, of nothing else.
//!
//! Tiered on top, leveled below (the lazy leveling of Dostoevsky, Dayan and Idreos 2018), with figures in decision 0008:
//!
//! 1. What is dead goes unread: segments past their last expiry, or covered by a newer deletion of a range.
//! 2. Runs whose keys do not overlap become one by name.
//! 3. Where half of what is there is deletions and expired entries, these are merged out.
//! 4. Tiers are merged into the bottom, a range of key groups at a time, once they hold as many bytes there as the bottom does; the first
//!    bottom is made once tiers hold [`BOTTOM_FIRST_UNITS`] memtables. Before that where reads have paid for it ([`super::read_cost`]).
//! 5. Neighbouring tiers of one size class are merged, each class eight times the one below: flushed memtables once there are
//!    [`COMPACTION_RUNS_MAX`] runs in all, smaller classes once there are [`COMPACTION_FAN_IN`] of them, larger ones once so many are
//!    there that flushed memtables have no more than [`COMPACTION_FAN_IN`] of all runs left.
//!
//! Only neighbours in age are merged, else an old write would pass a newer one. Each job takes away runs, deletions or bytes above the
//! bottom, so a version that nobody writes to settles.

use super::job::{Job, JobKind};
use super::read_cost::READ_RUNS_MAX;
use crate::key::group_prefix;
use crate::limits::{
    BOTTOM_FIRST_BYTES_MAX, BOTTOM_FIRST_UNITS, BOTTOM_NEXT_UNITS, COMPACTION_BEHIND_UNITS,
    COMPACTION_FAN_IN, COMPACTION_INPUTS_MAX, COMPACTION_JOB_BYTES, COMPACTION_RUNS_MAX, LEVEL_MAX,
};
use crate::segment::ranges::RangeDeletes;
use crate::version::{Segment, SegmentId, SortedRun, Version, depth, intersection};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

/// What a pick depends on beside the version.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    /// The shard's key groups.
    pub(crate) groups: Range<u16>,
    /// Bytes of the segment that a full memtable becomes.
    pub(crate) unit_bytes: u64,
    /// Now, in the store's time domain; 0 if nothing may be taken for expired: memtables hold operands that may stand on it.
    pub(crate) now_ms: u64,
    /// Segments that another job reads already: another process may be at work on it.
    pub(crate) busy: HashSet<SegmentId>,
    /// Clips of segments (named by segment and first key group), every key of which a newer range deletion takes: see [`covered_by`].
    pub(crate) covered: HashSet<(SegmentId, u16)>,
    /// Reads have paid for a merge of everything: see [`super::read_cost`].
    pub(crate) reads_pay: bool,
}

/// What of `version` the range deletions of `newer`, one of its segments, take as a whole.
pub(crate) fn covered_by(version: &Version, newer: &Segment, ranges: &RangeDeletes) -> Vec<(SegmentId, u16)> {
    let age = |segment: &Segment| (segment.entry.level, Reverse(segment.entry.sequence));
    let (from, to) = (group_prefix(newer.entry.groups.start), group_prefix(newer.entry.groups.end));
    let ranges = ranges.clipped(&from, &to).map(|(from, to)| Box::from(from)..Box::from(to));
    let ranges = RangeDeletes::new(ranges.collect());
    let is_taken = |older: &&Rc<Segment>| {
        // Its own range deletions may reach further than its keys, and hide what is older still: then it stays.
        age(older) > age(newer) && older.facts.range_deletions == 0 && older.is_covered(&ranges)
    };
    version.segments().filter(is_taken).map(|older| (older.id(), older.entry.groups.start)).collect()
}

/// The next moment, in the store's time domain, at which time alone may give [`pick`] something to do.
pub(crate) fn next_expiry_ms(version: &Version, now_ms: u64) -> Option<u64> {
    let expiring = version.segments().filter(|segment| segment.facts.expiring > 0);
    expiring.map(|segment| segment.facts.expiry_ms_max).filter(|&moment| moment > now_ms).min()
}

/// The next job; `None` if all is well.
pub(crate) fn pick(version: &Version, situation: &Situation) -> Option<Job> {
    drop_dead(version, situation)
        .or_else(|| join_disjoint(version, situation))
        .or_else(|| merge_garbage(version, situation))
        .or_else(|| merge_into_bottom(version, situation))
        .or_else(|| merge_tiers(version, situation))
}

/// Bytes that tiers hold beyond what [`pick`] leaves alone, about: what compaction is behind by.
pub(crate) fn debt_bytes(version: &Version, situation: &Situation) -> u64 {
    let runs = version.depth(&situation.groups).saturating_sub(COMPACTION_RUNS_MAX) as u64;
    let (tiers, bottom) = bytes_in(version, &situation.groups);
    let due = bottom.max(first_bottom_bytes(situation.unit_bytes, bottom));
    runs.saturating_mul(situation.unit_bytes).max(tiers.saturating_sub(due))
}

/// Whether compaction has more to do than its shard does in time.
pub(crate) fn is_behind(version: &Version, situation: &Situation) -> bool {
    debt_bytes(version, situation) > situation.unit_bytes.saturating_mul(COMPACTION_BEHIND_UNITS)
}

/// Segments that hold nothing alive and shadow nothing.
fn drop_dead(version: &Version, situation: &Situation) -> Option<Job> {
    let mut dead: Vec<Vec<Rc<Segment>>> = Vec::new();
    // From the oldest run up: what is dropped below shadows and exposes nothing any more.
    let mut older: Vec<&Rc<Segment>> = Vec::new();
    for (position, run) in version.runs.iter().enumerate().rev() {
        let newer_merges = has_merges(version.runs.iter().take(position), &situation.groups);
        let (mut here, mut alive) = (Vec::new(), Vec::new());
        for segment in run.segments.iter() {
            let covered = || situation.covered.contains(&(segment.id(), segment.entry.groups.start));
            // An expired entry is a deletion to what is below it.
            let expired = || {
                !newer_merges
                    && segment.facts.all_expired(situation.now_ms)
                    && !older.iter().any(|below| !segment.is_below(below) && !below.is_below(segment))
            };
            if !situation.busy.contains(&segment.id()) && (expired() || covered()) {
                here.push(Rc::clone(segment));
            } else {
                alive.push(segment);
            }
        }
        older.extend(alive);
        if !here.is_empty() {
            dead.insert(0, here);
        }
    }
    let sequence = dead.first()?.first()?.entry.sequence;
    let groups = situation.groups.clone();
    Some(Job { kind: JobKind::Drop, inputs: dead, groups, level: 0, sequence, reaches_bottom: false })
}

/// Whether a run holds operands for keys of `groups`. What they stand on may have expired since they were written, and still counts.
pub(crate) fn has_merges<'a>(mut runs: impl Iterator<Item = &'a SortedRun>, groups: &Range<u16>) -> bool {
    runs.any(|run| run.touching(groups).any(|segment| segment.facts.merges > 0))
}

/// Neighbouring tiers of which one lies wholly beside the other.
fn join_disjoint(version: &Version, situation: &Situation) -> Option<Job> {
    let tiers = version.tiers().count();
    (1..tiers).find_map(|older| {
        let (newer, run) = (version.runs.get(older - 1)?, version.runs.get(older)?);
        let free = |run: &SortedRun| run.segments.iter().all(|segment| is_free(segment, situation));
        (free(newer) && free(run) && are_disjoint(newer, run))
            .then(|| Job::merge(JobKind::Move, version, older - 1..older + 1, situation.groups.clone(), 0))?
    })
}

fn is_free(segment: &Segment, situation: &Situation) -> bool {
    !situation.busy.contains(&segment.id())
}

/// Whether no segment of `a` overlaps one of `b` in keys.
fn are_disjoint(a: &SortedRun, b: &SortedRun) -> bool {
    let mut all: Vec<&Rc<Segment>> = a.segments.iter().chain(b.segments.iter()).collect();
    all.sort_by(|a, b| a.from.cmp(&b.from));
    // A deletion of a range may reach beyond its segment's keys.
    all.iter().all(|segment| segment.facts.range_deletions == 0)
        && all.windows(2).all(|pair| matches!(pair, [low, high] if low.is_below(high)))
}

/// The positions of all tiers that a merge into the bottom may take in `groups`: from the oldest up to the first that is busy.
fn free_suffix(version: &Version, groups: &Range<u16>, situation: &Situation) -> Option<Range<usize>> {
    let end = version.runs.len();
    let busy = |run: &SortedRun| run.touching(groups).any(|segment| !is_free(segment, situation));
    let mut start = end;
    let mut taken = 0;
    for (position, run) in version.runs.iter().enumerate().rev() {
        if busy(run) {
            break;
        }
        let touches = run.touching(groups).next().is_some();
        if taken + usize::from(touches) > COMPACTION_INPUTS_MAX {
            break;
        }
        taken += usize::from(touches);
        start = position;
    }
    (start < end).then_some(start..end)
}

/// Where half of the entries are deletions, what these delete, or expired: down to the bottom with them.
fn merge_garbage(version: &Version, situation: &Situation) -> Option<Job> {
    parts(version, situation).into_iter().find_map(|groups| {
        // With newer runs left out, what has expired might have to stay.
        let all_free = free_suffix(version, &groups, situation).is_some_and(|runs| runs.start == 0);
        let (mut dead, mut all) = (0, 0);
        for segment in version.runs.iter().flat_map(|run| run.touching(&groups)) {
            let facts = &segment.facts;
            all += segment.share(&groups, facts.entries);
            dead += segment.share(&groups, facts.tombstones.saturating_mul(2));
            if all_free && facts.expiry_ms_max <= situation.now_ms {
                dead += segment.share(&groups, facts.expiring);
            }
        }
        if dead == 0 || dead.saturating_mul(2) < all {
            return None;
        }
        let runs = free_suffix(version, &groups, situation)?;
        // Deletions that stay because a newer tier is busy would be picked for ever.
        (runs.start == 0).then(|| Job::merge(JobKind::Garbage, version, runs, groups, LEVEL_MAX))?
    })
}

/// The part of the key groups with the least to rewrite for what it takes in, if one is due.
fn merge_into_bottom(version: &Version, situation: &Situation) -> Option<Job> {
    let (_, bottom_all) = bytes_in(version, &situation.groups);
    let floor = first_bottom_bytes(situation.unit_bytes, bottom_all);
    // Once some parts are done the others follow, though sizes, and so the borders of parts, moved a little meanwhile.
    let begun = version.tiers().any(|run| is_partly_merged(run, situation));
    let mut best: Option<(u64, Job)> = None;
    for groups in parts(version, situation) {
        let (tiers, bottom) = bytes_in(version, &groups);
        let part = floor.saturating_mul(groups.len() as u64) / situation.groups.len().max(1) as u64;
        let due = bottom.max(part);
        let due = if begun { due / 2 } else { due };
        let reads_pay = situation.reads_pay && version.depth(&groups) > READ_RUNS_MAX;
        if tiers == 0 || tiers < due && !reads_pay {
            continue;
        }
        let Some(runs) = free_suffix(version, &groups, situation) else { continue };
        let Some(job) = Job::merge(JobKind::Bottom, version, runs, groups, LEVEL_MAX) else { continue };
        let brings = job.segments().any(|segment| segment.entry.level < LEVEL_MAX);
        // Bytes rewritten for each thousand that come in.
        let cost = bottom.saturating_mul(1000) / tiers;
        if brings && best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, job));
        }
    }
    best.map(|(_, job)| job)
}

/// A merge into the bottom took some of its key groups.
fn is_partly_merged(run: &SortedRun, situation: &Situation) -> bool {
    run.segments.iter().any(|segment| {
        let span = segment.span_in(&situation.groups);
        segment.groups().len() < span.len()
    })
}

/// Bytes above a bottom of this size before they are merged into it.
fn first_bottom_bytes(unit_bytes: u64, bottom_bytes: u64) -> u64 {
    if bottom_bytes == 0 {
        unit_bytes.saturating_mul(BOTTOM_FIRST_UNITS).min(BOTTOM_FIRST_BYTES_MAX)
    } else {
        unit_bytes.saturating_mul(BOTTOM_NEXT_UNITS).min(BOTTOM_FIRST_BYTES_MAX)
    }
}

/// Bytes of tiers and of the bottom in these key groups.
fn bytes_in(version: &Version, groups: &Range<u16>) -> (u64, u64) {
    let bytes = |run: &SortedRun| -> u64 {
        run.touching(groups).map(|segment| segment.share(groups, u64::from(segment.entry.bytes))).sum()
    };
    (version.tiers().map(bytes).sum(), version.bottom().map_or(0, bytes))
}

/// The key groups in parts of about [`COMPACTION_JOB_BYTES`] each. Their number is a power of two, so that it seldom changes.
fn parts(version: &Version, situation: &Situation) -> Vec<Range<u16>> {
    let (tiers, bottom) = bytes_in(version, &situation.groups);
    let groups = &situation.groups;
    let count = (tiers + bottom).div_ceil(COMPACTION_JOB_BYTES).max(1).next_power_of_two();
    let count = count.min(groups.len() as u64).max(1);
    let border =
        |part: u64| groups.start + u16::try_from(part * groups.len() as u64 / count).unwrap_or(u16::MAX);
    (0..count).map(|part| widened(version, border(part)..border(part + 1), groups)).collect()
}

/// `part` and what the bottom's segments that touch it span beyond: they are not cut in two for want of a border.
fn widened(version: &Version, part: Range<u16>, all: &Range<u16>) -> Range<u16> {
    let mut wide = part;
    loop {
        let touched = version.bottom().into_iter().flat_map(|bottom| bottom.touching(&wide));
        let (start, end) = touched.fold((wide.start, wide.end), |(start, end), segment| {
            let groups = segment.groups();
            (start.min(groups.start), end.max(groups.end))
        });
        let next = start.max(all.start)..end.min(all.end);
        if next == wide {
            return wide;
        }
        wide = next;
    }
}

/// The size class of a tier: 0 for a full memtable, one more or less for each factor of [`COMPACTION_FAN_IN`].
///
/// A class begins at half of its first member, so that memtables that were not quite full, or compressed well, belong to theirs.
fn class(bytes: u64, unit_bytes: u64) -> i32 {
    let (mut class, mut least) = (0, (unit_bytes / 2).max(1));
    while bytes < least && least > SMALLEST_TIER_BYTES {
        least /= COMPACTION_FAN_IN as u64;
        class -= 1;
    }
    while bytes >= least.saturating_mul(COMPACTION_FAN_IN as u64) {
        least = least.saturating_mul(COMPACTION_FAN_IN as u64);
        class += 1;
    }
    class
}

/// Bytes that a run would have if all key groups had as many as those that it reaches into: a flush of a part is as fresh as one of all.
fn spread_bytes(run: &SortedRun, groups: &Range<u16>) -> u64 {
    let mut counted = groups.start;
    let mut covered = 0_u64;
    for segment in run.segments.iter() {
        let here = intersection(&segment.groups(), groups);
        let fresh = here.start.max(counted)..here.end;
        covered += fresh.len() as u64;
        counted = counted.max(here.end);
    }
    run.bytes().saturating_mul(groups.len() as u64) / covered.max(1)
}

/// Below this, sizes do not matter: an upload costs a request, not bytes.
const SMALLEST_TIER_BYTES: u64 = 64 * 1024;

/// The smallest class that has enough tiers with nothing larger between them. What is smaller and lies between them goes along.
fn merge_tiers<'a>(version: &'a Version, situation: &Situation) -> Option<Job> {
    let tiers: Vec<&SortedRun> = version.tiers().collect();
    let class_of = |run: &&SortedRun| class(spread_bytes(run, &situation.groups), situation.unit_bytes);
    let classes: Vec<i32> = tiers.iter().map(class_of).collect();
    let (smallest, largest) = (classes.iter().copied().min()?, classes.iter().copied().max()?);
    let is_flushed = |(run, class): (&&'a SortedRun, &i32)| (*class == 0).then_some(*run);
    let flushed = depth(tiers.iter().zip(&classes).filter_map(is_flushed), &situation.groups);
    // What is left to flushed memtables of the runs that a read may consult.
    let flushed_max = (COMPACTION_RUNS_MAX + flushed)
        .saturating_sub(version.depth(&situation.groups).max(flushed))
        .clamp(COMPACTION_FAN_IN, COMPACTION_RUNS_MAX);
    (smallest..=largest).find_map(|wanted| {
        let enough = match wanted {
            ..0 => COMPACTION_FAN_IN,
            0 => flushed_max,
            // Until they leave flushed memtables no more than a fan-in of all runs: most often the bottom takes them before.
            1.. => COMPACTION_RUNS_MAX - COMPACTION_FAN_IN,
        };
        // Stretches without a larger or busy tier, cut down to those between the first and the last member.
        let ends = |position: usize| {
            classes.get(position).is_some_and(|&class| class > wanted)
                || tiers
                    .get(position)
                    .is_some_and(|run| run.segments.iter().any(|segment| !is_free(segment, situation)))
        };
        let mut start = 0;
        while start < tiers.len() {
            let end = (start..tiers.len()).find(|&position| ends(position)).unwrap_or(tiers.len());
            let mut members = (start..end).filter(|&position| classes.get(position) == Some(&wanted));
            let runs = members.clone().filter_map(|position| tiers.get(position).copied());
            let count = depth(runs, &situation.groups);
            if let (Some(first), Some(last)) = (members.next(), members.next_back())
                && count >= enough
            {
                // The oldest of too many: the rest follows later.
                let first = first.max((last + 1).saturating_sub(COMPACTION_INPUTS_MAX));
                return Job::merge(JobKind::Tiers, version, first..last + 1, situation.groups.clone(), 0);
            }
            start = end + 1;
        }
        None
    })
}
