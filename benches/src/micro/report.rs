//! The report of the `micro` command: one structure, shown as a table or written as JSON.
//!
//! JSON: `schema` grows by one when a field is renamed, removed or changes its meaning; new fields may come at any time.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::rounds::Pair;
use crate::measure::machine::Machine;
use crate::measure::spread::Spread;

/// Version of the JSON.
pub(super) const SCHEMA: u32 = 1;

/// What is wanted of a row's result.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    /// Nothing: the number is there to be seen.
    None,
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_reached(self, result: f64) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtLeast(goal) => Some(result >= goal),
            Self::AtMost(goal) => Some(result <= goal),
        }
    }
}

/// One thing that was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// What the engine's operation takes, for a row with another side.
    pub(super) ours_ns: Option<Spread>,
    /// The other side, and what its operation takes.
    pub(super) beside: Option<&'static str>,
    pub(super) beside_ns: Option<Spread>,
    /// Of the result: empty for a ratio or a count.
    pub(super) unit: &'static str,
    /// The engine's speed as a share of the other side's, or the number itself.
    pub(super) result: Option<Spread>,
    pub(super) goal: Goal,
    /// Of the median; `null` without a goal.
    pub(super) is_reached: Option<bool>,
}

impl Row {
    /// The engine beside another structure: the result is the share of its speed.
    pub(super) fn compared(name: &'static str, beside: &'static str, pairs: &[Pair], goal: Goal) -> Self {
        let share = Spread::of(pairs.iter().map(|pair| pair.theirs_ns / pair.ours_ns));
        Self {
            name,
            ours_ns: Spread::of(pairs.iter().map(|pair| pair.ours_ns)),
            beside: Some(beside),
            beside_ns: Spread::of(pairs.iter().map(|pair| pair.theirs_ns)),
            unit: "",
            result: share,
            goal,
            is_reached: share.and_then(|share| goal.is_reached(share.median)),
        }
    }

    /// A number of the engine alone.
    pub(super) fn measured(name: &'static str, unit: &'static str, numbers: Vec<f64>, goal: Goal) -> Self {
        let result = Spread::of(numbers);
        Self {
            name,
            ours_ns: None,
            beside: None,
            beside_ns: None,
            unit,
            result,
            goal,
            is_reached: result.and_then(|result| goal.is_reached(result.median)),
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) schema: u32,
    /// Version of the program.
    pub(super) version: &'static str,
    /// Always `micro`.
    pub(super) command: &'static str,
    /// `release` or `debug`; numbers of the latter say nothing.
    pub(super) build: &'static str,
    pub(super) began_unix_ms: u64,
    pub(super) machine: Machine,
    pub(super) keys: u64,
    pub(super) rounds: u32,
    pub(super) rows: Vec<Row>,
}

/// The report for people.
pub(super) fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["what", "ns", "beside it", "ns", "result", "goal", ""]);
    for row in &report.rows {
        let goal = match row.goal {
            Goal::None => String::new(),
            Goal::AtLeast(goal) => format!("≥ {}", number(goal)),
            Goal::AtMost(goal) => format!("≤ {}", number(goal)),
        };
        table.add_row([
            row.name.to_owned(),
            spread(row.ours_ns),
            row.beside.unwrap_or_default().to_owned(),
            spread(row.beside_ns),
            format!("{} {}", spread(row.result), row.unit).trim_end().to_owned(),
            goal,
            row.is_reached.map_or("", |reached| if reached { "reached" } else { "MISSED" }).to_owned(),
        ]);
    }
    for column in [1, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let machine = &report.machine;
    let build = if report.build == "debug" { "; A DEBUG BUILD, whose numbers say nothing" } else { "" };
    format!(
        "{} keys of 16 bytes, values of 100, one shard; {} rounds; {} x {}, load {:.2}{build}\n{table}\n{LEGEND}",
        report.keys, report.rounds, machine.cores, machine.cpu, machine.load_average
    )
}

/// What the columns mean.
const LEGEND: &str = "\
Medians of the rounds (min–max), in processor time of the shard's thread, on which both sides run in turn.
Result beside another structure: the engine's speed as a share of its speed in the same round.";

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |spread| {
        let (median, min, max) = (number(spread.median), number(spread.min), number(spread.max));
        if min == max { median } else { format!("{median} ({min}–{max})") }
    })
}

/// Three digits that say something.
fn number(value: f64) -> String {
    match value {
        _ if value == 0.0 => "0".to_owned(),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_about_the_median_and_the_share_about_speed() {
        let pair = |ours_ns, theirs_ns| Pair { ours_ns, theirs_ns };
        let pairs = [pair(400.0, 100.0), pair(1_000.0, 100.0), pair(250.0, 100.0)];
        let row = Row::compared("get", "map", &pairs, Goal::AtLeast(0.25));
        assert_eq!(row.result.map(|result| result.median), Some(0.25));
        assert_eq!(row.is_reached, Some(true));
        let row = Row::measured("filter", "", vec![0.2], Goal::AtMost(0.1));
        assert_eq!(row.is_reached, Some(false));
        assert_eq!(Row::measured("seen", "ns", vec![0.2], Goal::None).is_reached, None);
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!(
            [0.0, 0.00391, 0.254, 12.34, 1234.5].map(number),
            ["0", "0.00391", "0.25", "12.3", "1234"]
        );
    }
}
