//! Flags of `remote`.

use std::path::PathBuf;
use std::time::Duration;

use super::device::parse_seconds;
use crate::byte_size::parse_bytes;

/// Flags of `remote`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RemoteArgs {
    /// Store to measure, as for `events`; default: the embedded DFS in a process of its own.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Rounds; each measures every group with every contender.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Time of one measurement of requests.
    #[arg(long, value_name = "S", value_parser = parse_seconds, default_value = "2")]
    pub(crate) seconds: Duration,
    /// Numbers of ranged GETs in flight, and so of connections.
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "1,16,64,256", value_parser = parse_connections)]
    pub(crate) connections: Vec<usize>,
    /// Bytes of the large object.
    #[arg(long, value_name = "BYTES", value_parser = parse_size, default_value = "256MiB")]
    pub(crate) size_bytes: u64,
    /// Only the groups whose name contains this: gets, large, hedge, wire, or more of a name as in `64 in flight`.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Folder for the folders of the embedded DFS and the file to upload; default: TMPDIR, else /var/tmp.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Write every round's numbers as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl RemoteArgs {
    /// Whether a group of this name is chosen.
    pub(crate) fn wants(&self, group: &str) -> bool {
        self.only.as_ref().is_none_or(|only| group.contains(only.as_str()))
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    const RANGE: std::ops::RangeInclusive<u64> = (1 << 20)..=(64 << 30);
    let bytes = parse_bytes(text)?;
    if RANGE.contains(&bytes) { Ok(bytes) } else { Err("1MiB to 64GiB".to_owned()) }
}

fn parse_connections(text: &str) -> Result<usize, String> {
    const CONNECTIONS_MAX: usize = 512;
    let number: usize = text.parse().map_err(|_| "a number of connections is needed".to_owned())?;
    let valid = (1..=CONNECTIONS_MAX).contains(&number);
    if valid { Ok(number) } else { Err(format!("1 to {CONNECTIONS_MAX} connections")) }
}
