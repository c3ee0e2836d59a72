//! Groups of contenders, measured in interleaved rounds.
//!
//! ```text
//! round 1:  group A: aquifer · wrk    group B: wrk · aquifer    ..
//! round 2:  group A: wrk · aquifer    ..
//! ```

use super::report::{Measured, Round};
use super::sample::Sample;
use crate::failure::Failure;
use crate::measure::machine::Busy;
use crate::measure::tool::ToolError;
use crate::measure::turns::CycleFrom;
use crate::progress::Progress;

/// What contenders are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Their rates: more is better.
    Rate,
    /// Their 99.9th percentiles: less is better.
    P99_9,
}

/// What must be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Goal {
    /// Of the share: at least, by rate; at most, by latency.
    pub(super) share: f64,
    /// Percent of extra requests at most.
    pub(super) extra_percent_max: Option<f64>,
}

/// Why a contender has no numbers in a round: the outer error ends the run, the inner one is a tool's and a note.
pub(super) type Outcome = Result<Result<Sample, String>, Failure>;

/// Who takes part.
pub(super) struct Contender<'g> {
    pub(super) name: &'static str,
    pub(super) run: Box<dyn FnMut() -> Outcome + 'g>,
}

/// One thing, done by several.
pub(super) struct Group<'g> {
    /// What is done.
    pub(super) what: String,
    /// `requests/s` or `MiB/s`.
    pub(super) unit: &'static str,
    pub(super) by: By,
    /// Name of the contender that is the measure of the others.
    pub(super) yardstick: &'static str,
    pub(super) goal: Option<Goal>,
    pub(super) contenders: Vec<Contender<'g>>,
}

/// A contender that is no tool.
pub(super) fn ours<'g>(
    name: &'static str,
    mut run: impl FnMut() -> Result<Sample, Failure> + 'g,
) -> Contender<'g> {
    Contender { name, run: Box::new(move || run().map(Ok)) }
}

/// A tool, whose failure costs its own numbers only.
pub(super) fn tool<'g>(
    name: &'static str,
    mut run: impl FnMut() -> Result<Sample, ToolError> + 'g,
) -> Contender<'g> {
    let run = move || match run() {
        Ok(sample) => Ok(Ok(sample)),
        Err(ToolError::Failed(why)) => Ok(Err(why)),
        Err(ToolError::Interrupted) => Err(Failure::Interrupted),
    };
    Contender { name, run: Box::new(run) }
}

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
