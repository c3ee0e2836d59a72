//! The tables of a comparison.

use std::fmt::Write;

use super::{bytes, counted, factor, median, new_table, numbered, ratio};
use crate::result::{Arm, Comparison, Metric, Row};

/// What the columns mean.
const LEGEND: &str = "\
Medians of the rounds. Ratio: the first arm by the other, round by round, then the median of the rounds (min–max).
Goals are held against the median. CPU: of the arm's whole process. Written: bytes to the SSD and to the DFS in one round.
";

/// Everything below the head.
pub(super) fn tables(comparison: &Comparison) -> String {
    if comparison.rows.is_empty() {
        return "Nothing was compared.\n".to_owned();
    }
    let mut text = format!("{}\n{}\n{LEGEND}", arms(&comparison.rows), goals(&comparison.rows));
    for row in &comparison.rows {
        for note in row.notes.iter().chain(row.arms.iter().flat_map(|arm| &arm.notes)) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "note: {}: {note}", row.name);
        }
    }
    text
}

fn arms(rows: &[Row]) -> comfy_table::Table {
    let header = [
        "row",
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
    let mut table = new_table(&header, 2);
    for row in rows {
        for (index, arm) in row.arms.iter().enumerate() {
            let name = if index == 0 { row.name.clone() } else { String::new() };
            table.add_row(arm_cells(name, row, arm));
        }
    }
    table
}

fn arm_cells(name: String, row: &Row, arm: &Arm) -> Vec<String> {
    let of = |name, text| median(&arm.summary, name, text);
    let found = row.ratios.iter().find(|ratio| ratio.against == arm.name);
    let found = found.and_then(|ratio| ratio.metrics.get("ops_per_s")).copied();
    let noisy = arm.rounds.iter().filter(|round| round.noisy).count();
    vec![
        name,
        format!("{} {}", arm.name, arm.version),
        of("ops_per_s", counted),
        found.map(ratio).unwrap_or_default(),
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

fn goals(rows: &[Row]) -> comfy_table::Table {
    let mut table = new_table(&["row", "metric", "against", "ratio (min–max)", "goal", "verdict"], 3);
    for row in rows {
        for (index, goal) in row.goals.iter().enumerate() {
            table.add_row([
                if index == 0 { row.name.clone() } else { String::new() },
                Metric::title(&goal.metric),
                goal.against.clone(),
                goal.ratio.map_or_else(|| "–".to_owned(), ratio),
                goal.text(),
                goal.verdict(row.noise.noisy),
            ]);
        }
    }
    table
}
