//! The report as a table for people.

use std::fmt::Write;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::idle::Idle;
use super::report::{Measured, Report};
use crate::byte_size::human_bytes;
use crate::numbers::{count, number, range, share};

/// What the columns mean.
const LEGEND: &str = "\
Medians of the rounds (min–max). Latency: from the call to the result; log-write: of the sync alone.
CPU: user and system, of all threads of the process. Share: IOPS by those of fio in the same round.
Noisy: rounds in which others kept over 0.2 cores busy.";

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
    for idle in &report.idle {
        line(&idle_line(idle));
    }
    report.notes.iter().for_each(|note| line(&format!("note: {note}")));
    text.trim_end().to_owned()
}

fn heading(report: &Report) -> String {
    let machine = &report.machine;
    let device = if machine.device.is_empty() { "no block device of its own" } else { &machine.device };
    format!(
        "{}: {device} ({}), Linux {}, {} x {}, load {:.2}\n{} file, {} rounds of {} s after {} s, {}, {}",
        report.dir,
        if machine.scheduler.is_empty() { "no scheduler" } else { &machine.scheduler },
        machine.kernel,
        machine.cores,
        machine.cpu,
        machine.load_average,
        human_bytes(report.file_bytes),
        report.rounds,
        report.measured_s,
        report.warm_up_s,
        if report.direct { "direct" } else { "THROUGH THE PAGE CACHE" },
        report.fio.as_deref().unwrap_or("without fio"),
    )
}

fn measured(results: &[Measured]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "shape",
        "through",
        "IOPS",
        "(min–max)",
        "MiB/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "CPU µs/op",
        "share of fio",
        "noisy",
    ]);
    let mut last = None;
    for result in results {
        let shape = (result.profile, result.section);
        let name = if last == Some(shape) { String::new() } else { format!("{} {}", shape.0, shape.1) };
        last = Some(shape);
        table.add_row(vec![
            name,
            result.engine.clone(),
            count(result.iops.median),
            range(result.iops),
            count(result.bytes_per_s.median / f64::from(1 << 20)),
            number(result.p50_us.median),
            number(result.p99_us.median),
            number(result.p99_9_us.median),
            number(result.cpu_us_per_operation.median),
            result.share_of_fio.map(share).unwrap_or_default(),
            format!("{}/{}", result.noisy_rounds, result.rounds.len()),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn idle_line(idle: &Idle) -> String {
    let Idle { engine, seconds, cpu_us, core_percent } = idle;
    format!("idle executor, {engine}: {core_percent:.3} % of a core ({cpu_us:.0} µs in {seconds:.1} s)")
}

#[cfg(test)]
mod tests {
    use super::super::report::Round;
    use super::super::sample::Sample;
    use super::super::shape::SHAPES;
    use super::*;

    #[test]
    fn shapes_are_named_once_and_shares_shown() {
        let sample = Sample { operations: 9, iops: 12_345.6, p50_us: 51.23, ..Sample::default() };
        let rounds = [Round::new(1, 0.0, sample), Round::new(2, 0.9, sample)];
        let results: Vec<Measured> = ["fio", "threads"]
            .iter()
            .filter_map(|engine| Measured::new(&SHAPES[0], engine, &rounds, &rounds))
            .collect();
        let text = measured(&results).to_string();
        assert_eq!(text.matches("random-read-4k depth-1").count(), 1, "{text}");
        for part in ["12,346", "51.2", "1.00 (1.00–1.00)", "1/2"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
