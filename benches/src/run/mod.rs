//! The `run` command: workloads by the names that people know, on an engine of its own, each answer checked.
//!
//! ```text
//! spec ─> session ─> bed (DFS, engine, folders) ─> load ─> for each workload or phase: rounds ─> result
//!            └─> watch ─> arm ─> threads with lanes ─> target      the clock, the counters, Ctrl-C
//!                          └──── lane: workload, distribution, record, pace ─> meter, live
//! ```
//! `compare` uses the same lanes on other stores: whatever implements [`Target`](target::Target) and [`Arm`](arm::Arm).

mod kept;
pub(crate) mod live;
mod pace;
pub(crate) mod patience;
mod phase_name;
mod plan;
mod rng;
mod room;
mod sweep;
pub(crate) mod target;
pub(crate) mod ticker;
mod checkpoints;
mod distribution;
mod mix;
pub(crate) mod record;
mod workload;
mod length;
pub(crate) mod meter;
mod spec;
mod bed;
pub(crate) mod lane;
mod shape;
pub(crate) mod arm;
pub(crate) mod watch;
pub(crate) mod ours;
pub(crate) mod numbers;
mod session;
mod swept;
mod ceiling;
mod suite;
mod phases;

#[cfg(test)]
mod lane_test;

use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::interrupt;
use crate::progress::say;
use crate::result::{Document, Header, Outputs, RunResult};
pub(crate) use distribution::{Chooser, Distribution, scatter};
pub(crate) use length::Length;
pub(crate) use mix::Mix;
pub(crate) use phase_name::PhaseName;
pub(crate) use record::{version_of, write_key, write_value};
pub(crate) use rng::{Rng, whole_part};
use session::Session;
use spec::Spec;
pub(crate) use suite::{RowName, serve_restart};
pub(crate) use workload::{Workload, help};

/// Said before and after the numbers of a build that is no measure of anything.
const DEBUG_WARNING: &str =
    "WARNING: this is a debug build, its numbers mean nothing: build with --release to measure";

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
