//! Flags of `check`.

/// Flags of `check`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CheckArgs {
    /// The store, as for `events`.
    #[arg(long, value_name = "URL")]
    pub(crate) store: String,
    /// Write nothing: say what lies there, and not whether it may be written to.
    #[arg(long)]
    pub(crate) read_only: bool,
}
