//! The body of a run's page: all phases side by side, then each with its plots.

use maud::{Markup, html};

use super::plot::{Bar, bars, percent, stacked};
use super::{all_metrics, plots, settings_line, table};
use crate::report::{count, number, range};
use crate::result::table::{bytes, counted, dollars, factor, median, numbered};
use crate::result::{Metric, Phase, RunResult};

pub(super) fn body(run: &RunResult) -> Markup {
    if run.phases.is_empty() {
        return html! { p { "Nothing was measured." } };
    }
    html! {
        section {
            h2 { "All phases" }
            (speed(&run.phases))
            (cost(&run.phases))
            div class="plots" { (ceilings(&run.phases)) (amplification(&run.phases)) (hits(&run.phases)) }
        }
        @for (index, phase) in run.phases.iter().enumerate() { (one(index, phase)) }
    }
}

fn speed(phases: &[Phase]) -> Markup {
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
        "wrong",
    ];
    let row = |phase: &Phase| {
        let of = |name, text| median(&phase.summary, name, text);
        let latencies = ["p50_us", "p90_us", "p99_us", "p99_9_us", "p99_99_us", "max_us"];
        let mut cells = vec![
            phase.name.clone(),
            of("ops_per_s", counted),
            phase.metric("ops_per_s").map(range).unwrap_or_default(),
            of("ops_per_s_per_core", counted),
        ];
        cells.extend(latencies.map(|name| of(name, numbered)));
        cells.push(count(phase.answers_wrong()));
        cells
    };
    table(&header, 1, &phases.iter().map(row).collect::<Vec<_>>())
}

fn cost(phases: &[Phase]) -> Markup {
    let header = [
        "phase",
        "CPU µs/op",
        "tool µs/op",
        "resident",
        "peak",
        "SSD reads",
        "read",
        "written",
        "DFS requests",
        "in",
        "out",
        "$/h",
    ];
    let row = |phase: &Phase| {
        let of = |name, text| median(&phase.summary, name, text);
        vec![
            phase.name.clone(),
            of("cpu_us_per_operation", numbered),
            phase.tool.map_or_else(|| "–".to_owned(), |tool| number(tool.us_per_operation)),
            of("resident_bytes", bytes),
            of("peak_bytes", bytes),
            of("ssd_reads", counted),
            of("ssd_read_bytes", bytes),
            of("ssd_written_bytes", bytes),
            of("dfs_requests", counted),
            of("dfs_in_bytes", bytes),
            of("dfs_out_bytes", bytes),
            of("dollars_per_hour", dollars),
        ]
    };
    table(&header, 1, &phases.iter().map(row).collect::<Vec<_>>())
}

fn ceilings(phases: &[Phase]) -> Markup {
    let bar = |phase: &Phase, ceiling: &crate::result::Ceiling| Bar {
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
