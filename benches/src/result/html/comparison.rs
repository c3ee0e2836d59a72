//! The body of a comparison's page: goals first, then each row with its arms.

use maud::{Markup, html};

use super::fragments::{all_metrics, grid_table, settings_line, table};
use super::plot::{Bar, bars};
use super::plots;
use crate::numbers::{count, share};
use crate::result::cells::{arms, factor, goals};
use crate::result::comparison::{Comparison, Goal, Row};
use crate::result::metric::Metric;

/// Metrics that arms are shown side by side in.
const SHOWN: [&str; 6] =
    ["ops_per_s", "p50_us", "p99_us", "cpu_us_per_operation", "resident_bytes", "ssd_written_bytes"];

/// Colours of the arms, ours first.
const COLOURS: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];

pub(super) fn body(comparison: &Comparison) -> Markup {
    if comparison.rows.is_empty() {
        return html! { p { "Nothing was compared." } };
    }
    html! {
        section {
            h2 { "Goals" @if let Some(suite) = &comparison.suite { span class="light" { " of the suite " (suite) } } }
            (goals_table(&comparison.rows))
            div class="plots" { @for row in &comparison.rows { (goal_bars(row)) } }
        }
        @for (index, row) in comparison.rows.iter().enumerate() { (one(index, row)) }
    }
}

fn goals_table(rows: &[Row]) -> Markup {
    let lines = rows.iter().flat_map(|row| {
        let named = |cells: Vec<String>| std::iter::once(row.name.clone()).chain(cells).collect();
        goals(row).rows.into_iter().map(named)
    });
    let lines: Vec<Vec<String>> = lines.collect();
    let header: Vec<_> = rows.first().map(|row| goals(row).header).unwrap_or_default();
    let header: Vec<_> = std::iter::once("row").chain(header).collect();
    html! { @if !lines.is_empty() { (table(&header, 2, &lines)) } }
}

/// Ratios with their goals as lines across.
fn goal_bars(row: &Row) -> Markup {
    let bar = |goal: &Goal| {
        // Numbers that are no ratios have no scale in common; the table has them.
        let ratio = goal.ratio.filter(|_| !goal.is_of_itself())?;
        Some(Bar {
            name: format!("{} against {}", Metric::title(&goal.metric), goal.against),
            text: format!("{}, goal {}: {}", share(ratio), goal.text(), goal.verdict(row.noise.noisy)),
            value: ratio.median,
            range: Some((ratio.min, ratio.max)),
            mark: goal.at_least.or(goal.at_most),
            class: match goal.reached {
                Some(true) => "good",
                Some(false) => "bad",
                None => "unknown",
            },
        })
    };
    let found: Vec<Bar> = row.goals.iter().filter_map(bar).collect();
    html! { @if !found.is_empty() { (bars(&row.name, "", true, &found)) } }
}

fn one(index: usize, row: &Row) -> Markup {
    let workload = &row.workload;
    html! {
        section {
            h2 { (row.name) }
            p { (row.what) }
            p class="settings" {
                (workload.operations) ", " (workload.distribution) ", " (count(workload.keys)) " keys of " (workload.key_bytes) " B + "
                (workload.value_bytes) " B; " (row.noise.text())
            }
            @for note in &row.notes { p class="note" { (note) } }
            (grid_table(&arms(row), 1))
            div class="plots" {
                @for metric in SHOWN { (metric_bars(row, metric)) }
                @if let Some(chart) = plots::arms_percentiles(row) { (chart.draw(&format!("row-{index}-percentiles"))) }
            }
            (arms_settings(row))
            @for ratio in &row.ratios {
                @if !ratio.metrics.is_empty() {
                    (all_metrics(&format!("All ratios against {}, {} rounds", ratio.against, ratio.rounds), &ratio.metrics, |_, found| factor(found)))
                }
            }
        }
    }
}

/// Settings and notes of each arm that has any.
fn arms_settings(row: &Row) -> Markup {
    let arms: Vec<_> =
        row.arms.iter().filter(|arm| !arm.settings.is_empty() || !arm.notes.is_empty()).collect();
    html! {
        @if !arms.is_empty() {
            dl class="values" {
                @for arm in arms {
                    dt { (arm.name) }
                    dd {
                        (settings_line(&arm.settings))
                        @for note in &arm.notes { p class="note" { (note) } }
                    }
                }
            }
        }
    }
}

/// One metric of all arms; nothing when no arm has any of it.
fn metric_bars(row: &Row, metric: &str) -> Markup {
    let arms = row.arms.iter().zip(COLOURS.into_iter().cycle());
    let found = arms.filter_map(|(arm, class)| {
        let spread = arm.summary.get(metric)?;
        Some(Bar {
            name: arm.name.clone(),
            text: Metric::text(metric, spread.median),
            value: spread.median,
            range: Some((spread.min, spread.max)),
            mark: None,
            class,
        })
    });
    let found: Vec<Bar> = found.collect();
    html! { @if found.iter().any(|bar| bar.value > 0.0) { (bars(&Metric::title(metric), "", false, &found)) } }
}
