//! Puts a run's numbers into its report.

use std::time::Duration;

use super::measures::Measures;
use super::opened::Opened;
use super::store::Store;
use crate::cli::EventsArgs;
use crate::failure::Failure;
use crate::report::document::{
    CheckpointsReport, CrashReport, EventsReport, InputReport, IoReport, OpenReport, Report, ResourcesReport,
    SCHEMA, StoreReport, VerificationReport,
};
use crate::resources::resident_memory;
use crate::verify::Comparison;

/// What a run knows at its end.
pub(super) struct Summary<'s> {
    pub(super) args: &'s EventsArgs,
    /// Name, workload, events.
    pub(super) input: (String, &'static str, u64),
    pub(super) store: &'s Store,
    pub(super) measures: &'s Measures,
    pub(super) opens: Vec<OpenReport>,
    pub(super) crash: Option<CrashReport>,
    pub(super) comparison: &'s Comparison,
    pub(super) verifying: Duration,
    pub(super) state_out_keys: Option<u64>,
    pub(super) total: Duration,
}

/// The report, with the engine's own numbers.
pub(super) async fn report(run: &Summary<'_>, opened: &Opened) -> Result<Report, Failure> {
    let stats = opened.client.stats().await.map_err(Failure::engine("cannot read the engine's numbers"))?;
    let measures = run.measures;
    let applying_s = measures.applying.as_secs_f64();
    let (name, workload, events) = run.input.clone();
    Ok(Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        command: "events",
        input: InputReport { name, workload, events },
        store: store_report(run, opened),
        io: IoReport {
            backend: opened.engine.backend().to_string(),
            note: opened.engine.io_note().map(str::to_owned),
        },
        events: EventsReport {
            applied: measures.events_applied,
            applying_s,
            events_per_s: if applying_s > 0.0 { measures.events_applied as f64 / applying_s } else { 0.0 },
            in_flight_max: run.args.in_flight,
            get: measures.get.summary(),
            update: measures.update.summary(),
        },
        opens: run.opens.clone(),
        crash: run.crash.clone(),
        checkpoints: CheckpointsReport {
            every_events: run.args.checkpoint_every,
            duration: measures.checkpoint.summary(),
            barrier: measures.barrier.summary(),
            drain: measures.drain.summary(),
            uploaded_bytes: measures.checkpoint_bytes,
        },
        resources: ResourcesReport {
            memory_budget_bytes: run.args.memory_bytes,
            resident: resident_memory(),
            disk_budget_bytes: run.args.disk_bytes,
            local_disk_bytes_max: measures.local_disk_bytes_max,
            file_reads: stats.sum(|shard| shard.io.reads),
            file_read_bytes: stats.sum(|shard| shard.io.read_bytes),
            file_writes: stats.sum(|shard| shard.io.writes),
            file_written_bytes: stats.sum(|shard| shard.io.written_bytes),
        },
        verification: verification_report(run),
        state_out_keys: run.state_out_keys,
        total_s: run.total.as_secs_f64(),
    })
}

fn store_report(run: &Summary<'_>, opened: &Opened) -> StoreReport {
    let requests = &run.store.requests;
    StoreReport {
        url: run.store.url.clone(),
        key_groups: opened.engine.key_groups(),
        gets: requests.gets(),
        get_bytes: requests.get_bytes(),
        puts: requests.puts(),
        put_bytes: requests.put_bytes(),
        lists: requests.lists(),
        heads: requests.heads(),
        deletes: requests.deletes(),
        errors: requests.errors(),
    }
}

fn verification_report(run: &Summary<'_>) -> VerificationReport {
    let found = run.comparison;
    VerificationReport {
        keys: found.keys,
        mismatches: found.mismatches(),
        missing: found.missing,
        extra: found.extra,
        different: found.different,
        passes: found.passes,
        duration_s: run.verifying.as_secs_f64(),
        samples: found.samples.clone(),
    }
}
