//! Flags of `show`.

use std::path::PathBuf;

/// Flags of `show`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ShowArgs {
    /// A result, written with --json by run or compare.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write a page with plots: one file that needs no network.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}
