//! Which keys share a block: for measurements that replay what a cache was asked for.

use crate::error::{Error, Result};
use crate::key::GROUP_BYTES;
use crate::manifest::store::ManifestStore;
use crate::segment::block::{self, Expected, Kind};
use crate::segment::cursor::Cursor;
use crate::segment::data::{Access, DataBlock};
use crate::segment::head::SegmentHead;
use crate::segment::partition::PartitionMeta;
use crate::segment::{SegmentEntry, SegmentPlace};
use crate::{descriptor, name};
use aquifer_remote::Remote;
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;

/// A data block of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Counted over the whole store.
    pub number: u32,
    /// As it is stored.
    pub stored_bytes: u32,
    /// As a shard has it in memory, without the cache's overhead.
    pub memory_bytes: usize,
}

/// Walks the newest checkpoint of a store, segment after segment: `each` is shown every key, as its caller wrote it, with its block. A key that
/// several runs hold is shown several times. Each segment is in memory as a whole for a moment.
///
/// # Errors
/// Those of the DFS, corruption, `Invalid` if there is no store or no checkpoint.
pub async fn walk_blocks(remote: &Arc<dyn Remote>, each: &mut dyn FnMut(StoredBlock, &[u8])) -> Result<()> {
    let nothing = |what| Error::invalid(format!("there is no {what} at {}", remote.describe()));
    let descriptor = descriptor::read(remote, &name::store()?).await?.ok_or_else(|| nothing("store"))?;
    let manifests = ManifestStore::new(Arc::clone(remote), 0..descriptor.key_groups);
    let manifest = manifests.of_checkpoint(None).await?.ok_or_else(|| nothing("checkpoint"))?;
    let mut number = 0;
    for entry in &manifest.segments {
        let whole = entry.offset..entry.offset.saturating_add(u64::from(entry.bytes));
        let bytes = remote.get_range(&entry.object, whole).await?;
        walk_segment(entry, &bytes, &mut number, each)?;
    }
    Ok(())
}

fn walk_segment(
    entry: &SegmentEntry,
    bytes: &Bytes,
    number: &mut u32,
    each: &mut dyn FnMut(StoredBlock, &[u8]),
) -> Result<()> {
    let place = |offset: u32| SegmentPlace {
        object: entry.object.clone(),
        offset: entry.offset.saturating_add(u64::from(offset)),
    };
    let tail_at = entry.bytes.saturating_sub(entry.tail_bytes);
    let head = SegmentHead::decode(&part(bytes, tail_at, entry.tail_bytes), entry, &place(tail_at))?;
    for position in 0..head.partitions() {
        let Some(handle) = head.partition(position) else { break };
        let meta_place = place(handle.meta_offset());
        let expected = Expected { kind: Kind::Partition, crc: handle.meta_crc, dictionary: None };
        let stored = part(bytes, handle.meta_offset(), handle.meta_bytes);
        let payload = block::decode(&stored, expected, &meta_place)?;
        let meta = PartitionMeta::decode(payload, handle.data_bytes, &meta_place)?;
        for block_at in 0..meta.blocks() {
            let Some(handle) = meta.block(block_at, handle.offset) else { break };
            let place = place(handle.offset);
            let expected = Expected { kind: Kind::Data, crc: handle.crc, dictionary: head.dictionary() };
            let payload = block::decode(&part(bytes, handle.offset, handle.bytes), expected, &place)?;
            // With the tables of point reads: those are what a cache holds.
            let data = DataBlock::decode(&payload, Access::Points, &place)?;
            let block = StoredBlock {
                number: *number,
                stored_bytes: handle.bytes,
                memory_bytes: data.memory_bytes(),
            };
            *number = number.saturating_add(1);
            let mut cursor = Cursor::first(Rc::new(data));
            while let Some((key, _)) = cursor.current() {
                each(block, key.get(GROUP_BYTES..).unwrap_or_default());
                cursor.advance();
            }
        }
    }
    Ok(())
}

/// Bytes of a segment; fewer where it ends, which then shows by a checksum.
fn part(bytes: &Bytes, start: u32, length: u32) -> Bytes {
    let start = (start as usize).min(bytes.len());
    bytes.slice(start..start.saturating_add(length as usize).min(bytes.len()))
}
