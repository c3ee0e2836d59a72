//! A segment whose head was read: where its partitions and blocks are.

use super::common::Common;
use super::manifest::chosen;
use crate::cli::failure::Failure;
use crate::cli::store::Store;
use crate::segment::block::{self, Expected, Kind};
use crate::segment::data::{Access, DataBlock};
use crate::segment::footer::{FOOTER_BYTES, Footer};
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::segment::{SegmentEntry, SegmentPlace};
use bytes::Bytes;
use std::ops::Range;

/// See the module.
pub(super) struct OpenSegment {
    pub(super) store: Store,
    /// Its place in the manifest.
    pub(super) number: usize,
    pub(super) entry: SegmentEntry,
    pub(super) footer: Footer,
    pub(super) head: SegmentHead,
}

impl OpenSegment {
    /// Opens the segment that the manifest names at this place, or that lies at `object@offset`.
    pub(super) async fn open(common: &Common, which: &str) -> Result<Self, Failure> {
        let (store, manifest) = chosen(common).await?;
        let number = match which.parse::<usize>() {
            Ok(number) => Some(number),
            Err(_) => {
                let (object, offset) = named(which)?;
                let at = |entry: &SegmentEntry| entry.object.as_str() == object && entry.offset == offset;
                manifest.segments.iter().position(at)
            }
        };
        let found = number.and_then(|number| Some((number, manifest.segments.get(number)?.clone())));
        let Some((number, entry)) = found else {
            let (count, manifest) = (manifest.segments.len(), manifest.number);
            return Err(
                store.not_there(&format!("segment {which} in manifest {manifest}, which names {count}"))
            );
        };
        let tail_at = entry.bytes.saturating_sub(entry.tail_bytes);
        let tail = read(&store, &entry, tail_at..entry.bytes).await?;
        let head = SegmentHead::decode(&tail, &entry, &place(&entry, tail_at))?;
        let footer_at = entry.bytes.saturating_sub(u32::try_from(FOOTER_BYTES).unwrap_or(u32::MAX));
        let footer_place = place(&entry, footer_at);
        let footer =
            tail.last_chunk::<FOOTER_BYTES>().ok_or_else(|| footer_place.corrupt("a footer", "less"))?;
        let footer = Footer::decode(footer, entry.tag, entry.footer_crc, &footer_place)?;
        Ok(Self { store, number, entry, footer, head })
    }

    /// The meta of a partition.
    pub(super) async fn meta(&self, handle: PartitionHandle) -> Result<PartitionMeta, Failure> {
        let stored = read(&self.store, &self.entry, handle.meta_offset()..handle.end()).await?;
        let place = place(&self.entry, handle.meta_offset());
        let expected = Expected { kind: Kind::Partition, crc: handle.meta_crc, dictionary: None };
        Ok(PartitionMeta::decode(block::decode(&stored, expected, &place)?, handle.data_bytes, &place)?)
    }

    /// A data block.
    pub(super) async fn block(&self, handle: BlockHandle) -> Result<DataBlock, Failure> {
        let end = handle.offset.saturating_add(handle.bytes);
        let stored = read(&self.store, &self.entry, handle.offset..end).await?;
        let place = place(&self.entry, handle.offset);
        let expected = Expected { kind: Kind::Data, crc: handle.crc, dictionary: self.head.dictionary() };
        Ok(DataBlock::decode(&block::decode(&stored, expected, &place)?, Access::Scan, &place)?)
    }
}

fn named(which: &str) -> Result<(&str, u64), Failure> {
    let parts = which.rsplit_once('@').and_then(|(object, offset)| Some((object, offset.parse().ok()?)));
    parts.ok_or_else(|| {
        Failure::Usage(format!(
            "{which:?} names no segment: give its number in `aquifer inspect manifest`, or its object@offset"
        ))
    })
}

fn place(entry: &SegmentEntry, offset: u32) -> SegmentPlace {
    SegmentPlace { object: entry.object.clone(), offset: entry.offset.saturating_add(u64::from(offset)) }
}

async fn read(store: &Store, entry: &SegmentEntry, range: Range<u32>) -> Result<Bytes, Failure> {
    let range = entry.offset + u64::from(range.start)..entry.offset + u64::from(range.end);
    Ok(store.remote.get_range(&entry.object, range).await?)
}
