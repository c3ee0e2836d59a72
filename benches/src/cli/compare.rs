//! Flags of `compare`.

use std::path::PathBuf;
use std::time::Duration;

use aquifer_remote::shape::LatencyProfile;
use serde::{Deserialize, Serialize};

use super::compare_row::RowName;
use super::device::parse_seconds;
use super::output_args::OutputArgs;
use super::run::parse_seconds_or_none;
use crate::byte_size::parse_bytes;

/// What ours is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Against {
    /// On the local SSD (feature `rocksdb`).
    Rocksdb,
    /// On the same DFS (feature `slatedb`).
    Slatedb,
    /// On the local SSD (feature `fjall`).
    Fjall,
    /// No engine: what the tool itself costs. In every build.
    Nothing,
}

/// Compression of data blocks, on all arms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Codec {
    /// Blocks as they are.
    None,
    /// zstd, level 1.
    Zstd,
}

/// A set of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Suite {
    /// Every row that is there for the engine compared with.
    State,
}

/// Flags of `compare`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CompareArgs {
    /// The engine to compare with.
    #[arg(long, value_enum, default_value_t = Against::Rocksdb)]
    pub(crate) against: Against,
    /// Measure a whole set of rows; the default when no rows are named.
    #[arg(long, value_enum, conflicts_with = "rows")]
    pub(crate) suite: Option<Suite>,
    /// Only these rows: see below.
    #[arg(long, value_name = "ROW,..", value_delimiter = ',')]
    pub(crate) rows: Vec<RowName>,
    /// Number of keys.
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1 << 36))]
    pub(crate) keys: u64,
    /// Length of a key.
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = clap::value_parser!(u64).range(9..=4096))]
    pub(crate) key_bytes: u64,
    /// Length of a value; twice that in the rows of checkpoint and restore.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u64).range(24..=1 << 20))]
    pub(crate) value_bytes: u64,
    /// Time of one measurement.
    #[arg(long, value_name = "S", default_value = "5", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// Time before each measurement that is not counted.
    #[arg(long, value_name = "S", default_value = "1", value_parser = parse_seconds_or_none)]
    pub(crate) warmup: Duration,
    /// Measurements of each arm in each row; the arms take turns.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// The same of the rows that load and overwrite, which take a minute each.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) fill_rounds: u32,
    /// How often a round is measured again when others kept a fifth of a core busy.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub(crate) repeats: u32,
    /// Threads of each arm; of ours, shards.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    /// Memory of each arm, in percent of the data, at least 16 MiB.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) memory_percent: u64,
    /// The same in the rows that read from memory.
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) all_memory_percent: u64,
    /// SSD of arms whose state lives on the DFS, in percent of the data.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub(crate) disk_percent: u64,
    /// Operations a second in the row with an open loop.
    #[arg(long, value_name = "N", default_value_t = 25_000.0, value_parser = parse_rate)]
    pub(crate) rate: f64,
    /// How the DFS answers in the rows where state, checkpoints or restores live on it: none, nvme, hdfs, s3.
    #[arg(long, value_name = "PROFILE", default_value = "hdfs")]
    pub(crate) profile: LatencyProfile,
    /// Compression of data blocks, on all arms.
    #[arg(long, value_enum, default_value_t = Codec::None)]
    pub(crate) compression: Codec,
    /// Settings of RocksDB: a file in its OPTIONS format takes the place of ours, lines of key=value go on top of them.
    #[arg(long, value_name = "FILE")]
    pub(crate) rocksdb_options: Option<PathBuf>,
    /// Seed of keys, values and operations.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Folder for everything; default: TMPDIR, else /var/tmp.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Disk that must be free, instead of what the rows are thought to need.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) free_bytes_min: Option<u64>,
    /// Where the result goes.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (1.0..=1e9).contains(rate));
    rate.ok_or_else(|| "operations a second, at least 1".to_owned())
}
