//! `aquifer inspect manifest`: the segments that a manifest names.

use super::common::{Common, CountsJson, KeyJson, shown};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::store::Store;
use crate::cli::text::{self, count, human};
use crate::manifest::format::Manifest;
use crate::manifest::hot;
use crate::segment::SegmentEntry;
use serde::Serialize;

/// Metadata of a checkpoint is cut after so many bytes in tables.
const METADATA_SHOWN_BYTES: usize = 64;

/// Flags of `inspect manifest`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Document {
    store: String,
    manifest: u64,
    checkpoint: u64,
    epoch: u64,
    sequence_next: u64,
    key_groups: u16,
    groups_start: u16,
    groups_end: u16,
    /// With escapes.
    metadata: String,
    metadata_bytes: usize,
    /// Extents listed as in use, for the warm-up of a restore; `null` if the list makes no sense to this build.
    hot_extents: Option<u64>,
    hot_list_bytes: usize,
    entries: u64,
    bytes: u64,
    levels: Vec<Level>,
    segments: Vec<SegmentJson>,
}

#[derive(Serialize)]
struct Level {
    level: u8,
    runs: usize,
    segments: usize,
    entries: u64,
    bytes: u64,
}

/// A segment as the manifest has it.
#[derive(Serialize)]
pub(super) struct SegmentJson {
    /// Its place in the manifest: how `inspect segment` names it.
    segment: usize,
    level: u8,
    sequence: u64,
    object: String,
    offset: u64,
    bytes: u32,
    tail_bytes: u32,
    footer_crc: String,
    tag: String,
    groups_start: u16,
    groups_end: u16,
    counts: CountsJson,
    range_deletes: u32,
    smallest: KeyJson,
    largest: KeyJson,
}

impl SegmentJson {
    pub(super) fn of(place: usize, entry: &SegmentEntry) -> Self {
        Self {
            segment: place,
            level: entry.level,
            sequence: entry.sequence,
            object: entry.object.to_string(),
            offset: entry.offset,
            bytes: entry.bytes,
            tail_bytes: entry.tail_bytes,
            footer_crc: format!("{:08x}", entry.footer_crc),
            tag: format!("{:016x}", entry.tag),
            groups_start: entry.groups.start,
            groups_end: entry.groups.end,
            counts: CountsJson::of(&entry.counts),
            range_deletes: entry.range_deletes,
            smallest: KeyJson::of(&entry.smallest),
            largest: KeyJson::of(&entry.largest),
        }
    }
}

/// The manifest that flags ask for.
pub(super) async fn chosen(common: &Common) -> Result<(Store, Manifest), Failure> {
    let store = common.store.open().await?;
    let manifest = match common.manifest {
        None => store.manifest_of(common.state).await?,
        Some(number) => match store.manifests.find(number).await? {
            Some(manifest) => manifest,
            None => return Err(store.not_there(&format!("manifest {number}"))),
        },
    };
    Ok((store, manifest))
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let (store, manifest) = chosen(&args.common).await?;
    let document = Document {
        store: store.remote.describe(),
        manifest: manifest.number,
        checkpoint: manifest.checkpoint,
        epoch: manifest.epoch,
        sequence_next: manifest.sequence_next,
        key_groups: manifest.key_groups,
        groups_start: manifest.groups.start,
        groups_end: manifest.groups.end,
        metadata: text::escaped(&manifest.metadata),
        metadata_bytes: manifest.metadata.len(),
        hot_extents: manifest.hot_list().ok().map(|list| hot::extents(&list)),
        hot_list_bytes: manifest.hot.len(),
        entries: manifest.segments.iter().map(|segment| segment.counts.entries).sum(),
        bytes: manifest.segments.iter().map(|segment| u64::from(segment.bytes)).sum(),
        levels: levels(&manifest.segments),
        segments: manifest
            .segments
            .iter()
            .enumerate()
            .map(|(at, entry)| SegmentJson::of(at, entry))
            .collect(),
    };
    if args.common.json { output::json(&document) } else { print(&document, &manifest) }
}

/// Segments stand by level.
fn levels(segments: &[SegmentEntry]) -> Vec<Level> {
    let of_level = |segments: &[SegmentEntry]| {
        let level = segments.first().map_or(0, |segment| segment.level);
        // The bottom level is one run; above it a sequence is one.
        let runs = if level > 0 { 1 } else { segments.chunk_by(|a, b| a.sequence == b.sequence).count() };
        Level {
            level,
            runs,
            segments: segments.len(),
            entries: segments.iter().map(|segment| segment.counts.entries).sum(),
            bytes: segments.iter().map(|segment| u64::from(segment.bytes)).sum(),
        }
    };
    segments.chunk_by(|a, b| a.level == b.level).map(of_level).collect()
}

/// What the manifest lists as in use, or why that cannot be read.
fn hot_extents(manifest: &Manifest) -> String {
    match manifest.hot_list() {
        Ok(list) => format!("{} in {}", count(hot::extents(&list)), human(manifest.hot.len() as u64)),
        Err(what) => format!("unreadable: {what}"),
    }
}

fn print(document: &Document, manifest: &Manifest) -> Result<(), Failure> {
    output::facts(&[
        ("store", document.store.clone()),
        ("manifest", document.manifest.to_string()),
        ("checkpoint", document.checkpoint.to_string()),
        ("epoch", document.epoch.to_string()),
        ("next sequence", document.sequence_next.to_string()),
        (
            "key groups",
            format!("{} to {} of {}", document.groups_start, document.groups_end, document.key_groups),
        ),
        ("metadata", text::shortened(&manifest.metadata, METADATA_SHOWN_BYTES)),
        ("hot extents", hot_extents(manifest)),
        ("entries", count(document.entries)),
        ("bytes", human(document.bytes)),
    ])?;
    let level = |level: &Level| {
        let counts = [level.runs as u64, level.segments as u64, level.entries].map(count);
        std::iter::once(level.level.to_string()).chain(counts).chain([human(level.bytes)]).collect()
    };
    output::table(&["level", "runs", "segments", "entries", "bytes"], 5, document.levels.iter().map(level))?;
    let head = [
        "segment",
        "level",
        "sequence",
        "entries",
        "deletions",
        "merges",
        "expiring",
        "ranges",
        "bytes",
        "groups",
        "smallest",
        "largest",
        "object@offset",
    ];
    let rows = manifest.segments.iter().enumerate().map(|(place, segment)| {
        vec![
            place.to_string(),
            segment.level.to_string(),
            segment.sequence.to_string(),
            count(segment.counts.entries),
            count(segment.counts.tombstones),
            count(segment.counts.merges),
            count(segment.counts.expiring),
            count(u64::from(segment.range_deletes)),
            human(u64::from(segment.bytes)),
            format!("{}..{}", segment.groups.start, segment.groups.end),
            shown(&segment.smallest),
            shown(&segment.largest),
            format!("{}@{}", segment.object, segment.offset),
        ]
    });
    output::table(&head, 9, rows)
}
