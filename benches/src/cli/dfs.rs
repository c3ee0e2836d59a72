//! Flags of `dfs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use aquifer_remote::shape::{FaultRates, LatencyProfile};

use crate::byte_size::parse_bytes;

/// Flags of `dfs`. The credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY when set, else made up.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DfsArgs {
    /// Folder that holds the objects; made when absent, for this user alone. No symbolic link in it is followed.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Address and port to serve on; port 0 takes a free one. Beyond 127.0.0.1 everybody who reaches the port can try, and who has the
    /// one key (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) reads, replaces and deletes every object. Cleartext HTTP: who
    /// listens on the way reads everything and can change it.
    #[arg(long, default_value = "127.0.0.1:9000")]
    pub(crate) listen: SocketAddr,
    /// Name of the one bucket.
    #[arg(long, default_value = "aquifer")]
    pub(crate) bucket: String,
    /// Refuse every write, as a bucket does whose policy allows only reading.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// How long requests take at least: medians of 68 us, 1.5 ms, 25 ms, each with its tail.
    #[arg(long, value_name = "nvme|hdfs|s3|none", default_value = "none")]
    pub(crate) profile: LatencyProfile,
    /// Bytes per second of all connections together, each way; 0 is no limit.
    #[arg(long, value_name = "N", value_parser = parse_bytes, default_value = "0")]
    pub(crate) bandwidth_bytes_per_s: u64,
    /// Bytes per second of each connection, each way; 0 is no limit.
    #[arg(long, value_name = "N", value_parser = parse_bytes, default_value = "0")]
    pub(crate) connection_bandwidth_bytes_per_s: u64,
    /// What goes wrong with which share of the requests: 503, reset-before, reset-after, slow-close, truncated, stall
    /// or all, as in `503=2%`. May be repeated.
    #[arg(long, value_name = "KIND=RATE")]
    pub(crate) fault: Vec<String>,
    /// End when the standard input closes, as with the process that holds it.
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
    /// Of the draws of latencies and faults.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

impl DfsArgs {
    /// All `--fault` flags together; the error says which rate is wrong.
    pub(crate) fn fault_rates(&self) -> Result<FaultRates, String> {
        self.fault.join(",").parse().map_err(|error| format!("--fault: {error}"))
    }
}
