//! Flags of `run`.

use std::path::PathBuf;
use std::time::Duration;

use aquifer::Compression;
use aquifer_io::BackendChoice;
use aquifer_remote::Prices;
use aquifer_remote::shape::LatencyProfile;

use super::cache_row::RowName;
use super::io_arg::parse_io;
use super::output_args::OutputArgs;
use super::phase_name::PhaseName;
use crate::byte_size::parse_bytes;
use crate::load::distribution::Distribution;
use crate::load::length::Length;
use crate::load::mix::Mix;

/// Flags of `run`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunArgs {
    /// Workloads, one after the other on the same store: see below. Default: readrandom.
    #[arg(value_name = "WORKLOAD")]
    pub(crate) workloads: Vec<String>,
    /// A workload put together from parts, instead of a named one: see "Operations" below.
    #[arg(long, value_name = "get:0.9,put:0.1", conflicts_with = "workloads", help_heading = WORK)]
    pub(crate) ops: Option<Mix>,
    /// Which keys: uniform, zipf:THETA, latest, hotset:KEYS:OPS, shifting:KEYS:OPS:EVERY, sequential; default: the workload's own.
    #[arg(long, value_name = "DISTRIBUTION", help_heading = WORK)]
    pub(crate) distribution: Option<Distribution>,
    /// Number of keys [default: 1000000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 40), help_heading = WORK)]
    pub(crate) keys: Option<u64>,
    /// Length of a key, 9 to 65535 [default: 16].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(9..=65_535), help_heading = WORK)]
    pub(crate) key_bytes: Option<u16>,
    /// Length of a value, at least 24: a number, or lognormal:MEDIAN:SIGMA [default: 100].
    #[arg(long, value_name = "BYTES|lognormal:..", help_heading = WORK)]
    pub(crate) value_bytes: Option<Length>,
    /// Seed of keys, values and operations [default: 1].
    #[arg(long, value_name = "N", help_heading = WORK)]
    pub(crate) seed: Option<u64>,
    /// Keys of one multi-get.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096), help_heading = WORK)]
    pub(crate) batch: u32,
    /// Entries of one scan.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=4096), help_heading = WORK)]
    pub(crate) scan_entries: u32,
    /// Who asks: other threads through the client, or tasks on each shard's own thread.
    #[arg(long, value_enum, default_value_t = From::Client, help_heading = LOAD)]
    pub(crate) from: From,
    /// Threads that ask through the client; default: one per shard.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = LOAD)]
    pub(crate) threads: Option<u16>,
    /// Operations in flight on each thread.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=16_384), help_heading = LOAD)]
    pub(crate) in_flight: u32,
    /// Operations a second in all (open loop: latency counts from when each was due), or max (closed loop).
    #[arg(long, value_name = "N|max", default_value = "max", value_parser = parse_rate, help_heading = LOAD)]
    pub(crate) rate: Rate,
    /// Look for the highest rate whose p99 keeps to --p99-us, in open loop; each rate tried is reported.
    #[arg(long, conflicts_with = "rate", help_heading = LOAD)]
    pub(crate) rate_sweep: bool,
    /// The p99 that --rate-sweep allows, in microseconds.
    #[arg(long, value_name = "US", default_value = "1000", value_parser = parse_us, help_heading = LOAD)]
    pub(crate) p99_us: f64,
    /// Time of one round.
    #[arg(long, value_name = "S", default_value = "5", value_parser = parse_seconds, help_heading = LOAD)]
    pub(crate) seconds: Duration,
    /// Time before each round that is not counted.
    #[arg(long, value_name = "S", default_value = "1", value_parser = parse_seconds_or_none, help_heading = LOAD)]
    pub(crate) warmup: Duration,
    /// Rounds of each workload; reported is their median with minimum and maximum.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = LOAD)]
    pub(crate) rounds: u32,
    /// Measure by tier, with the ceiling of each: memory, ssd, remote, mixed, checkpoint, restore, rescale, or all. See "Phases".
    #[arg(long, value_name = "PHASE,..", value_delimiter = ',', help_heading = ENGINE)]
    pub(crate) phases: Vec<PhaseName>,
    /// Measure a whole set of rows, each beside its ceiling and its goal: see "Suites". Lanes run on the shards; rounds take turns.
    #[arg(long, value_enum, conflicts_with_all = ["workloads", "ops", "distribution", "phases", "rate", "rate_sweep", "store", "profile"], help_heading = ENGINE)]
    pub(crate) suite: Option<RunSuite>,
    /// Only these rows of the suite.
    #[arg(long, value_name = "ROW,..", value_delimiter = ',', requires = "suite", help_heading = ENGINE)]
    pub(crate) rows: Vec<RowName>,
    /// Number of shards; 0: one per core.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_shards, help_heading = ENGINE)]
    pub(crate) shards: usize,
    /// Memory budget of the engine, in bytes or with KiB, MiB, GiB.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "256MiB", help_heading = ENGINE)]
    pub(crate) memory_bytes: u64,
    /// The same as a share of the data.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, conflicts_with = "memory_bytes", help_heading = ENGINE)]
    pub(crate) memory_percent: Option<f64>,
    /// Disk budget of the engine; 0 works without a disk.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "4GiB", help_heading = ENGINE)]
    pub(crate) disk_bytes: u64,
    /// The same as a share of the data.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, conflicts_with = "disk_bytes", help_heading = ENGINE)]
    pub(crate) disk_percent: Option<f64>,
    /// How local files are read and written.
    #[arg(long, value_name = "auto|uring|tokio-uring|glommio|threads", value_parser = parse_io, default_value = "auto", help_heading = ENGINE)]
    pub(crate) io: BackendChoice,
    /// Compression of blocks: none, or zstd with its level.
    #[arg(long, value_name = "none|zstd:1", default_value = "zstd:1", value_parser = parse_compression, help_heading = ENGINE)]
    pub(crate) compression: Compression,
    /// A DFS of yours, instead of the embedded one: its URL, as in s3://bucket/prefix. What is written there is deleted at the end.
    #[arg(long, value_name = "URL", help_heading = DFS)]
    pub(crate) store: Option<String>,
    /// Latencies that the DFS shows: none, nvme, hdfs, s3; with --phases several. Default: none, with --phases hdfs. Loading goes without.
    #[arg(long, value_name = "PROFILE,..", value_delimiter = ',', help_heading = DFS)]
    pub(crate) profile: Vec<LatencyProfile>,
    /// Price table of the DFS: none, s3, gcs, azure (list prices; reads from the same region, so no egress).
    #[arg(long, value_name = "TABLE", default_value = "s3", help_heading = DFS)]
    pub(crate) prices: Prices,
    /// 1,000 reads, in US dollars; default: the table's (s3: 0.0004).
    #[arg(long, value_name = "USD", value_parser = parse_usd, help_heading = DFS)]
    pub(crate) price_get: Option<f64>,
    /// 1,000 writes, in US dollars; default: the table's (s3: 0.005).
    #[arg(long, value_name = "USD", value_parser = parse_usd, help_heading = DFS)]
    pub(crate) price_put: Option<f64>,
    /// A GiB kept for a month, in US dollars; default: the table's (s3: 0.023).
    #[arg(long, value_name = "USD", value_parser = parse_usd, help_heading = DFS)]
    pub(crate) price_gb_month: Option<f64>,
    /// A GiB read, in US dollars [default: 0].
    #[arg(long, value_name = "USD", value_parser = parse_usd, help_heading = DFS)]
    pub(crate) price_gb_read: Option<f64>,
    /// The machine for an hour, in US dollars [default: 0].
    #[arg(long, value_name = "USD", value_parser = parse_usd, default_value = "0", help_heading = DFS)]
    pub(crate) price_machine: f64,
    /// Load into this new folder, and leave the loaded store there for --reuse. Measurements change nothing in it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["reuse", "store"], help_heading = FILES)]
    pub(crate) keep: Option<PathBuf>,
    /// Take the loaded store of this folder, made by --keep, instead of loading.
    #[arg(long, value_name = "DIR", conflicts_with = "store", help_heading = FILES)]
    pub(crate) reuse: Option<PathBuf>,
    /// Folder for the embedded DFS and the SSD tier [default: $TMPDIR or /var/tmp]. Everything in it is removed again.
    #[arg(long, value_name = "DIR", help_heading = FILES)]
    pub(crate) dir: Option<PathBuf>,
    /// No line of progress each second.
    #[arg(long, short, help_heading = FILES)]
    pub(crate) quiet: bool,
    /// Where the results go.
    #[command(flatten, next_help_heading = FILES)]
    pub(crate) output: OutputArgs,
}

