//! `aquifer inspect`: what a store, a manifest, a segment or a block holds.

mod common;
mod manifest;
mod open_segment;
mod segment;
mod store;
mod block;

use super::failure::Failure;

/// What to look at.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Descriptor, partitions, manifests and checkpoints, packs, compaction jobs.
    Store(store::Args),
    /// The segments that a manifest names.
    Manifest(manifest::Args),
    /// Footer, head, partitions, counts and filters of a segment; with --blocks its blocks.
    Segment(segment::Args),
    /// The entries of a data block.
    Block(block::Args),
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Store(args) => store::run(&args).await,
        Command::Manifest(args) => manifest::run(&args).await,
        Command::Segment(args) => segment::run(&args).await,
        Command::Block(args) => block::run(&args).await,
    }
}
