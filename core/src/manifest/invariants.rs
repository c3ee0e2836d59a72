//! What must hold between a manifest and its successor. Run before every swap: a violation is refused, never written.

use super::format::Manifest;
use crate::error::{Error, ErrorKind, Result};
use crate::version;
use std::collections::HashMap;

/// Checks every invariant of `next` after `current`.
pub(crate) fn check(next: &Manifest, current: Option<&Manifest>) -> Result<()> {
    segments_are_a_sound_version(next)?;
    segments_stay_inside_the_partition(next)?;
    sequences_are_below_the_next(next)?;
    if let Some(current) = current {
        numbers_follow(next, current)?;
        identity_stays(next, current)?;
        agreement_stays(next, current)?;
        counters_never_fall(next, current)?;
        same_segment_same_content(next, current)?;
    }
    Ok(())
}

fn violated(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("manifest invariant violated, nothing was written: {what}"))
}

fn numbers_follow(next: &Manifest, current: &Manifest) -> Result<()> {
    if current.number.checked_add(1) == Some(next.number) {
        return Ok(());
    }
    Err(violated(&format!("number {} after {}", next.number, current.number)))
}

fn identity_stays(next: &Manifest, current: &Manifest) -> Result<()> {
    if next.key_groups == current.key_groups && next.groups == current.groups {
        return Ok(());
    }
    Err(violated(&format!(
        "groups {:?} of {} after {:?} of {}",
        next.groups, next.key_groups, current.groups, current.key_groups
    )))
}

/// What openings agreed on is only added to, and event time does not go back.
fn agreement_stays(next: &Manifest, current: &Manifest) -> Result<()> {
    let (after, before) = (&next.agreed, &current.agreed);
    let time = before.time.is_none() || after.time == before.time;
    let operators = before.operators.iter().all(|(name, version)| after.operators.get(name) == Some(version));
    if time && operators && after.event_time_ms >= before.event_time_ms {
        return Ok(());
    }
    Err(violated(&format!("agreed was {before:?}, now {after:?}")))
}

/// Epochs, checkpoints and sequences only grow. A new checkpoint is the manifest that commits it.
fn counters_never_fall(next: &Manifest, current: &Manifest) -> Result<()> {
    let checkpoint = next.checkpoint == current.checkpoint || next.checkpoint == next.number;
    if next.epoch >= current.epoch && next.sequence_next >= current.sequence_next && checkpoint {
        return Ok(());
    }
    Err(violated(&format!(
        "epoch {}, sequence {}, checkpoint {} after {}, {}, {}",
        next.epoch,
        next.sequence_next,
        next.checkpoint,
        current.epoch,
        current.sequence_next,
        current.checkpoint
    )))
}

/// Lookups stop at the first segment that knows a key: see the functions that are named there.
fn segments_are_a_sound_version(next: &Manifest) -> Result<()> {
    let segments: Vec<_> = next.segments.iter().collect();
    version::invariants::of_segments(&segments).map_err(|what| violated(&what))
}

/// No key group is named that the partition does not own, and none of a segment that counts for nothing.
fn segments_stay_inside_the_partition(next: &Manifest) -> Result<()> {
    let outside = |groups: &std::ops::Range<u16>| {
        groups.is_empty() || groups.start < next.groups.start || groups.end > next.groups.end
    };
    match next.segments.iter().find(|segment| outside(&segment.groups)) {
        None => Ok(()),
        Some(segment) => Err(violated(&format!(
            "{} counts for groups {:?}, the partition owns {:?}",
            segment.object, segment.groups, next.groups
        ))),
    }
}

fn sequences_are_below_the_next(next: &Manifest) -> Result<()> {
    match next.segments.iter().find(|segment| segment.sequence >= next.sequence_next) {
        None => Ok(()),
        Some(segment) => {
            Err(violated(&format!("sequence {} with {} as the next", segment.sequence, next.sequence_next)))
        }
    }
}

/// Objects never change: a place that both name has the same tag and checksum.
fn same_segment_same_content(next: &Manifest, current: &Manifest) -> Result<()> {
    let known: HashMap<_, _> = current
        .segments
        .iter()
        .map(|segment| ((&segment.object, segment.offset), (segment.tag, segment.footer_crc)))
        .collect();
    for segment in &next.segments {
        match known.get(&(&segment.object, segment.offset)) {
            Some(&content) if content != (segment.tag, segment.footer_crc) => {
                return Err(violated(&format!(
                    "{} at {} changed its content",
                    segment.object, segment.offset
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::format::tests::agreed_manifest;
    use super::*;

    #[test]
    fn a_proper_successor_passes_and_each_violation_is_named() {
        let current = agreed_manifest(8);
        let manifest = agreed_manifest;
        check(&manifest(9), Some(&current)).unwrap();
        check(&current, None).unwrap();
        type Change = fn(&mut Manifest);
        let changes: [(&str, Change); 14] = [
            ("agreed", |m| m.agreed.time = None),
            ("agreed", |m| m.agreed.event_time_ms = 76),
            ("agreed", |m| drop(m.agreed.operators.pop_first())),
            ("number", |m| m.number = 10),
            ("groups", |m| m.key_groups = 64),
            ("epoch", |m| m.epoch = 2),
            ("sequence", |m| m.sequence_next = 1),
            ("checkpoint", |m| m.checkpoint = 4),
            ("sequences", |m| m.segments.reverse()),
            ("content", |m| m.segments[0].tag = 77),
            ("of level 1 before", |m| m.segments[0].level = 1),
            ("one run overlap", |m| m.segments[1].sequence = m.segments[0].sequence),
            ("not older than a tier", |m| {
                let last = m.segments.last_mut().unwrap();
                (last.level, last.sequence) = (1, 10);
            }),
            ("the partition owns", |m| m.segments[0].groups = 100..200),
        ];
        for (what, change) in changes {
            let mut next = manifest(9);
            change(&mut next);
            let error = check(&next, Some(&current)).unwrap_err();
            assert!(error.to_string().contains(what), "{what}: {error}");
        }
    }
}
