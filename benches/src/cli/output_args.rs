//! Flags of `run` and `compare` that say where the results go.

use std::path::PathBuf;

/// See the module. Places that cannot be written are found out before anything is measured.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OutputArgs {
    /// Write every number of every round as JSON (docs/result-schema.md says what is in it).
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with plots: one file that needs no network.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write the latencies into this folder as HdrHistogram logs (.hlog) and percentile tables (.hgrm); made when absent.
    #[arg(long, value_name = "DIR")]
    pub(crate) hlog: Option<PathBuf>,
}
