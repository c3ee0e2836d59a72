//! The tables of a run.

use std::fmt::Write;

use super::{bytes, counted, dollars, factor, median, new_table, numbered};
use crate::report::{count, number, range};
use crate::result::{Ceiling, Metric, Phase, RunResult, Sweep};

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
    let mut text = format!("{}\n{}\n{LEGEND}", speed(&run.phases), cost(&run.phases));
    for phase in &run.phases {
        // Writing to a string cannot fail.
        let _ = further(&mut text, phase);
    }
    text
}

fn speed(phases: &[Phase]) -> comfy_table::Table {
    let header = [
        "phase",
        "ops/s",
        "(min–max)",
        "per core",
        "p50 µs",
        "p90 µs",
        "p99 µs",
        "p99.9 µs",
        "p99.99 µs",
        "max µs",
        "of ceiling",
        "wrong",
        "noisy",
    ];
    let mut table = new_table(&header, 1);
    for phase in phases {
        let of = |name, text| median(&phase.summary, name, text);
        let latencies = ["p50_us", "p90_us", "p99_us", "p99_9_us", "p99_99_us", "max_us"];
        let mut row = vec![
            phase.name.clone(),
            of("ops_per_s", counted),
            phase.metric("ops_per_s").map(range).unwrap_or_default(),
            of("ops_per_s_per_core", counted),
        ];
        row.extend(latencies.map(|name| of(name, numbered)));
        row.extend([
            phase.ceilings.first().map_or_else(|| "–".to_owned(), share),
            count(phase.answers_wrong()),
            format!("{}/{}", phase.noise.noisy_rounds, phase.rounds.len()),
        ]);
        table.add_row(row);
    }
    table
}

fn cost(phases: &[Phase]) -> comfy_table::Table {
    let header = [
        "phase",
        "CPU µs/op",
        "resident",
        "peak",
        "SSD reads",
        "read",
        "SSD writes",
        "written",
        "DFS requests",
        "in",
        "out",
        "write amp",
        "read amp",
        "space amp",
        "$/h",
    ];
    let mut table = new_table(&header, 1);
    for phase in phases {
        let of = |name, text| median(&phase.summary, name, text);
        let tool = phase.tool.map(|tool| format!(" ({:.2})", tool.us_per_operation)).unwrap_or_default();
        table.add_row([
            phase.name.clone(),
            format!("{}{tool}", of("cpu_us_per_operation", numbered)),
            of("resident_bytes", bytes),
            of("peak_bytes", bytes),
            of("ssd_reads", counted),
            of("ssd_read_bytes", bytes),
            of("ssd_writes", counted),
            of("ssd_written_bytes", bytes),
            of("dfs_requests", counted),
            of("dfs_in_bytes", bytes),
            of("dfs_out_bytes", bytes),
            of("write_amplification", factor),
            of("read_amplification", factor),
            of("space_amplification", factor),
            of("dollars_per_hour", dollars),
        ]);
    }
    table
}

/// What only some phases have: ceilings in full, further values, a sweep of rates, notes.
fn further(text: &mut String, phase: &Phase) -> std::fmt::Result {
    let name = &phase.name;
    for ceiling in &phase.ceilings {
        let Ceiling { what, unit, value, reached, .. } = ceiling;
        let (value, reached) = (number(*value), number(*reached));
        writeln!(text, "{name}: {reached} {unit} of {value} {unit} ({what}): {}", share(ceiling))?;
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

fn share(ceiling: &Ceiling) -> String {
    format!("{:.0} %", ceiling.share * 100.0)
}
