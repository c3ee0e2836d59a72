//! What the command asks of the process of an arm, and what that answers: one JSON document a line.
//!
//! ```text
//! command ── Request ──> standard input of the arm's process ──> arm
//!         <── Answer ─── its standard output <──────────────────┘      one answer a request, in order
//! ```

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cli::Codec;
use crate::result::Round;

/// Longest line of the protocol.
pub(super) const LINE_BYTES_MAX: u64 = 16 << 20;

/// An engine that can be an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Engine {
    /// Ours.
    Aquifer,
    /// None: what is measured then is this tool.
    Nothing,
    /// A log-structured merge tree in C++, on local files.
    Rocksdb,
    /// A log-structured merge tree on an object store.
    Slatedb,
    /// A log-structured merge tree in Rust, on local files.
    Fjall,
}

impl Engine {
    /// As people write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aquifer => "aquifer",
            Self::Nothing => "nothing",
            Self::Rocksdb => "rocksdb",
            Self::Slatedb => "slatedb",
            Self::Fjall => "fjall",
        }
    }
}

/// Keys and values: the same for all arms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Data {
    pub(crate) keys: u64,
    pub(crate) key_bytes: u64,
    pub(crate) value_bytes: u64,
}

impl Data {
    /// Bytes of all keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        self.keys.saturating_mul(self.key_bytes + self.value_bytes)
    }
}

/// How a local engine cuts its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Files {
    /// Of 64 MB, as most run it.
    Usual,
    /// One big file a level: `RocksDB` reads side by side only within a file.
    Big,
}

/// A DFS that arms may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DfsAccess {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    /// Where this arm's objects go.
    pub(crate) prefix: String,
}

/// How an arm is opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prepare {
    pub(crate) engine: Engine,
    /// The arm's own folder.
    pub(crate) dir: PathBuf,
    pub(crate) data: Data,
    /// For everything: caches, write buffers, filters, indexes.
    pub(crate) memory_bytes: u64,
    /// SSD that may cache what lies on the DFS.
    pub(crate) disk_bytes: u64,
    /// Shards of ours; threads of the others.
    pub(crate) threads: u32,
    pub(crate) codec: Codec,
    pub(crate) files: Files,
    pub(crate) dfs: Option<DfsAccess>,
    /// Settings of `RocksDB` that replace ours.
    pub(crate) rocksdb_options: Option<PathBuf>,
    pub(crate) seed: u64,
}

/// What is done in one measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Doing {
    /// Write every key once, in random order, until settled.
    Load,
    /// Write random keys, `operations` of them, until settled.
    Overwrite,
    /// Read one key a call.
    Get,
    /// Read `batch` keys a call.
    MultiGet,
    /// Read a key, then write it.
    Update,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Via {
    /// Tasks on the thread that owns the data; where there is none such, threads.
    Shard,
    /// Threads of the caller's.
    Threads,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) doing: Doing,
    /// As on the command line.
    pub(crate) distribution: String,
    pub(crate) via: Via,
    pub(crate) threads: u32,
    /// On each thread, of an engine that can have several.
    pub(crate) in_flight: u32,
    /// Keys a call.
    pub(crate) batch: u32,
    /// Operations a second in all, in an open loop.
    pub(crate) rate: Option<f64>,
    /// Of `Overwrite`.
    pub(crate) operations: u64,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) seed: u64,
    /// Checkpoints that are taken meanwhile, at even distances.
    pub(crate) checkpoints: u32,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub(crate) enum Request {
    /// Open, or close and open again with other settings. What lies in the folder and on the DFS stays.
    Prepare(Box<Prepare>),
    /// Wait until nothing is merged or written any more.
    Settle,
    /// Bring into the caches what fits: read everything once, in order.
    Fill,
    /// Read the arm's files through once, past the page cache.
    Warm,
    /// Measure.
    Round(Box<Work>),
    /// Do random operations, check each against a model, and say what came out.
    Script { seed: u64, operations: u64, keys: u64 },
    /// Make all that was written durable on the DFS.
    Checkpoint,
    /// From the last checkpoint on the DFS, on an empty folder, to the first answer.
    Restore { seed: u64 },
    /// Sizes and counters.
    Stats,
    /// Close and end.
    Quit,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "did")]
pub(crate) enum Answer {
    /// Opened: version of the engine, its settings as they are, and what a reader must know.
    Prepared { version: String, settings: crate::result::Settings, notes: Vec<String> },
    /// Done, in so long.
    Done { seconds: f64, bytes: u64 },
    /// Measured.
    Measured(Box<Measured>),
    /// Random operations: how many answers were wrong, and a hash of all of them.
    Script { checked: u64, wrong: u64, digest: String },
    /// Sizes and counters.
    Stats(Stats),
    /// It could not be done. The arm's process ends.
    Failed { why: String },
}

/// A measurement, with its latencies in full.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) round: Round,
    /// Latencies in nanoseconds, each with how many calls took so long.
    #[serde(default)]
    pub(crate) response_ns: Vec<(u64, u64)>,
    /// The same from when calls really began, in an open loop.
    #[serde(default)]
    pub(crate) service_ns: Vec<(u64, u64)>,
}

/// Sizes and counters of an arm, since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stats {
    /// Bytes written to local files by the process (`/proc/self/io`).
    pub(crate) disk_written_bytes: u64,
    /// Bytes read from local files by the process.
    pub(crate) disk_read_bytes: u64,
    /// Bytes sent to the DFS, of an engine that counts them.
    pub(crate) uploaded_bytes: Option<u64>,
    /// Bytes that the state takes where it lives: on the DFS or on the SSD.
    pub(crate) state_bytes: u64,
    /// Resident memory of the process.
    pub(crate) resident_bytes: u64,
}
