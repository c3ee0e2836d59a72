//! `aquifer inspect segment`: footer, head, partitions and blocks of a segment.

use super::common::{Common, CountsJson, KeyJson, shown};
use super::manifest::SegmentJson;
use super::open_segment::OpenSegment;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::text::{count, human};
use crate::segment::partition::{PartitionHandle, PartitionMeta};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;

/// Metas that are read at once.
const READS_IN_FLIGHT: usize = 16;

/// Flags of `inspect segment`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The segment: its number in `inspect manifest`, or object@offset.
    segment: String,
    /// List its data blocks too.
    #[arg(long)]
    blocks: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    entry: SegmentJson,
    partitions_bytes: u32,
    dictionary_bytes: u32,
    head_bytes: u32,
    range_deletions: Vec<RangeJson>,
    /// Groups that have entries.
    key_groups: usize,
    blocks: usize,
    filter_bytes: usize,
    filter_bits_per_key: f64,
    partitions: Vec<PartitionJson>,
}

#[derive(Serialize)]
struct RangeJson {
    from: KeyJson,
    /// Exclusive.
    to: KeyJson,
}

#[derive(Serialize)]
struct PartitionJson {
    partition: usize,
    offset: u32,
    data_bytes: u32,
    meta_bytes: u32,
    meta_crc: String,
    blocks: usize,
    filter_bytes: usize,
    filter_bits_per_key: f64,
    counts: CountsJson,
    smallest: KeyJson,
    largest: KeyJson,
    /// With `--blocks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    block_list: Option<Vec<BlockJson>>,
}

#[derive(Serialize)]
struct BlockJson {
    /// Its number in the segment: how `inspect block` names it.
    block: usize,
    offset: u32,
    bytes: u32,
    crc: String,
    /// No key of it is below, every key before is.
    separator: KeyJson,
}

#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn bits_per_key(filter_bytes: usize, entries: u64) -> f64 {
    let bits = filter_bytes as f64 * 8.0 / entries.max(1) as f64;
    (bits * 100.0).round() / 100.0
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let open = OpenSegment::open(&args.common, &args.segment).await?;
    let handles: Vec<_> = (0..open.head.partitions()).filter_map(|at| open.head.partition(at)).collect();
    let metas: Vec<PartitionMeta> = stream::iter(handles.iter().map(|handle| open.meta(*handle)))
        .buffered(READS_IN_FLIGHT)
        .try_collect()
        .await?;
    let document = document(&open, &handles, &metas, args.blocks);
    if args.common.json { output::json(&document) } else { print(&document, &open, &metas) }
}

fn document(
    open: &OpenSegment,
    handles: &[PartitionHandle],
    metas: &[PartitionMeta],
    blocks: bool,
) -> Document {
    let mut first_block = 0;
    let mut partitions = Vec::with_capacity(metas.len());
    for (number, (handle, meta)) in handles.iter().zip(metas).enumerate() {
        let block = |at: usize| {
            let block = meta.block(at, handle.offset)?;
            Some(BlockJson {
                block: first_block + at,
                offset: block.offset,
                bytes: block.bytes,
                crc: format!("{:08x}", block.crc),
                separator: KeyJson::of(meta.separator(at)),
            })
        };
        partitions.push(PartitionJson {
            partition: number,
            offset: handle.offset,
            data_bytes: handle.data_bytes,
            meta_bytes: handle.meta_bytes,
            meta_crc: format!("{:08x}", handle.meta_crc),
            blocks: meta.blocks(),
            filter_bytes: meta.filter_bytes(),
            filter_bits_per_key: bits_per_key(meta.filter_bytes(), meta.counts().entries),
            counts: CountsJson::of(meta.counts()),
            smallest: KeyJson::of(meta.smallest()),
            largest: KeyJson::of(meta.largest()),
            block_list: blocks.then(|| (0..meta.blocks()).filter_map(block).collect()),
        });
        first_block += meta.blocks();
    }
    let filter_bytes = metas.iter().map(PartitionMeta::filter_bytes).sum();
    let range = |(from, to): (&[u8], &[u8])| RangeJson { from: KeyJson::of(from), to: KeyJson::of(to) };
    Document {
        entry: SegmentJson::of(open.number, &open.entry),
        partitions_bytes: open.footer.partitions_bytes,
        dictionary_bytes: open.footer.dictionary.map_or(0, |dictionary| dictionary.bytes),
        head_bytes: open.footer.head.bytes,
        range_deletions: open.head.range_deletes().iter().map(range).collect(),
        key_groups: open.head.groups().count(),
        blocks: first_block,
        filter_bytes,
        filter_bits_per_key: bits_per_key(filter_bytes, open.entry.counts.entries),
        partitions,
    }
}

