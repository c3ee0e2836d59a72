//! `aquifer inspect`: what a store, a manifest, a segment or a block holds.

mod manifest;
mod open_segment;
mod segment;
mod store;
mod block;

use super::failure::Failure;
use super::store::{StateArgs, StoreArgs};
use super::text;
use crate::key::{group_of, user_key};
use serde::Serialize;

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

/// Flags of what looks into one manifest.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Common {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Number of a manifest, whether or not it committed a checkpoint.
    #[arg(long, value_name = "NUMBER", conflicts_with = "checkpoint")]
    manifest: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Store(args) => store::run(&args).await,
        Command::Manifest(args) => manifest::run(&args).await,
        Command::Segment(args) => segment::run(&args).await,
        Command::Block(args) => block::run(&args).await,
    }
}

/// An engine key for programs.
#[derive(Serialize)]
struct KeyJson {
    group: u16,
    /// With escapes.
    key: String,
}

impl KeyJson {
    fn of(engine_key: &[u8]) -> Self {
        Self { group: group_of(engine_key).unwrap_or_default(), key: text::escaped(user_key(engine_key)) }
    }
}

/// Keys in tables are cut after so many bytes.
const KEY_SHOWN_BYTES: usize = 48;

/// An engine key for people: group and bytes.
fn shown(engine_key: &[u8]) -> String {
    let group = group_of(engine_key).unwrap_or_default();
    format!("{group}:{}", text::shortened(user_key(engine_key), KEY_SHOWN_BYTES))
}

/// Counts of entries for programs.
#[derive(Serialize)]
struct CountsJson {
    entries: u64,
    tombstones: u64,
    merges: u64,
    expiring: u64,
    expiry_ms_min: Option<u64>,
    expiry_ms_max: Option<u64>,
    raw_bytes: u64,
}

impl CountsJson {
    fn of(counts: &crate::segment::counts::Counts) -> Self {
        let expires = counts.expiring > 0;
        Self {
            entries: counts.entries,
            tombstones: counts.tombstones,
            merges: counts.merges,
            expiring: counts.expiring,
            expiry_ms_min: expires.then_some(counts.expiry_ms_min),
            expiry_ms_max: expires.then_some(counts.expiry_ms_max),
            raw_bytes: counts.raw_bytes,
        }
    }
}
