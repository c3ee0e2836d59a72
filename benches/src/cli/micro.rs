//! Flags of `micro`.

use std::path::PathBuf;

/// Flags of `micro`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MicroArgs {
    /// Keys of the point reads.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    pub(crate) keys: u64,
    /// Read-modify-writes of hot keys.
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    pub(crate) updates: u64,
    /// Measurements of each row; each measures both sides.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Only the rows of the groups whose name contains this: get, put, rmw, filter.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Write every round's numbers as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}
