//! The `micro` command: what the engine costs on one core when nothing has to be waited for, beside the plain structures of memory.
//!
//! ```text
//! bed (store in memory, one shard) ─> job on the shard's thread ─> rounds: ours, theirs, in turn ─> rows ─> report
//! ```
//!
//! Every answer is checked: a fast wrong one ends the command.

mod data;
mod rounds;
mod bed;
mod report;
mod rmw;
mod put;
mod get;

use crate::cli::MicroArgs;
use crate::failure::Failure;
use crate::interrupt;
use crate::measure::machine::Machine;
use crate::output::{Output, publish};
use crate::progress::Progress;
use report::{Report, SCHEMA};

const GIB: u64 = 1 << 30;

/// Groups of rows.
const GROUPS: [&str; 4] = ["get", "put", "rmw", "filter"];

/// The groups that were asked for.
struct Chosen<'a>(Option<&'a str>);

impl Chosen<'_> {
    fn has(&self, group: &str) -> bool {
        self.0.is_none_or(|text| group.contains(text))
    }
}

/// Runs the command to its end, or to the first Ctrl-C.
pub(crate) fn micro(args: &MicroArgs) -> Result<(), Failure> {
    interrupt::watch()?;
    let chosen = Chosen(args.only.as_deref());
    if !GROUPS.iter().any(|group| chosen.has(group)) {
        return Err(Failure::Usage(format!("--only: no such group; there are {}", GROUPS.join(", "))));
    }
    let json = args.json.as_deref().map(Output::new).transpose()?;
    let report = aquifer_io::block_on(async {
        let run = std::pin::pin!(measure(args, &chosen));
        match futures_util::future::select(run, std::pin::pin!(interrupt::interrupted())).await {
            futures_util::future::Either::Left((report, _)) => report,
            futures_util::future::Either::Right(_) => Err(Failure::Interrupted),
        }
    })?;
    publish(&report, &report::table(&report), json.as_ref())
}

async fn measure(args: &MicroArgs, chosen: &Chosen<'_>) -> Result<Report, Failure> {
    let mut progress = Progress::new();
    let began_unix_ms = aquifer_io::unix_time_ms();
    let machine = Machine::of(&crate::scratch::base());
    let mut rows = get::rows(args, chosen, &progress).await?;
    rows.extend(put::rows(args, chosen, &progress).await?);
    rows.extend(rmw::rows(args, chosen, &progress).await?);
    progress.finish();
    Ok(Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        command: "micro",
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        began_unix_ms,
        machine,
        keys: args.keys,
        rounds: args.rounds,
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_measured_and_every_answer_right() {
        let args = MicroArgs { keys: 2_000, updates: 30_000, rounds: 1, only: None, json: None };
        let report = aquifer_io::block_on(measure(&args, &Chosen(None))).unwrap();
        let results: Vec<_> =
            report.rows.iter().map(|row| (row.name, row.result.map(|result| result.median))).collect();
        assert_eq!(results.len(), 9, "{results:?}");
        assert!(results.iter().all(|(_, result)| result.is_some_and(f64::is_finite)), "{results:?}");
        let table = report::table(&report);
        assert!(table.contains("hashbrown get") && table.contains("DEBUG"), "{table}");
    }
}
