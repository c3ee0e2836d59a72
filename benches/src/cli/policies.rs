//! Flags of `policies`.

use std::path::PathBuf;

/// Flags of `policies`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PoliciesArgs {
    /// Keys of the traces that are made up, and, at most, those read from the events.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub(crate) keys: u64,
    /// Accesses of each trace that is made up.
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    pub(crate) accesses: u64,
    /// Sizes of the cache, in percent of a trace's keys.
    #[arg(long, value_name = "PERCENT,..", default_value = "1,10,30", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) percents: Vec<u8>,
    /// Write every number as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}
