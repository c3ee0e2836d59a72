//! Flags of `events`.

use std::path::PathBuf;
use std::time::Duration;

use aquifer_io::BackendChoice;

use super::io_arg::parse_io;
use super::run::parse_seconds_or_none;
use crate::byte_size::parse_bytes;

/// Flags of `events`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Options of `events`")]
pub(crate) struct EventsArgs {
    /// Events as CSV with a header line, packed with zstd or not; default: all flights from New York City in 2013.
    #[arg(long, value_name = "FILE.csv[.zst]")]
    pub(crate) input: Option<PathBuf>,
    /// Column that is the key (with --value; default: the flights' tail number).
    #[arg(long, value_name = "COLUMN", requires = "value")]
    pub(crate) key: Option<String>,
    /// Column of numbers to count, sum up and take the maximum of, per key.
    #[arg(long, value_name = "COLUMN", requires = "key")]
    pub(crate) value: Option<String>,
    /// Where the state lives: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix,
    /// webhdfs://host:port/path, https://host/path (WebDAV), file:///folder, memory:// (variables: see below);
    /// default: the embedded DFS in this process.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Refused, as `events` writes: `check --read-only` looks at a store without writing.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// How many seconds a request waits for a store that has worked and fails in passing; default: 300 while the store answers that it
    /// cannot now (500, 503, 429), and only its ordinary repeats, some 10 s, while nobody answers.
    #[arg(long, value_name = "S", value_parser = parse_seconds_or_none)]
    pub(crate) patience: Option<Duration>,
    /// Go on with the store from its newest checkpoint instead of starting a new one.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Folder of the embedded DFS, kept afterwards; default: a temporary one.
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    pub(crate) dfs_dir: Option<PathBuf>,
    /// Number of shards, each a thread of its own; default: one per core.
    #[arg(long, value_name = "N", value_parser = parse_shards)]
    pub(crate) shards: Option<usize>,
    /// Memory budget of the engine, in bytes or with KiB, MiB, GiB.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "256MiB")]
    pub(crate) memory_bytes: u64,
    /// Folder of the engine's disk cache; a sub-folder of it is used; default: a temporary one.
    #[arg(long, value_name = "DIR")]
    pub(crate) local_dir: Option<PathBuf>,
    /// Disk budget of the engine; 0 works without a disk.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "256MiB")]
    pub(crate) disk_bytes: u64,
    /// How local files are read and written.
    #[arg(long, value_name = "auto|uring|tokio-uring|glommio|threads", value_parser = parse_io, default_value = "auto")]
    pub(crate) io: BackendChoice,
    /// Events between two checkpoints.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) checkpoint_every: u64,
    /// Events in flight at most.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) in_flight: u32,
    /// Do not crash half way.
    #[arg(long)]
    pub(crate) no_crash: bool,
    /// Write the final state as CSV, sorted by key.
    #[arg(long, value_name = "FILE")]
    pub(crate) state_out: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

fn parse_shards(text: &str) -> Result<usize, String> {
    const SHARDS_MAX: usize = 1024;
    let shards: usize = text.parse().map_err(|_| "a number of shards is needed".to_owned())?;
    if (1..=SHARDS_MAX).contains(&shards) { Ok(shards) } else { Err(format!("1 to {SHARDS_MAX} shards")) }
}
