//! The body of a run's page: all phases side by side, then each with its plots.

use maud::{Markup, html};

use super::fragments::{all_metrics, grid_table, settings_line};
use super::plot::{Bar, bars, percent, stacked};
use super::plots;
use crate::numbers::{count, number};
use crate::result::cells::{cost, factor, speed};
use crate::result::document::RunResult;
use crate::result::metric::Metric;
use crate::result::phase::Phase;

pub(super) fn body(run: &RunResult) -> Markup {
    if run.phases.is_empty() {
        return html! { p { "Nothing was measured." } };
    }
    html! {
        section {
            h2 { "All phases" }
            (grid_table(&speed(&run.phases), 1))
            (grid_table(&cost(&run.phases), 1))
            div class="plots" { (ceilings(&run.phases)) (amplification(&run.phases)) (hits(&run.phases)) }
        }
        @for (index, phase) in run.phases.iter().enumerate() { (one(index, phase)) }
    }
}

fn ceilings(phases: &[Phase]) -> Markup {
    let bar = |phase: &Phase, ceiling: &crate::result::phase::Ceiling| Bar {
        name: format!("{}: {}", phase.name, ceiling.what),
        text: format!(
            "{} of {} {}: {}",
            number(ceiling.reached),
            number(ceiling.value),
            ceiling.unit,
            percent(ceiling.share)
        ),
        value: ceiling.share,
        range: None,
        mark: Some(1.0),
        class: "c0",
    };
    let found = phases.iter().flat_map(|phase| phase.ceilings.iter().map(move |ceiling| bar(phase, ceiling)));
    let found: Vec<Bar> = found.collect();
    let explanation =
        "What was reached of what the resource gives, measured beside it; the line is the ceiling.";
    html! { @if !found.is_empty() { (bars("Share of the ceiling", explanation, false, &found)) } }
}

fn amplification(phases: &[Phase]) -> Markup {
    let kinds = [
        ("write_amplification", "write", "c1"),
        ("read_amplification", "read", "c0"),
        ("space_amplification", "space", "c2"),
    ];
    let found = phases.iter().flat_map(|phase| {
        kinds.into_iter().filter_map(move |(metric, kind, class)| {
            let spread = phase.metric(metric)?;
            Some(Bar {
                name: format!("{}: {kind}", phase.name),
                text: factor(spread.median),
                value: spread.median,
                range: Some((spread.min, spread.max)),
                mark: None,
                class,
            })
        })
    });
    let found: Vec<Bar> = found.collect();
    let explanation = "Bytes moved or kept by bytes asked for: 1 is the least there can be.";
    html! { @if !found.is_empty() { (bars("Amplification", explanation, false, &found)) } }
}

fn hits(phases: &[Phase]) -> Markup {
    let names = ["hit_memory_share", "hit_ssd_share", "hit_remote_share", "hit_absent_share"];
    let found = phases.iter().filter_map(|phase| {
        let shares = names.map(|name| phase.metric(name).map(|spread| spread.median));
        let shares: Option<Vec<f64>> = shares.into_iter().collect();
        shares
            .filter(|shares| shares.iter().any(|share| *share > 0.0))
            .map(|shares| (phase.name.clone(), shares))
    });
    let found: Vec<_> = found.collect();
    html! {
        @if !found.is_empty() { (stacked("Where reads were answered from", &plots::HIT_PARTS, &found)) }
    }
}

fn one(index: usize, phase: &Phase) -> Markup {
    let workload = &phase.workload;
    let id = |plot: &str| format!("phase-{index}-{plot}");
    html! {
        section {
            h2 { (phase.name) }
            p { (phase.what) }
            p class="settings" {
                (workload.operations) ", " (workload.distribution) ", " (count(workload.keys)) " keys of " (workload.key_bytes) " B + "
                (workload.value_bytes) " B, " (workload.threads) " threads (" (workload.from) ") × " (workload.in_flight)
                " in flight × batch " (workload.batch) "; " (rounds(phase.rounds.len())) ", " (phase.noise.text())
            }
            (settings_line(&phase.settings))
            (values(phase))
            @for note in &phase.notes { p class="note" { (note) } }
            div class="plots" {
                @if let Some(chart) = plots::throughput(phase) { (chart.draw(&id("throughput"))) }
                @if let Some(chart) = plots::latency_over_time(phase) { (chart.draw(&id("time"))) }
                @if let Some(chart) = plots::percentiles(phase) { (chart.draw(&id("percentiles"))) }
                @if let Some(chart) = plots::sweep(phase) { (chart.draw(&id("sweep"))) }
                @if let Some(chart) = plots::hits_over_time(phase) { (chart.draw(&id("hits"))) }
            }
            (all_metrics("All numbers", &phase.summary, Metric::text))
        }
    }
}

fn rounds(count: usize) -> String {
    if count == 1 { "1 round".to_owned() } else { format!("{count} rounds") }
}

/// Further numbers of this phase alone.
fn values(phase: &Phase) -> Markup {
    let names: std::collections::BTreeSet<&String> =
        phase.rounds.iter().flat_map(|round| round.values.keys()).collect();
    let found = names.into_iter().filter_map(|name| {
        let [median, min, max] = {
            let spread = phase.metric(name)?;
            [spread.median, spread.min, spread.max].map(|value| Metric::text(name, value))
        };
        Some((Metric::title(name), format!("{median} ({min}–{max})")))
    });
    let found: Vec<_> = found.collect();
    html! {
        @if !found.is_empty() {
            dl class="values" { @for (name, text) in found { dt { (name) } dd { (text) } } }
        }
    }
}
