//! What all looks into a store share: their flags, and how keys and counts are shown.

use crate::cli::store::{StateArgs, StoreArgs};
use crate::cli::text;
use crate::key::{group_of, user_key};
use serde::Serialize;

/// Flags of what looks into one manifest.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Number of a manifest, whether or not it committed a checkpoint.
    #[arg(long, value_name = "NUMBER", conflicts_with = "checkpoint")]
    pub(super) manifest: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// An engine key for programs.
#[derive(Serialize)]
pub(super) struct KeyJson {
    pub(super) group: u16,
    /// With escapes.
    pub(super) key: String,
}

impl KeyJson {
    pub(super) fn of(engine_key: &[u8]) -> Self {
        Self { group: group_of(engine_key).unwrap_or_default(), key: text::escaped(user_key(engine_key)) }
    }
}

/// Keys in tables are cut after so many bytes.
const KEY_SHOWN_BYTES: usize = 48;

/// An engine key for people: group and bytes.
pub(super) fn shown(engine_key: &[u8]) -> String {
    let group = group_of(engine_key).unwrap_or_default();
    format!("{group}:{}", text::shortened(user_key(engine_key), KEY_SHOWN_BYTES))
}

/// Counts of entries for programs.
#[derive(Serialize)]
pub(super) struct CountsJson {
    pub(super) entries: u64,
    pub(super) tombstones: u64,
    pub(super) merges: u64,
    pub(super) expiring: u64,
    pub(super) expiry_ms_min: Option<u64>,
    pub(super) expiry_ms_max: Option<u64>,
    pub(super) raw_bytes: u64,
}

impl CountsJson {
    pub(super) fn of(counts: &crate::segment::counts::Counts) -> Self {
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
