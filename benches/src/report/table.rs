//! The report as tables for people.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Row, Table};

use super::document::Report;
use crate::byte_size::human_bytes;
use crate::histogram::LatencySummary;
use crate::numbers::count;

/// Memory that the process may take beside the engine's budget: program, HTTP, embedded DFS, this command's own.
const BESIDE_BUDGET_BYTES: u64 = 64 << 20;

/// The whole report.
pub(crate) fn table(report: &Report) -> String {
    format!("{}\n\n{}", facts(report), latencies(report))
}

fn facts(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let mut line = |name: &str, value: String| {
        table.add_row(vec![name.to_owned(), value]);
    };
    let events = &report.events;
    line(
        "events",
        format!(
            "{} applied in {:.2} s: {} events/s",
            count(events.applied),
            events.applying_s,
            count(events.events_per_s)
        ),
    );
    line("keys", {
        let verified = &report.verification;
        format!("{} compared, {} mismatches", count(verified.keys), count(verified.mismatches))
    });
    for open in &report.opens {
        let from = match open.checkpoint {
            Some(_) => format!(" from checkpoint at event {}", count(open.position_events)),
            None => String::new(),
        };
        line(
            &format!("open, {}", open.when),
            format!("{} shards{from}: first read answered after {:.1} ms", open.shards, open.first_read_ms),
        );
    }
    if let Some(crash) = &report.crash {
        line(
            "crash",
            format!(
                "at event {} with {} in flight, {} replayed",
                count(crash.at_event),
                count(crash.in_flight as u64),
                count(crash.replayed)
            ),
        );
    }
    let store = &report.store;
    line("GET", format!("{} requests, {}", count(store.gets), human_bytes(store.get_bytes)));
    line("PUT", format!("{} requests, {}", count(store.puts), human_bytes(store.put_bytes)));
    let [lists, heads, deletes] = [store.lists, store.heads, store.deletes].map(count);
    line("other requests", format!("{lists} lists, {heads} heads, {deletes} deletes"));
    let (memory, disk) = resources(report);
    line("resident memory", memory);
    line("local disk", disk);
    if let Some(note) = &report.io.note {
        line("io_uring", note.clone());
    }
    line("whole run", format!("{:.1} s", report.total_s));
    table
}

/// Memory and disk, in words.
fn resources(report: &Report) -> (String, String) {
    let resources = &report.resources;
    let memory = format!(
        "{} now, {} at most; budget {} + {}",
        human_bytes(resources.resident.now_bytes),
        human_bytes(resources.resident.peak_bytes),
        human_bytes(resources.memory_budget_bytes),
        human_bytes(BESIDE_BUDGET_BYTES)
    );
    let disk = format!(
        "{} at most of {}; {} reads, {} writes through {}",
        human_bytes(resources.local_disk_bytes_max),
        human_bytes(resources.disk_budget_bytes),
        count(resources.file_reads),
        count(resources.file_writes),
        report.io.backend
    );
    (memory, disk)
}

fn latencies(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["time", "count", "p50", "p99", "p99.9", "max"]);
    let mut line = |name: &str, found: &LatencySummary| {
        if found.count > 0 {
            let times = [found.p50_us, found.p99_us, found.p99_9_us, found.max_us].map(human_time);
            table.add_row(Row::from([name.to_owned(), count(found.count)].into_iter().chain(times)));
        }
    };
    line("get", &report.events.get);
    line("update (get + put)", &report.events.update);
    line("checkpoint", &report.checkpoints.duration);
    line("barrier in a shard", &report.checkpoints.barrier);
    line("barrier in the driver", &report.checkpoints.drain);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Microseconds with three digits and a unit that fits.
fn human_time(microseconds: f64) -> String {
    let (number, unit) = match microseconds {
        less if less < 1e3 => (less, "µs"),
        less if less < 1e6 => (less / 1e3, "ms"),
        all => (all / 1e6, "s"),
    };
    let decimals = if number < 9.995 { 2 } else { usize::from(number < 99.95) };
    format!("{number:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::super::document::{OpenReport, SCHEMA, VerificationReport};
    use super::*;

    #[test]
    fn times_are_easy_to_read() {
        for (us, text) in
            [(0.5, "0.50 µs"), (12.34, "12.3 µs"), (999.0, "999 µs"), (1500.0, "1.50 ms"), (2e6, "2.00 s")]
        {
            assert_eq!(human_time(us), text);
        }
    }

    #[test]
    fn the_table_says_what_the_report_says() {
        let mut report = Report {
            opens: vec![OpenReport {
                when: "after the crash",
                shards: 3,
                checkpoint: Some(4),
                ..OpenReport::default()
            }],
            verification: VerificationReport { keys: 4044, ..VerificationReport::default() },
            ..Report::default()
        };
        report.events.get.count = 7;
        let text = table(&report);
        for part in
            ["4,044 compared, 0 mismatches", "open, after the crash", "3 shards from checkpoint", "p99.9"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("update (get + put)"), "what was not measured is not shown");
    }

    #[test]
    fn the_json_has_its_schema_and_units() {
        let json = serde_json::to_value(Report { schema: SCHEMA, ..Report::default() }).unwrap();
        assert_eq!(json["schema"], 1);
        assert!(json["events"]["get"]["p99_9_us"].is_number());
        assert!(json["resources"]["resident"]["peak_bytes"].is_number());
        assert!(json["crash"].is_null());
    }
}
