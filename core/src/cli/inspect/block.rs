//! `aquifer inspect block`: the entries of a data block.

use super::common::{Common, KeyJson, shown};
use super::open_segment::OpenSegment;
use crate::cli::failure::Failure;
use crate::cli::{output, text};
use crate::entry::{Entry, NEVER, Op, next_chained};
use crate::merge_operator::MergeOperators;
use crate::segment::cursor::Cursor;
use crate::segment::partition::BlockHandle;
use serde::Serialize;
use std::rc::Rc;

/// Flags of `inspect block`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The segment: its number in `inspect manifest`, or object@offset.
    segment: String,
    /// The block: its number in `inspect segment --blocks`.
    block: usize,
    /// Bytes of a value that are shown.
    #[arg(long, value_name = "BYTES", default_value_t = 32)]
    value_bytes: usize,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Document {
    object: String,
    /// In the object.
    offset: u64,
    bytes: u32,
    crc: String,
    block: usize,
    partition: usize,
    entries: Vec<EntryJson>,
}

#[derive(Serialize)]
struct EntryJson {
    #[serde(flatten)]
    key: KeyJson,
    #[serde(flatten)]
    write: WriteJson,
}

/// One write to a key.
#[derive(Serialize)]
struct WriteJson {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    /// Name of a built-in merge operator, or the identity of another.
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written_ms: Option<u64>,
    value_bytes: usize,
    /// Shortened, with escapes.
    value: String,
    /// Of a chain, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    writes: Vec<Self>,
}

struct Describe {
    operators: MergeOperators,
    value_bytes: usize,
}

impl Describe {
    fn write(&self, entry: &Entry<'_>) -> WriteJson {
        let (kind, merge) = match entry.op {
            Op::Put(_) => ("put", None),
            Op::Delete => ("delete", None),
            Op::Merge { operator, written_ms, .. } => ("merge", Some((operator, written_ms))),
            Op::Chain(_) => ("chain", None),
        };
        let mut writes = Vec::new();
        if let Op::Chain(mut chain) = entry.op {
            while let Some(write) = next_chained(&mut chain) {
                writes.push(self.write(&write));
            }
        }
        let name =
            |id: u32| self.operators.get(id).map_or(format!("{id:08x}"), |known| known.name().to_owned());
        // A chain's bytes are its writes.
        let value = if writes.is_empty() { entry.payload() } else { &[] };
        WriteJson {
            kind,
            expires_ms: (entry.expires_ms != NEVER).then_some(entry.expires_ms),
            operator: merge.map(|(id, _)| name(id)),
            written_ms: merge.map(|(_, written_ms)| written_ms),
            value_bytes: entry.payload().len(),
            value: text::shortened(value, self.value_bytes),
            writes,
        }
    }
}

impl WriteJson {
    fn cells(&self) -> [String; 5] {
        let kind =
            self.operator.as_ref().map_or(self.kind.to_owned(), |name| format!("{} {name}", self.kind));
        let moment = |moment: Option<u64>| moment.map_or_else(String::new, |moment| moment.to_string());
        let chained = self.writes.iter().map(|write| format!("{} {}", write.kind, write.value));
        let value =
            if self.writes.is_empty() { self.value.clone() } else { chained.collect::<Vec<_>>().join("; ") };
        [kind, moment(self.expires_ms), moment(self.written_ms), self.value_bytes.to_string(), value]
    }
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let open = OpenSegment::open(&args.common, &args.segment).await?;
    let Some((partition, handle)) = find(&open, args.block).await? else {
        let (block, segment) = (args.block, &args.segment);
        return Err(open.store.not_there(&format!("block {block} in segment {segment}")));
    };
    let mut cursor = Cursor::first(Rc::new(open.block(handle).await?));
    let describe = Describe { operators: MergeOperators::new(&[])?, value_bytes: args.value_bytes };
    let (mut entries, mut rows) = (Vec::new(), Vec::new());
    while let Some((key, entry)) = cursor.current() {
        let write = describe.write(&entry);
        rows.push(std::iter::once(shown(key)).chain(write.cells()).collect::<Vec<_>>());
        entries.push(EntryJson { key: KeyJson::of(key), write });
        cursor.advance();
    }
    let document = Document {
        object: open.entry.object.to_string(),
        offset: open.entry.offset + u64::from(handle.offset),
        bytes: handle.bytes,
        crc: format!("{:08x}", handle.crc),
        block: args.block,
        partition,
        entries,
    };
    if args.common.json {
        return output::json(&document);
    }
    output::facts(&[
        ("block", format!("{} of {} at offset {}", document.block, document.object, document.offset)),
        ("partition", document.partition.to_string()),
        ("bytes", document.bytes.to_string()),
        ("checksum", format!("{}: it holds", document.crc)),
        ("entries", document.entries.len().to_string()),
    ])?;
    output::table(&["key", "write", "expires", "written", "bytes", "value"], 0, rows)
}

/// The block with this number, and its partition. Metas are read up to there, one after the other: only they know how many blocks there are.
async fn find(open: &OpenSegment, number: usize) -> Result<Option<(usize, BlockHandle)>, Failure> {
    let mut before = 0;
    for partition in 0..open.head.partitions() {
        let Some(handle) = open.head.partition(partition) else { break };
        let meta = open.meta(handle).await?;
        if let Some(block) = number.checked_sub(before).and_then(|at| meta.block(at, handle.offset)) {
            return Ok(Some((partition, block)));
        }
        before += meta.blocks();
    }
    Ok(None)
}