const WORK: &str = "What is done";
const LOAD: &str = "How it is measured";
const ENGINE: &str = "The engine";
const DFS: &str = "The DFS";
const FILES: &str = "Files and output";

impl RunArgs {
    /// What the DFS costs.
    pub(crate) fn all_prices(&self) -> Prices {
        let table = self.prices.in_region();
        Prices {
            read_usd_per_1000: self.price_get.unwrap_or(table.read_usd_per_1000),
            write_usd_per_1000: self.price_put.unwrap_or(table.write_usd_per_1000),
            storage_usd_per_gib_month: self.price_gb_month.unwrap_or(table.storage_usd_per_gib_month),
            egress_usd_per_gib: self.price_gb_read.unwrap_or(table.egress_usd_per_gib),
            ..table
        }
    }
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

impl From {
    /// As the flag takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Shard => "shard",
        }
    }
}

/// A set of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RunSuite {
    /// What the memory and SSD cache and its read plan are to reach.
    Cache,
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

fn parse_us(text: &str) -> Result<f64, String> {
    let us = text.parse().ok().filter(|us: &f64| (1.0..=1e9).contains(us));
    us.ok_or_else(|| "microseconds, at least 1".to_owned())
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let percent = percent.filter(|percent: &f64| (0.0..=10_000.0).contains(percent));
    percent.ok_or_else(|| "percent of the data, from 0 to 10000".to_owned())
}

