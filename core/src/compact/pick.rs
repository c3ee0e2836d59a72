//! Which runs to merge next: a function of their sizes alone.

use crate::limits::{COMPACTION_FAN_IN, COMPACTION_RUNS_MAX};
use std::ops::Range;

/// The size class of a run: 0 below `unit * 8`, then one more for each factor of eight.
fn class(bytes: u64, unit: u64) -> u32 {
    (bytes / unit.max(1)).max(1).ilog(COMPACTION_FAN_IN as u64)
}

/// Positions of the runs to merge, given the bytes of all runs, newest first. `None` if all is well.
///
/// Looks for the smallest class that has [`COMPACTION_FAN_IN`] runs with nothing larger between them. What is smaller and lies
/// between them goes along: only neighbours in age may be merged, else an old write would pass a newer one.
pub(crate) fn pick(runs: &[u64], unit: u64) -> Option<Range<usize>> {
    let classes: Vec<u32> = runs.iter().map(|&bytes| class(bytes, unit)).collect();
    let largest = classes.iter().copied().max()?;
    (0..=largest).find_map(|wanted| {
        // Stretches of runs of at most this class, cut down to those between its first and last member.
        let mut start = 0;
        for stretch in classes.split_inclusive(|&class| class > wanted) {
            let here = start;
            start += stretch.len();
            let mut members =
                stretch.iter().enumerate().filter(|&(_, &class)| class == wanted).map(|(at, _)| here + at);
            let count = members.clone().count();
            let (Some(first), Some(last)) = (members.next(), members.next_back()) else { continue };
            if count >= COMPACTION_FAN_IN {
                // The oldest of too many: the rest follows later.
                return Some(first.max((last + 1).saturating_sub(COMPACTION_RUNS_MAX))..last + 1);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_of_a_class_are_merged_and_seven_are_left_alone() {
        assert_eq!(pick(&[100; 7], 100), None);
        assert_eq!(pick(&[100; 8], 100), Some(0..8));
        assert_eq!(pick(&[], 100), None);
        assert_eq!(pick(&[1; 9], 100), Some(0..9), "tiny runs are of the lowest class");
    }

    #[test]
    fn a_larger_run_parts_its_neighbours() {
        let mut runs = [100; 15];
        runs[7] = 800;
        assert_eq!(pick(&runs, 100), None);
        let mut runs = [100; 16];
        runs[7] = 800;
        assert_eq!(pick(&runs, 100), Some(8..16));
    }

    #[test]
    fn smaller_runs_between_members_go_along() {
        let mut runs = vec![800; 8];
        runs.insert(3, 1);
        runs.insert(0, 1);
        assert_eq!(pick(&runs, 100), Some(1..10));
    }

    #[test]
    fn the_oldest_of_too_many_come_first() {
        assert_eq!(pick(&[100; 40], 100), Some(40 - COMPACTION_RUNS_MAX..40));
    }

    #[test]
    fn a_long_stream_of_flushes_keeps_runs_few_and_rewrites_each_byte_about_once_a_class() {
        let (mut runs, mut written) = (Vec::new(), 0u64);
        for _ in 0..5_000 {
            runs.insert(0, 100u64);
            while let Some(picked) = pick(&runs, 100) {
                let merged = runs.drain(picked.clone()).sum();
                written += merged;
                runs.insert(picked.start, merged);
            }
        }
        assert!(runs.len() <= 7 * 5, "{} runs", runs.len());
        assert_eq!(runs.iter().sum::<u64>(), 500_000);
        // log8(5000) = 4.1 classes.
        assert!(written <= 5 * 500_000, "{written} bytes rewritten");
    }
}