fn print(document: &Document, open: &OpenSegment, metas: &[PartitionMeta]) -> Result<(), Failure> {
    let (entry, counts) = (&open.entry, &open.entry.counts);
    let ratio = |bytes: u32| format!("{bytes} bytes");
    output::facts(&[
        ("segment", format!("{} at offset {}", entry.object, entry.offset)),
        ("tag, sequence, level", format!("{:016x}, {}, {}", entry.tag, entry.sequence, entry.level)),
        (
            "key groups",
            format!(
                "{} to {} count, {} have entries",
                entry.groups.start, entry.groups.end, document.key_groups
            ),
        ),
        ("keys", format!("{} to {}", shown(&entry.smallest), shown(&entry.largest))),
        (
            "bytes",
            format!(
                "{}, {} of keys and values before compression",
                human(u64::from(entry.bytes)),
                human(counts.raw_bytes)
            ),
        ),
        ("dictionary", ratio(document.dictionary_bytes)),
        ("head", ratio(document.head_bytes)),
        ("entries", count(counts.entries)),
        ("deletions", count(counts.tombstones)),
        ("merges and chains", count(counts.merges)),
        ("expiring", expiring(counts)),
        ("range deletions", count(document.range_deletions.len() as u64)),
        ("partitions, blocks", format!("{}, {}", document.partitions.len(), document.blocks)),
        (
            "filters",
            format!("{} bytes, {:.2} bits a key", document.filter_bytes, document.filter_bits_per_key),
        ),
    ])?;
    for (from, to) in open.head.range_deletes().iter() {
        output::line(&format!("deletes {} up to {}", shown(from), shown(to)))?;
    }
    let rows = document.partitions.iter().zip(metas).map(|(partition, meta)| {
        vec![
            partition.partition.to_string(),
            partition.offset.to_string(),
            partition.data_bytes.to_string(),
            partition.meta_bytes.to_string(),
            partition.blocks.to_string(),
            count(partition.counts.entries),
            format!("{:.2}", partition.filter_bits_per_key),
            shown(meta.smallest()),
            shown(meta.largest()),
        ]
    });
    let head =
        ["partition", "offset", "data", "meta", "blocks", "entries", "bits a key", "smallest", "largest"];
    output::table(&head, 7, rows)?;
    let blocks = document.partitions.iter().zip(metas);
    let blocks = blocks.flat_map(|(partition, meta)| {
        let list = partition.block_list.as_deref().unwrap_or_default();
        list.iter().enumerate().map(move |(at, block)| {
            let (offset, bytes) = (block.offset.to_string(), block.bytes.to_string());
            vec![block.block.to_string(), offset, bytes, block.crc.clone(), shown(meta.separator(at))]
        })
    });
    let blocks: Vec<_> = blocks.collect();
    if blocks.is_empty() {
        return Ok(());
    }
    output::table(&["block", "offset", "bytes", "checksum", "keys from"], 3, blocks)
}

fn expiring(counts: &crate::segment::counts::Counts) -> String {
    if counts.expiring == 0 {
        return "none".to_owned();
    }
    format!("{}, between {} and {} ms", count(counts.expiring), counts.expiry_ms_min, counts.expiry_ms_max)
}
