//! The tables of a run.

use std::fmt::Write;

use super::grid::{grid_table, new_table};
use crate::numbers::{count, number};
use crate::result::cells::{ceiling_share, cost, speed};
use crate::result::document::RunResult;
use crate::result::metric::Metric;
use crate::result::phase::{Ceiling, Phase, Sweep};

/// What the columns mean.
const LEGEND: &str = "\
Medians of the rounds (min–max). Latency: from the start of the operation, or from when it was due at a given rate.
CPU: of the whole process, all threads and the kernel for them; in brackets the tool's own part. SSD, DFS: of one round.
Amplification: bytes moved or kept by bytes asked for. Ceiling: what the resource gives, measured beside it.
Noisy: rounds in which others kept over 0.2 cores busy.
";

/// Everything below the head.
pub(super) fn tables(run: &RunResult) -> String {
    if run.phases.is_empty() {
        return "Nothing was measured.\n".to_owned();
    }
    let mut text =
        format!("{}\n{}\n{LEGEND}", grid_table(&speed(&run.phases), 1), grid_table(&cost(&run.phases), 1));
    for phase in &run.phases {
        // Writing to a string cannot fail.
        let _ = further(&mut text, phase);
    }
    text
}

/// What only some phases have: ceilings in full, further values, a sweep of rates, notes.
fn further(text: &mut String, phase: &Phase) -> std::fmt::Result {
    let name = &phase.name;
    for ceiling in &phase.ceilings {
        let Ceiling { what, unit, value, reached, .. } = ceiling;
        let (value, reached) = (number(*value), number(*reached));
        writeln!(text, "{name}: {reached} {unit} of {value} {unit} ({what}): {}", ceiling_share(ceiling))?;
    }
    let values = phase.rounds.iter().flat_map(|round| round.values.keys());
    let values: std::collections::BTreeSet<&String> = values.collect();
    for value in values {
        if let Some(spread) = phase.metric(value) {
            let [median, min, max] =
                [spread.median, spread.min, spread.max].map(|found| Metric::text(value, found));
            writeln!(text, "{name}: {} {median} ({min}–{max})", Metric::title(value))?;
        }
    }
    if let Some(sweep) = &phase.sweep {
        swept(text, name, sweep)?;
    }
    phase.notes.iter().try_for_each(|note| writeln!(text, "note: {name}: {note}"))
}

fn swept(text: &mut String, name: &str, sweep: &Sweep) -> std::fmt::Result {
    let allowed = number(sweep.p99_us_max);
    match sweep.found_ops_per_s {
        Some(found) => writeln!(text, "{name}: {} ops/s at a p99 of at most {allowed} µs", count(found))?,
        None => writeln!(text, "{name}: no rate kept to a p99 of at most {allowed} µs")?,
    }
    let mut table = new_table(&["offered ops/s", "achieved ops/s", "p50 µs", "p99 µs", "p99.9 µs"], 0);
    for step in &sweep.steps {
        let rates = [step.offered_ops_per_s, step.achieved_ops_per_s].map(count);
        let latencies = [step.p50_us, step.p99_us, step.p99_9_us].map(number);
        table.add_row(rates.into_iter().chain(latencies));
    }
    writeln!(text, "{table}")
}
