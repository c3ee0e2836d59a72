//! Flags of `diff`.

use std::path::PathBuf;

/// Flags of `diff`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DiffArgs {
    /// The result before, written with --json by run or compare.
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The result after.
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    /// Show every metric, also those that say what happened and not how well.
    #[arg(long)]
    pub(crate) all: bool,
    /// End with exit code 4 when something is slower, or more costly, beyond the noise.
    #[arg(long)]
    pub(crate) fail_on_regression: bool,
}
