//! The report of a run: one structure, shown as a table or written as JSON.
//!
//! JSON: `schema` grows by one when a field is renamed, removed or changes its meaning; new fields may come at any
//! time. Every number has its unit in its name; counts have none.

use serde::Serialize;

use crate::histogram::LatencySummary;
use crate::resources::ResidentMemory;

/// Version of the JSON.
pub(crate) const SCHEMA: u32 = 1;

/// See the module.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Report {
    /// Version of this structure.
    pub(crate) schema: u32,
    /// Version of the program.
    pub(crate) version: &'static str,
    /// Always `events`.
    pub(crate) command: &'static str,
    /// What was read.
    pub(crate) input: InputReport,
    /// Where the state lives, and the requests it took.
    pub(crate) store: StoreReport,
    /// The machine under the shards.
    pub(crate) io: IoReport,
    /// Applying events.
    pub(crate) events: EventsReport,
    /// Every opening of the store, in order.
    pub(crate) opens: Vec<OpenReport>,
    /// The crash on purpose; absent when there was none.
    pub(crate) crash: Option<CrashReport>,
    /// Checkpoints.
    pub(crate) checkpoints: CheckpointsReport,
    /// Memory and disk.
    pub(crate) resources: ResourcesReport,
    /// The comparison with the independent fold.
    pub(crate) verification: VerificationReport,
    /// Keys written to `--state-out`; absent without it.
    pub(crate) state_out_keys: Option<u64>,
    /// The whole run.
    pub(crate) total_s: f64,
}

/// What was read.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct InputReport {
    /// The file.
    pub(crate) name: String,
    /// `flights` or `totals`.
    pub(crate) workload: &'static str,
    /// Events in it.
    pub(crate) events: u64,
}

/// Where the state lives.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct StoreReport {
    /// URL without secrets.
    pub(crate) url: String,
    /// Key groups.
    pub(crate) key_groups: u16,
    /// Reads of objects and ranges.
    pub(crate) gets: u64,
    /// Bytes of these.
    pub(crate) get_bytes: u64,
    /// Writes of objects.
    pub(crate) puts: u64,
    /// Bytes of these.
    pub(crate) put_bytes: u64,
    /// Listings, by page.
    pub(crate) lists: u64,
    /// Lengths asked for.
    pub(crate) heads: u64,
    /// Deletions.
    pub(crate) deletes: u64,
    /// Requests that ended with an error; looking for what a new store does not have yet counts here.
    pub(crate) errors: u64,
}

/// The machine under the shards.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct IoReport {
    /// `uring`, `tokio-uring`, `glommio` or `threads`.
    pub(crate) backend: String,
    /// Why it is not io_uring.
    pub(crate) note: Option<String>,
}

/// Applying events.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct EventsReport {
    /// Applied, the replayed ones twice.
    pub(crate) applied: u64,
    /// Time for it.
    pub(crate) applying_s: f64,
    /// One by the other.
    pub(crate) events_per_s: f64,
    /// Most in flight.
    pub(crate) in_flight_max: u32,
    /// One read.
    pub(crate) get: LatencySummary,
    /// Read, change, write back.
    pub(crate) update: LatencySummary,
}

/// One opening of the store.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct OpenReport {
    /// `first`, `after the crash`.
    pub(crate) when: &'static str,
    /// Shards.
    pub(crate) shards: usize,
    /// Fencing epoch.
    pub(crate) epoch: u64,
    /// Number of the checkpoint that was restored.
    pub(crate) checkpoint: Option<u64>,
    /// Events that this checkpoint has consumed.
    pub(crate) position_events: u64,
    /// Until the store was open.
    pub(crate) open_ms: f64,
    /// Until the first read was answered, from the same start.
    pub(crate) first_read_ms: f64,
}

/// The crash on purpose.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct CrashReport {
    /// Events issued before it.
    pub(crate) at_event: u64,
    /// Of these, not yet applied.
    pub(crate) in_flight: usize,
    /// Events applied again.
    pub(crate) replayed: u64,
}

/// Checkpoints.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct CheckpointsReport {
    /// Events between two.
    pub(crate) every_events: u64,
    /// From barrier to commit.
    pub(crate) duration: LatencySummary,
    /// Longest stop of a shard.
    pub(crate) barrier: LatencySummary,
    /// Time in which this command issued nothing so that the barrier is exact.
    pub(crate) drain: LatencySummary,
    /// Bytes uploaded by them.
    pub(crate) uploaded_bytes: u64,
}

/// Memory and disk.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ResourcesReport {
    /// `--memory-bytes`.
    pub(crate) memory_budget_bytes: u64,
    /// Resident memory of the whole process.
    pub(crate) resident: ResidentMemory,
    /// `--disk-bytes`.
    pub(crate) disk_budget_bytes: u64,
    /// Most that the engine's local folder took.
    pub(crate) local_disk_bytes_max: u64,
    /// File operations of all shards: reads.
    pub(crate) file_reads: u64,
    /// Bytes of these.
    pub(crate) file_read_bytes: u64,
    /// File operations of all shards: writes.
    pub(crate) file_writes: u64,
    /// Bytes of these.
    pub(crate) file_written_bytes: u64,
}

/// The comparison with the independent fold.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct VerificationReport {
    /// Keys of the input.
    pub(crate) keys: u64,
    /// All mismatches.
    pub(crate) mismatches: u64,
    /// Not in the store.
    pub(crate) missing: u64,
    /// Only in the store.
    pub(crate) extra: u64,
    /// With another state.
    pub(crate) different: u64,
    /// Times the input was read for it.
    pub(crate) passes: u32,
    /// Time for it.
    pub(crate) duration_s: f64,
    /// The first few.
    pub(crate) samples: Vec<String>,
}
