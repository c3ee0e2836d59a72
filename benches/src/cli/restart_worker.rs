//! Flags of the hidden command that row `restart` starts.

use std::path::PathBuf;

/// What the process does first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RestartWorkerWork {
    /// Write all entries.
    Fill,
    /// Open what is there and ask for it.
    Open,
}

/// Flags of the hidden command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RestartWorkerArgs {
    /// What the process does first.
    #[arg(value_enum)]
    pub(crate) work: RestartWorkerWork,
    /// The tier's file.
    pub(crate) path: PathBuf,
    /// Entries.
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1 << 36))]
    pub(crate) entries: u64,
}
