//! A difference for people: what else is different first, then the numbers.

use std::fmt::Write;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::difference::{Difference, PhaseChange};
use super::verdict::{Change, NOISE_MIN, ROUNDS_MIN, Verdict};
use crate::measure::spread::Spread;
use crate::result::{Header, Metric, utc_text};

/// Shown of each phase even when they are the same.
const ALWAYS: [&str; 5] = ["ops_per_s", "p50_us", "p99_us", "p99_9_us", "cpu_us_per_operation"];

/// The whole text. Names are those of the files.
pub(super) fn text(difference: &Difference, names: &[String; 2], headers: [&Header; 2], all: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, difference, names, headers, all);
    crate::result::printable(text.trim_end())
}

fn write(
    text: &mut String,
    difference: &Difference,
    names: &[String; 2],
    headers: [&Header; 2],
    all: bool,
) -> std::fmt::Result {
    for ((side, name), header) in ["old", "new"].into_iter().zip(names).zip(headers) {
        let (version, when) = (header.version_text(), utc_text(header.began_unix_ms));
        writeln!(text, "{side}: {name}: {} {version}, {when}", header.tool)?;
    }
    for (name, old, new) in &difference.circumstances {
        writeln!(text, "DIFFERENT {name}: {old} -> {new}")?;
    }
    difference.warnings.iter().try_for_each(|warning| writeln!(text, "WARNING {warning}"))?;
    writeln!(text, "{}", table(&difference.phases, all))?;
    for (side, only) in [("old", &difference.only_old), ("new", &difference.only_new)] {
        only.iter().try_for_each(|name| writeln!(text, "only in the {side} result: {name}"))?;
    }
    writeln!(
        text,
        "Medians of the quiet rounds (min–max). Noise: the ranges of both sides together, at least {:.0} %; a verdict needs a \
         change beyond it and {ROUNDS_MIN} quiet rounds on each side.",
        NOISE_MIN * 100.0
    )?;
    let (better, worse) = (difference.count(Verdict::is_better), difference.count(Verdict::is_worse));
    let unknown = difference.count(|verdict| verdict == Verdict::Unknown);
    writeln!(
        text,
        "{better} better, {worse} worse, {unknown} unknown; the rest shows no difference beyond the noise."
    )
}

fn table(phases: &[PhaseChange], all: bool) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["phase", "metric", "old (min–max)", "new (min–max)", "change", "noise", "verdict"]);
    for phase in phases {
        let shown = |change: &&Change| all || is_shown(change);
        for (index, change) in phase.changes.iter().filter(shown).enumerate() {
            table.add_row([
                if index == 0 { phase.name.clone() } else { String::new() },
                Metric::title(&change.metric),
                values(&change.metric, change.old),
                values(&change.metric, change.new),
                change.change.map_or_else(|| "–".to_owned(), |change| format!("{:+.1} %", change * 100.0)),
                change.noise.map_or_else(|| "–".to_owned(), |noise| format!("{:.1} %", noise * 100.0)),
                change.verdict.text().to_owned(),
            ]);
        }
    }
    for column in table.column_iter_mut().skip(2).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn is_shown(change: &Change) -> bool {
    let verdict = change.verdict;
    ALWAYS.contains(&change.metric.as_str()) || verdict.is_better() || verdict.is_worse()
}

fn values(metric: &str, spread: Spread) -> String {
    let text = |value: f64| Metric::text(metric, value);
    let [median, min, max] = [spread.median, spread.min, spread.max].map(text);
    format!("{median} ({min}–{max})")
}