fn parse_usd(text: &str) -> Result<f64, String> {
    let usd = text.parse().ok().filter(|usd: &f64| (0.0..=1e9).contains(usd));
    usd.ok_or_else(|| "US dollars, 0 or more".to_owned())
}

fn parse_shards(text: &str) -> Result<usize, String> {
    let shards = text.parse().ok().filter(|shards| *shards <= 256);
    shards.ok_or_else(|| "a number of shards, at most 256; 0: one per core".to_owned())
}

fn parse_compression(text: &str) -> Result<Compression, String> {
    let level = |text: &str| text.parse().ok().filter(|level| (1..=19).contains(level));
    match text.split_once(':').unwrap_or((text, "1")) {
        ("none", _) if text == "none" => Ok(Compression::None),
        ("zstd", found) => {
            let level = level(found).ok_or_else(|| "zstd has the levels 1 to 19".to_owned())?;
            Ok(Compression::Zstd { level })
        }
        _ => Err("none, or zstd:LEVEL".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::command::{Cli, Command};

    fn parse(flags: &[&str]) -> Result<RunArgs, clap::Error> {
        let all = ["aquifer-bench", "run"].into_iter().chain(flags.iter().copied());
        match Cli::try_parse_from(all)?.command {
            Some(Command::Run(args)) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_that_make_no_sense_exit_with_2() {
        for flags in [
            &["--keys", "0"][..],
            &["--key-bytes", "8"],
            &["--value-bytes", "lots"],
            &["--ops", "fetch:1"],
            &["--ops", "get:1", "readrandom"],
            &["--distribution", "normal"],
            &["--rate", "0"],
            &["--rate", "10", "--rate-sweep"],
            &["--p99-us", "0"],
            &["--seconds", "0"],
            &["--rounds", "0"],
            &["--phases", "moon"],
            &["--shards", "257"],
            &["--memory-percent", "10", "--memory-bytes", "1GiB"],
            &["--disk-percent", "-1"],
            &["--profile", "tape"],
            &["--prices", "free"],
            &["--price-get", "-1"],
            &["--keep", "/x", "--reuse", "/y"],
            &["--compression", "zstd:0"],
            &["--compression", "none:1"],
            &["--batch", "0"],
            &["--suite", "state"],
            &["--suite", "cache", "readrandom"],
            &["--suite", "cache", "--phases", "all"],
            &["--suite", "cache", "--rows", "get"],
            &["--rows", "get-ssd"],
        ] {
            let error = parse(flags).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{flags:?}");
        }
    }

    #[test]
    fn prices_are_a_table_with_changes() {
        let prices = parse(&["--price-get", "1", "--price-machine", "0.5"]).unwrap().all_prices();
        assert_eq!(prices.read_usd_per_1000, 1.0);
        assert_eq!(prices.write_usd_per_1000, Prices::S3.write_usd_per_1000);
        assert_eq!(prices.egress_usd_per_gib, 0.0);
        assert_eq!(parse(&["--prices", "none"]).unwrap().all_prices(), Prices::NONE);
    }
}
