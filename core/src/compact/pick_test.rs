//! Single picks, each for one reason. What any course of them comes to is the model's.

use super::job::JobKind;
use super::pick::{Situation, covered_by, next_expiry_ms, pick};
use super::read_cost::READ_RUNS_MAX;
use crate::key::engine_key;
use crate::limits::COMPACTION_RUNS_MAX;
use crate::segment::ranges::RangeDeletes;
use crate::version::tests::entry;
use crate::version::{Facts, Segment, Version};
use std::collections::HashSet;
use std::rc::Rc;

const UNIT: u32 = 1_000_000;

fn situation() -> Situation {
    Situation {
        groups: 0..8,
        unit_bytes: u64::from(UNIT),
        now_ms: 0,
        busy: HashSet::new(),
        covered: HashSet::new(),
        reads_pay: false,
    }
}

/// A version of one segment a run, newest first, with what `change` makes of their facts.
fn version(segments: Vec<crate::segment::SegmentEntry>, change: impl Fn(u64, &mut Facts)) -> Version {
    let mut version = Version::restored(segments);
    for run in &mut version.runs {
        let changed = run.segments.iter().map(|segment| {
            let mut facts = segment.facts;
            change(segment.entry.sequence, &mut facts);
            Rc::new(Segment { facts, ..Segment::new(segment.entry.clone()) })
        });
        run.segments = changed.collect();
    }
    version
}

fn range(from: (u16, &[u8]), to: (u16, &[u8])) -> RangeDeletes {
    RangeDeletes::new(vec![engine_key(from.0, from.1).unwrap()..engine_key(to.0, to.1).unwrap()])
}

#[test]
fn what_a_newer_range_deletion_takes_as_a_whole_goes_unread_and_nothing_else_does() {
    let all = || {
        vec![
            entry(9, 0..8, (2, b"a"), (5, b"z"), 500),
            entry(7, 0..8, (2, b"b"), (4, b"k"), UNIT),
            entry(6, 0..8, (2, b"b"), (5, b"zz"), UNIT),
            entry(5, 3..5, (0, b"a"), (7, b"z"), UNIT),
        ]
    };
    let version = version(all(), |sequence, facts| facts.range_deletions = u64::from(sequence == 9));
    let newest = &version.runs[0].segments[0];
    let covered = covered_by(&version, newest, &range((2, b"a"), (5, b"z")));
    let sequences: Vec<u64> = version
        .segments()
        .filter(|segment| covered.contains(&(segment.id(), segment.entry.groups.start)))
        .map(|segment| segment.entry.sequence)
        .collect();
    assert_eq!(
        sequences,
        [7, 5],
        "as their clips are; 6 has a key at the end, and 9 is not older than itself"
    );
    let job = pick(&version, &Situation { covered: covered.into_iter().collect(), ..situation() }).unwrap();
    assert_eq!(job.kind, JobKind::Drop);
    let after = version.with_change(&job.change(Vec::new())).unwrap();
    assert_eq!(after.runs.iter().map(|run| run.sequence).collect::<Vec<_>>(), [9, 6]);
    let older = &version.runs[3].segments[0];
    assert!(
        covered_by(&version, older, &range((0, b""), (8, b""))).is_empty(),
        "nothing is older than the oldest"
    );
}

#[test]
fn of_two_parts_of_one_segment_only_the_covered_one_goes() {
    let whole = entry(5, 0..8, (0, b"a"), (7, b"z"), UNIT);
    let part = |groups| crate::segment::SegmentEntry { groups, ..whole.clone() };
    let deleting = entry(9, 0..8, (0, b"a"), (3, b""), 500);
    let all = vec![deleting, part(0..3), part(5..8)];
    let version = version(all, |sequence, facts| facts.range_deletions = u64::from(sequence == 9));
    let covered = covered_by(&version, &version.runs[0].segments[0], &range((0, b""), (3, b"")));
    let job = pick(&version, &Situation { covered: covered.into_iter().collect(), ..situation() }).unwrap();
    let after = version.with_change(&job.change(Vec::new())).unwrap();
    let left: Vec<_> =
        after.segments().map(|segment| (segment.entry.sequence, segment.entry.groups.clone())).collect();
    assert_eq!(left, [(9, 0..8), (5, 5..8)]);
}

#[test]
fn time_alone_has_something_to_do_when_the_last_entry_of_a_segment_expires() {
    let all = vec![entry(9, 0..8, (0, b"a"), (7, b"z"), UNIT), entry(5, 0..8, (0, b"a"), (7, b"z"), UNIT)];
    let version = version(all, |sequence, facts| {
        (facts.expiring, facts.expiry_ms_max) = (facts.entries, 10 * sequence);
    });
    assert_eq!(next_expiry_ms(&version, 0), Some(50));
    assert_eq!(next_expiry_ms(&version, 50), Some(90));
    assert_eq!(next_expiry_ms(&version, 90), None);
    let at = |now_ms| pick(&version, &Situation { now_ms, ..situation() });
    assert!(at(49).is_none());
    let job = at(50).unwrap();
    assert_eq!(
        (job.kind, job.segments().count()),
        (JobKind::Drop, 1),
        "the older one is dead, the newer one alive"
    );
    assert_eq!(at(90).unwrap().segments().count(), 2);
}

#[test]
fn flushed_parts_count_by_the_runs_that_a_key_meets() {
    // Flushes of a quarter of the groups each, in an order that nothing joins: each key meets a quarter of them.
    let flushes = |count: u64| {
        let part = |sequence: u64| u16::try_from([0, 2, 4, 6][(sequence % 4) as usize]).unwrap();
        (1..=count)
            .map(|sequence| {
                entry(sequence, 0..8, (part(sequence), b"a"), (part(sequence) + 1, b"z"), UNIT / 4)
            })
            .collect()
    };
    let settle = |count| {
        let mut version = Version::restored(flushes(count));
        while let Some(job) = pick(&version, &situation()) {
            if job.is_merge() {
                return Some(job);
            }
            version = version.with_change(&job.change(Vec::new())).unwrap();
        }
        assert!(version.depth(&(0..8)) < COMPACTION_RUNS_MAX);
        None
    };
    let most = COMPACTION_RUNS_MAX as u64;
    assert!(settle(4 * (most - 1)).is_none(), "joined by name, they are too few runs");
    let job = settle(4 * most).unwrap();
    assert_eq!((job.kind, job.inputs.len()), (JobKind::Tiers, COMPACTION_RUNS_MAX));
}

#[test]
fn what_reads_have_paid_for_is_merged_into_the_bottom_and_shallow_parts_are_left() {
    let deep = |runs: u64| {
        let all =
            (1..=runs).map(|sequence| entry(sequence, 0..8, (0, b"a"), (7, b"z"), UNIT)).rev().collect();
        Version::restored(all)
    };
    let paid = Situation { reads_pay: true, ..situation() };
    assert!(pick(&deep(8), &situation()).is_none(), "writes alone ask for nothing yet");
    let job = pick(&deep(8), &paid).unwrap();
    assert_eq!((job.kind, job.inputs.len()), (JobKind::Bottom, 8));
    assert!(pick(&deep(READ_RUNS_MAX as u64), &paid).is_none());
    let busy = deep(8).segments().map(|segment| segment.id()).collect();
    assert!(pick(&deep(8), &Situation { busy, ..paid }).is_none());
}
