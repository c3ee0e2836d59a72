//! The `policies` command: which entry should leave a cache next? Traces through several policies, by the share of accesses that hit and by
//! what a hit costs.
//!
//! ```text
//! trace (made up, or from events) ─┬─> the memory tier of aquifer-cache, as it is
//!                                  └─> LRU, SIEVE, W-TinyLFU: simulated here, one size for all entries
//! ```
//! Nothing is loaded: an access that misses puts the key in. The first tenth of a trace fills the caches and is not counted.

mod policy;
mod lru;
mod ours;
mod sieve;
mod tiny_lfu;
mod contenders;
mod replay;
mod trace;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::cli::PoliciesArgs;
use crate::failure::Failure;
use crate::interrupt;
use crate::measure::thread_cpu::thread_cpu;
use crate::output::{Output, publish};
use crate::progress::Progress;
use contenders::{POLICIES, every_policy};
pub(crate) use ours::entry_overhead_bytes;
use policy::Policy;
pub(crate) use replay::{Replay, replay_accesses};
use trace::Trace;

/// Version of the JSON.
const SCHEMA: u32 = 1;

/// One trace at one size.
#[derive(Debug, Serialize)]
struct Row {
    trace: String,
    keys: usize,
    percent: u8,
    /// Share of the counted accesses that hit, by policy.
    hit_share: [f64; POLICIES.len()],
}

#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    version: &'static str,
    command: &'static str,
    policies: [&'static str; POLICIES.len()],
    rows: Vec<Row>,
    /// Processor time of an access that hits, in nanoseconds, by policy.
    hit_ns: [f64; POLICIES.len()],
}

/// Runs the command to its end, or to the first Ctrl-C.
pub(crate) fn policies(args: &PoliciesArgs) -> Result<(), Failure> {
    interrupt::watch()?;
    let json = args.json.as_deref().map(Output::new).transpose()?;
    let report = aquifer_io::block_on(measure(args))?;
    publish(&report, &table(&report), json.as_ref())
}

async fn measure(args: &PoliciesArgs) -> Result<Report, Failure> {
    let mut progress = Progress::new();
    let mut rows = Vec::new();
    for trace in trace::all(args.keys, args.accesses)? {
        for &percent in &args.percents {
            interrupt::check()?;
            progress.step("replay", &format!("{}, {percent} % of {} keys", trace.name, trace.keys));
            let entries = (trace.keys * usize::from(percent) / 100).max(10);
            let mut hit_share = [0.0; POLICIES.len()];
            for (share, policy) in hit_share.iter_mut().zip(every_policy(entries).await?.iter_mut()) {
                *share = replay(&trace, policy.as_mut());
            }
            rows.push(Row { trace: trace.name.clone(), keys: trace.keys, percent, hit_share });
        }
    }
    progress.step("measure", "hits");
    let mut hit_ns = [0.0; POLICIES.len()];
    let hits = trace::hits(args.keys, args.accesses);
    for (ns, policy) in hit_ns.iter_mut().zip(every_policy(hits.keys * 2).await?.iter_mut()) {
        *ns = cost_of_a_hit(&hits, policy.as_mut());
    }
    progress.finish();
    Ok(Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        command: "policies",
        policies: POLICIES,
        rows,
        hit_ns,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn replay(trace: &Trace, policy: &mut dyn Policy) -> f64 {
    let warm = trace.accesses.len() / 10;
    let (before, counted) = trace.accesses.split_at(warm);
    for &key in before {
        policy.access(key);
    }
    let hits = counted.iter().filter(|&&key| policy.access(key)).count();
    hits as f64 / counted.len().max(1) as f64
}

/// Nanoseconds of an access when all keys are there: the median of five passes.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn cost_of_a_hit(trace: &Trace, policy: &mut dyn Policy) -> f64 {
    for &key in &trace.accesses {
        policy.access(key);
    }
    let mut passes: Vec<f64> = (0..5)
        .map(|_| {
            let before = thread_cpu();
            let hits = trace.accesses.iter().filter(|&&key| policy.access(key)).count();
            thread_cpu().saturating_sub(before).as_nanos() as f64 / hits.max(1) as f64
        })
        .collect();
    passes.sort_by(f64::total_cmp);
    passes.get(2).copied().unwrap_or(f64::NAN)
}

fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let header = ["trace", "keys", "cache"].into_iter().chain(report.policies);
    table.set_header(header);
    for row in &report.rows {
        let first = [row.trace.clone(), row.keys.to_string(), format!("{} %", row.percent)];
        let best = row.hit_share.iter().copied().fold(0.0, f64::max);
        let shares = row.hit_share.iter().map(|&share| {
            // Equal to what is shown.
            let mark = if share >= best - 0.0005 { " *" } else { "  " };
            format!("{:.1} %{mark}", share * 100.0)
        });
        table.add_row(first.into_iter().chain(shares));
    }
    let first = ["an access that hits", "", ""].map(str::to_owned);
    table.add_row(first.into_iter().chain(report.hit_ns.iter().map(|ns| format!("{ns:.0} ns"))));
    for column in 1..3 + report.policies.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\nShare of accesses that hit; * the best of the row.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_hits_all_that_fits_and_none_of_what_never_returns() {
        aquifer_io::block_on(async {
            for policy in &mut every_policy(1_000).await.unwrap() {
                for key in 0..500 {
                    assert!(!policy.access(key));
                }
                for key in 0..500 {
                    assert!(policy.access(key));
                }
                assert!((1_000..50_000).all(|key| !policy.access(key)));
            }
        });
    }

    #[test]
    fn the_report_has_a_row_for_every_trace_and_size() {
        let args = PoliciesArgs { keys: 2_000, accesses: 20_000, percents: vec![10, 30], json: None };
        let report = aquifer_io::block_on(measure(&args)).unwrap();
        assert_eq!(report.rows.len(), 2 * 10);
        for row in &report.rows {
            assert!(row.hit_share.iter().all(|share| (0.0..=1.0).contains(share)), "{row:?}");
        }
        assert!(report.hit_ns.iter().all(|ns| ns.is_finite() && *ns > 0.0));
        assert!(table(&report).contains("W-TinyLFU"));
    }
}
