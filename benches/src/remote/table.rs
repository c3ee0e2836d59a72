//! The report as a table for people.

use std::fmt::Write;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::report::{Measured, Report};
use crate::measure::spread::Spread;
use crate::numbers::{count, number, range, share};

/// What the columns mean.
const LEGEND: &str = "\
Medians of the rounds (min–max). Latency: from the call to the result. CPU: user and system, of all threads, per request or MiB.
Share: of the yardstick in the same round, by rate; by p99.9 where hedging is compared. Noisy: rounds in which others kept over
0.2 cores busy.";

/// The whole report.
pub(super) fn table(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    };
    line(&heading(report));
    line(&measured(&report.results).to_string());
    line(LEGEND);
    report.notes.iter().for_each(|note| line(&format!("note: {note}")));
    text.trim_end().to_owned()
}

fn heading(report: &Report) -> String {
    let machine = &report.machine;
    format!(
        "{}: Linux {}, {} x {}, load {:.2}; {} rounds of {} s",
        report.store,
        machine.kernel,
        machine.cores,
        machine.cpu,
        machine.load_average,
        report.rounds,
        report.measured_s,
    )
}

fn measured(results: &[Measured]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "what",
        "by",
        "rate",
        "(min–max)",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "client CPU",
        "server CPU",
        "extra %",
        "share",
        "goal",
        "noisy",
    ]);
    let mut last = "";
    for result in results {
        let name = if last == result.what { String::new() } else { result.what.clone() };
        last = &result.what;
        let median = |spread: Option<Spread>| spread.map(|spread| number(spread.median)).unwrap_or_default();
        table.add_row(vec![
            name,
            result.by.to_owned(),
            result.rate.map(|rate| format!("{} {}", count(rate.median), result.unit)).unwrap_or_default(),
            result.rate.map(range).unwrap_or_default(),
            median(result.p50_us),
            median(result.p99_us),
            median(result.p99_9_us),
            median(result.client_cpu_us),
            median(result.server_cpu_us),
            median(result.extra_requests_percent),
            result.share.map(share).unwrap_or_default(),
            goal(result),
            format!("{}/{}", result.noisy_rounds, result.rounds.len()),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn goal(result: &Measured) -> String {
    let (Some(goal), Some(reached)) = (result.share_goal, result.goal_reached) else { return String::new() };
    let sign = if result.share_by == "rate" { '≥' } else { '≤' };
    format!("{sign} {goal} {}", if reached { "reached" } else { "MISSED" })
}

#[cfg(test)]
mod tests {
    use super::super::contender::{By, Goal, Group, ours};
    use super::super::report::Round;
    use super::super::sample::Sample;
    use super::*;

    #[test]
    fn groups_are_named_once_and_goals_shown() {
        let group = Group {
            what: "4 KiB GETs, 64 in flight".to_owned(),
            unit: "requests/s",
            by: By::Rate,
            yardstick: "wrk",
            goal: Some(Goal { share: 0.7, extra_percent_max: None }),
            contenders: vec![
                ours("aquifer", || Ok(Sample::default())),
                ours("wrk", || Ok(Sample::default())),
            ],
        };
        let rounds = |rate| vec![Round::new(1, 0.9, Sample { rate: Some(rate), ..Sample::default() })];
        let text = measured(&Measured::of_group(&group, &[rounds(6_000.0), rounds(12_000.0)])).to_string();
        assert_eq!(text.matches("64 in flight").count(), 1, "{text}");
        for part in ["6,000 requests/s", "0.50 (0.50–0.50)", "≥ 0.7 MISSED", "1/1"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
