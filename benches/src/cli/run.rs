//! Flags of `run`.

use std::path::PathBuf;
use std::time::Duration;

use aquifer_io::BackendChoice;

use super::bytes_arg::parse_bytes;
use crate::run::{Distribution, Length, Mix};

/// Flags of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Workloads, one after the other on the same store: see below. Default: readrandom.
    #[arg(value_name = "WORKLOAD")]
    pub(crate) workloads: Vec<String>,
    /// A workload put together from parts, instead of a named one: get, put, update (read, then write), insert, delete.
    #[arg(long, value_name = "get:0.9,put:0.1", conflicts_with = "workloads")]
    pub(crate) ops: Option<Mix>,
    /// Which keys: uniform, zipf:0.99, latest, hotset:KEYS:OPS, shifting:KEYS:OPS:EVERY, sequential; default: the workload's own.
    #[arg(long, value_name = "DISTRIBUTION")]
    pub(crate) distribution: Option<Distribution>,
    /// Number of keys.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) keys: u64,
    /// Length of a key.
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = clap::value_parser!(u16).range(9..=65_535))]
    pub(crate) key_bytes: u16,
    /// Length of a value, at least 24: a number, or lognormal:MEDIAN:SIGMA.
    #[arg(long, value_name = "BYTES|lognormal:..", default_value = "100")]
    pub(crate) value_bytes: Length,
    /// Who asks: other threads through the client, or tasks on each shard's own thread.
    #[arg(long, value_enum, default_value_t = From::Client)]
    pub(crate) from: From,
    /// Threads that ask through the client; default: one per shard.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// Operations in flight on each thread.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub(crate) in_flight: u32,
    /// Operations a second in all (open loop: latency counts from when each was due), or max (closed loop).
    #[arg(long, value_name = "N|max", default_value = "max", value_parser = parse_rate)]
    pub(crate) rate: Rate,
    /// Time of one measurement.
    #[arg(long, value_name = "S", default_value = "5", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// Time before each measurement that is not counted.
    #[arg(long, value_name = "S", default_value = "1", value_parser = parse_seconds_or_none)]
    pub(crate) warmup: Duration,
    /// Measurements of each workload.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Seed of keys, values and operations.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Number of shards; default: one per core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) shards: usize,
    /// Memory budget of the engine, in bytes or with KiB, MiB, GiB.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "256MiB")]
    pub(crate) memory_bytes: u64,
    /// Disk budget of the engine; 0 works without a disk.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "4GiB")]
    pub(crate) disk_bytes: u64,
    /// How local files are read and written.
    #[arg(long, value_name = "auto|uring|tokio-uring|glommio|threads", default_value = "auto")]
    pub(crate) io: BackendChoice,
    /// Write every round's numbers as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    /// Other threads, by message.
    Client,
    /// Tasks beside the data.
    Shard,
}

/// How fast operations come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rate {
    /// The next when the last has ended.
    Max,
    /// So many a second.
    PerSecond(f64),
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    let rate = text.parse().ok().filter(|rate: &f64| (0.001..=1e9).contains(rate));
    rate.map(Rate::PerSecond).ok_or_else(|| "operations a second, or max".to_owned())
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = parse_seconds_or_none(text)?;
    if seconds.is_zero() { Err("more than no time".to_owned()) } else { Ok(seconds) }
}

pub(super) fn parse_seconds_or_none(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| (0.0..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds, at most a day".to_owned())
}
