//! The `run` command: workloads by the names that people know, on an engine of its own, each answer checked.
//!
//! ```text
//! spec ─> session ─> bed (DFS, engine, folders) ─> load ─> for each workload or phase: rounds ─> result
//!            └─> watch ─> arm ─> threads with lanes ─> target      the clock, the counters, Ctrl-C
//!                          └──── lane: workload, distribution, record, pace ─> meter, live
//! ```
//! `compare` uses the same lanes on other stores: whatever implements [`Target`](target::Target) and [`Arm`](arm::Arm).

mod debug_build;
mod kept;
pub(crate) mod live;
mod pace;
pub(crate) mod patience;
mod plan;
mod room;
mod sweep;
pub(crate) mod target;
pub(crate) mod ticker;
mod checkpoints;
pub(crate) mod meter;
mod spec;
mod bed;
pub(crate) mod stream;
mod shape;
pub(crate) mod lane;
pub(crate) mod arm;
pub(crate) mod watch;
pub(crate) mod ours;
pub(crate) mod numbers;
mod session;
mod swept;
mod ceiling;
mod suite;
mod phases;
mod help;

#[cfg(test)]
mod lane_test;

use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::interrupt;
use crate::progress::say;
use crate::result::{Document, Header, Outputs, RunResult};
use debug_build::DEBUG_WARNING;
pub(crate) use help::help;
use session::Session;
use spec::Spec;
pub(crate) use suite::restart_child::serve as serve_restart;

/// Runs the command to its end, or to the first Ctrl-C. What was measured by then is shown and written in any case.
pub(crate) fn run(args: RunArgs) -> Result<(), Failure> {
    interrupt::watch()?;
    let outputs = Outputs::new(&args.output)?;
    let spec = Spec::new(args)?;
    if cfg!(debug_assertions) {
        say(DEBUG_WARNING);
    }
    let folder = [&spec.args.keep, &spec.args.reuse, &spec.args.dir].into_iter().flatten().next();
    let folder = folder.cloned().unwrap_or_else(crate::scratch::base);
    let header = Header::begin(&folder, spec.settings(), spec.seed);
    if spec.args.suite.is_some() {
        return suite::run(&spec, &outputs, header);
    }
    let mut result = RunResult::begin(header);
    if cfg!(debug_assertions) {
        result.notes.push(DEBUG_WARNING.to_owned());
    }
    let (outcome, recordings) = match Session::new(&spec, outputs.wants_recordings()) {
        Ok(mut session) => {
            let outcome = session.run(&mut result);
            let recordings = std::mem::take(&mut session.recordings);
            (outcome, recordings)
        }
        Err(failure) => return Err(failure),
    };
    if let Err(failure) = &outcome {
        if result.phases.is_empty() {
            return outcome;
        }
        result.header.partial = true;
        result.header.partial_reason = Some(failure.to_string());
    }
    result.finish();
    let wrong = result.answers_wrong();
    outputs.publish(&Document::Run(result), &recordings)?;
    outcome?;
    if wrong == 0 { Ok(()) } else { Err(Failure::WrongAnswers(wrong)) }
}
