//! Who is measured, in groups that do the same thing, and what must be reached.

use super::sample::Sample;
use crate::failure::Failure;
use crate::measure::tool::ToolError;

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
