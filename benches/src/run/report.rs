//! What a run found, as JSON and as a table.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::mix::Kind;
use super::rng::whole_part;
use crate::cli::human_bytes;
use crate::histogram::LatencySummary;
use crate::measure::machine::{Machine, NOISY_CORES};
use crate::measure::spread::Spread;
use crate::report::count;

/// Version of the JSON.
pub(super) const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: u32,
    pub(super) version: &'static str,
    pub(super) command: Vec<String>,
    pub(super) began_unix_ms: u64,
    pub(super) machine: Machine,
    pub(super) io: String,
    pub(super) shards: usize,
    pub(super) keys: u64,
    pub(super) key_bytes: u16,
    pub(super) value_bytes: String,
    pub(super) memory_bytes: u64,
    pub(super) disk_bytes: u64,
    pub(super) in_flight: u32,
    pub(super) threads: u64,
    pub(super) workloads: Vec<Measured>,
    pub(super) notes: Vec<String>,
}

/// One workload over its rounds.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) workload: String,
    pub(super) operations: String,
    pub(super) distribution: String,
    pub(super) rounds: Vec<Round>,
    /// Operations a second over the rounds.
    pub(super) per_s: Option<Spread>,
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Round {
    pub(super) seconds: f64,
    pub(super) operations: u64,
    pub(super) per_s: f64,
    pub(super) latency: LatencySummary,
    pub(super) by_kind: Vec<KindLatency>,
    /// Processor time of the whole process, the embedded DFS and this tool included.
    pub(super) cpu_us_per_operation: f64,
    /// Processor time of this tool alone for each operation, measured on a store that does nothing.
    pub(super) tool_us_per_operation: f64,
    pub(super) resident_bytes: u64,
    pub(super) reads_waited: u64,
    pub(super) disk_reads: u64,
    pub(super) uploaded_bytes: u64,
    pub(super) mismatches: u64,
    pub(super) found: u64,
    pub(super) by_second: Vec<u64>,
    pub(super) others_cores: f64,
}

/// Latencies of one kind of operation.
#[derive(Debug, Clone, Serialize)]
pub(super) struct KindLatency {
    pub(super) kind: Kind,
    pub(super) latency: LatencySummary,
}

impl Measured {
    /// Answers that were wrong, in all rounds.
    pub(super) fn mismatches(&self) -> u64 {
        self.rounds.iter().map(|round| round.mismatches).sum()
    }
}

/// What the columns mean.
const LEGEND: &str = "\
Medians of the rounds (min–max). Latency: from the start of the operation, or from when it was due with --rate.
CPU: of the whole process, the embedded DFS included; the tool's own part of it in brackets. SSD: file reads for each operation.
Noisy: rounds in which others kept over 0.2 cores busy.";

/// The report for people.
pub(super) fn table(report: &Report) -> String {
    let machine = &report.machine;
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "workload",
        "ops/s",
        "(min–max)",
        "p50 µs",
        "p90 µs",
        "p99 µs",
        "p99.9 µs",
        "p99.99 µs",
        "max µs",
        "CPU µs/op",
        "SSD/op",
        "resident",
        "wrong",
        "noisy",
    ]);
    for measured in &report.workloads {
        table.add_row(row(measured));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let notes: String = report.notes.iter().map(|note| format!("\nnote: {note}")).collect();
    format!(
        "aquifer-bench {}, Linux {}, {} x {}, disk {}, load {:.2}\n\
         {} keys of {} B + {} B, {} shards, memory {}, disk {} by {}, {} threads x {} in flight\n{table}\n{LEGEND}{notes}",
        report.version,
        machine.kernel,
        machine.cores,
        machine.cpu,
        if machine.device.is_empty() { "unknown" } else { &machine.device },
        machine.load_average,
        count(report.keys),
        report.key_bytes,
        report.value_bytes,
        report.shards,
        human_bytes(report.memory_bytes),
        human_bytes(report.disk_bytes),
        report.io,
        report.threads,
        report.in_flight,
    )
}

fn row(measured: &Measured) -> Vec<String> {
    let rounds = &measured.rounds;
    let median =
        |of: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(of)).map_or(0.0, |spread| spread.median);
    let whole = |number: f64| count(whole_part(number.round()));
    let micros = |of: &dyn Fn(&LatencySummary) -> f64| {
        let found = median(&|round: &Round| of(&round.latency));
        if found < 100.0 { format!("{found:.2}") } else { whole(found) }
    };
    let per_s = measured.per_s.unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 });
    let noisy = rounds.iter().filter(|round| round.others_cores > NOISY_CORES).count();
    vec![
        measured.workload.clone(),
        whole(per_s.median),
        format!("({}–{})", whole(per_s.min), whole(per_s.max)),
        micros(&|latency| latency.p50_us),
        micros(&|latency| latency.p90_us),
        micros(&|latency| latency.p99_us),
        micros(&|latency| latency.p99_9_us),
        micros(&|latency| latency.p99_99_us),
        micros(&|latency| latency.max_us),
        format!(
            "{:.2} ({:.2})",
            median(&|round: &Round| round.cpu_us_per_operation),
            median(&|round: &Round| round.tool_us_per_operation)
        ),
        format!("{:.3}", median(&|round: &Round| round.disk_reads as f64 / round.operations.max(1) as f64)),
        human_bytes(rounds.iter().map(|round| round.resident_bytes).max().unwrap_or(0)),
        measured.mismatches().to_string(),
        format!("{noisy}/{}", rounds.len()),
    ]
}
