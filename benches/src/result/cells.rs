//! Headers and cells of the tables, the same as text and on a page.

use super::comparison::{Arm, Goal, Row};
use super::metric::{Metric, Summary, whole};
use super::phase::{Ceiling, Phase};
use crate::byte_size::human_bytes;
use crate::numbers::{count, number, range, share};

/// One table.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    pub(crate) header: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// Throughput and latencies of phases.
pub(crate) fn speed(phases: &[Phase]) -> Grid {
    let header = vec![
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
    let row = |phase: &Phase| {
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
            phase.ceilings.first().map_or_else(none, ceiling_share),
            count(phase.answers_wrong()),
            format!("{}/{}", phase.noise.noisy_rounds, phase.rounds.len()),
        ]);
        row
    };
    Grid { header, rows: phases.iter().map(row).collect() }
}

/// What phases take: processor, memory, SSD, DFS, money.
pub(crate) fn cost(phases: &[Phase]) -> Grid {
    let header = vec![
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
    let row = |phase: &Phase| {
        let of = |name, text| median(&phase.summary, name, text);
        let tool = phase.tool.map(|tool| format!(" ({:.2})", tool.us_per_operation)).unwrap_or_default();
        vec![
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
        ]
    };
    Grid { header, rows: phases.iter().map(row).collect() }
}

/// The arms of a row.
pub(crate) fn arms(row: &Row) -> Grid {
    let header = vec![
        "arm",
        "ops/s",
        "ratio (min–max)",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "CPU µs/op",
        "resident",
        "SSD written",
        "DFS out",
        "write amp",
        "read amp",
        "wrong",
        "noisy",
    ];
    Grid { header, rows: row.arms.iter().map(|arm| arm_cells(row, arm)).collect() }
}

fn arm_cells(row: &Row, arm: &Arm) -> Vec<String> {
    let of = |name, text| median(&arm.summary, name, text);
    let found = row.ratios.iter().find(|ratio| ratio.against == arm.name);
    let found = found.and_then(|ratio| ratio.metrics.get("ops_per_s")).copied();
    let noisy = arm.rounds.iter().filter(|round| round.noisy).count();
    vec![
        format!("{} {}", arm.name, arm.version),
        of("ops_per_s", counted),
        found.map(share).unwrap_or_default(),
        of("p50_us", numbered),
        of("p99_us", numbered),
        of("p99_9_us", numbered),
        of("cpu_us_per_operation", numbered),
        of("resident_bytes", bytes),
        of("ssd_written_bytes", bytes),
        of("dfs_out_bytes", bytes),
        of("write_amplification", factor),
        of("read_amplification", factor),
        arm.rounds.iter().map(|round| round.answers_wrong).sum::<u64>().to_string(),
        format!("{noisy}/{}", arm.rounds.len()),
    ]
}

/// The goals of a row.
pub(crate) fn goals(row: &Row) -> Grid {
    let cells = |goal: &Goal| {
        let of = |arm: Option<&Arm>| {
            let found = arm.and_then(|arm| arm.summary.get(&goal.metric));
            found.map_or_else(none, |spread| Metric::text(&goal.metric, spread.median))
        };
        let other = row.arms.iter().find(|arm| arm.name == goal.against);
        vec![
            Metric::title(&goal.metric),
            of(row.arms.first()),
            if goal.is_of_itself() { "(the number itself)".to_owned() } else { goal.against.clone() },
            if goal.is_of_itself() { String::new() } else { of(other) },
            goal.found_text(),
            goal.text(),
            goal.verdict(row.noise.noisy),
        ]
    };
    let header = vec!["metric", "ours", "against", "theirs", "found (min–max)", "goal", "verdict"];
    Grid { header, rows: row.goals.iter().map(cells).collect() }
}

/// The share of a ceiling that was reached.
pub(crate) fn ceiling_share(ceiling: &Ceiling) -> String {
    format!("{:.0} %", ceiling.share * 100.0)
}

/// The median of a metric, written by one of the functions below; a dash when it was not measured.
fn median(summary: &Summary, name: &str, text: fn(f64) -> String) -> String {
    summary.get(name).map_or_else(none, |spread| text(spread.median))
}

fn counted(found: f64) -> String {
    count(found)
}

fn numbered(found: f64) -> String {
    number(found)
}

/// Two digits, or more where the number is small.
pub(crate) fn factor(found: f64) -> String {
    format!("{found:.2}")
}

fn bytes(found: f64) -> String {
    human_bytes(whole(found))
}

fn dollars(found: f64) -> String {
    format!("{found:.4}")
}

fn none() -> String {
    "–".to_owned()
}
