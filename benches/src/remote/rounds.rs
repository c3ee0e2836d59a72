//! Groups of contenders, measured in interleaved rounds.
//!
//! ```text
//! round 1:  group A: aquifer · wrk    group B: wrk · aquifer    ..
//! round 2:  group A: wrk · aquifer    ..
//! ```

use super::contender::Group;
use super::report::{Measured, Round};
use crate::failure::Failure;
use crate::measure::machine::Busy;
use crate::measure::turns::CycleFrom;
use crate::progress::Progress;

/// Measures everything; `beside` are processes that work for this one. Notes tell which tool failed.
pub(super) fn run(
    groups: &mut [Group<'_>],
    rounds: u32,
    beside: &[u32],
    progress: &mut Progress,
    notes: &mut Vec<String>,
) -> Result<Vec<Measured>, Failure> {
    let mut numbers: Vec<Vec<Vec<Round>>> =
        groups.iter().map(|group| vec![Vec::new(); group.contenders.len()]).collect();
    let turns: usize = groups.iter().map(|group| group.contenders.len()).sum();
    progress.start("measuring", u64::from(rounds) * turns as u64);
    for round in 1..=rounds {
        progress.step("round", &format!("{round} of {rounds}"));
        for (index, (group, numbers)) in groups.iter_mut().zip(&mut numbers).enumerate() {
            let first = (round as usize - 1 + index) % group.contenders.len().max(1);
            for (contender, numbers) in group.contenders.iter_mut().zip(numbers).cycle_from(first) {
                let busy = Busy::beside(beside.to_vec());
                match (contender.run)()? {
                    Ok(sample) => numbers.push(Round::new(round, busy.others_cores(), sample)),
                    Err(why) => notes.push(format!("{}, round {round}: {why}", group.what)),
                }
                progress.add(1);
            }
        }
    }
    progress.finish();
    Ok(groups.iter().zip(&numbers).flat_map(|(group, numbers)| Measured::of_group(group, numbers)).collect())
}
