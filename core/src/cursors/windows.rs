//! Windows over a segment, for a merge: many partitions at once, as they are stored.
//!
//! ```text
//! partitions   [ on the SSD ][ on the SSD ][ not ][ on the SSD ][ not ] ...
//! windows      |---- from the SSD --------||----- one GET ------------|
//! ```
//! A window that begins with a partition all of whose blocks are on the SSD is read from there, as far as they all are; any other is one
//! GET, of as much as fits, whatever of it is on the SSD as well. So there are never more GETs than without an SSD, and none if all is there. All
//! of it goes through the read plan, in the class of merges: what it takes is bounded, measured and counted there. Nothing of it is kept.

use crate::blocks::cached_block::{data_key, decode_partition, partition_key};
use crate::blocks::load::{loaded, not_loaded, take_stored};
use crate::blocks::reader::BlockReader;
use crate::error::Result;
use crate::segment::head::SegmentHead;
use crate::segment::partition::{PartitionHandle, PartitionMeta};
use crate::version::Segment;
use aquifer_cache::{Class, LoadSet};
use bytes::Bytes;
use std::ops::Range;
use std::rc::Rc;

/// Reads whole partitions, as many as fit, and keeps the last such read.
#[derive(Debug)]
pub(crate) struct Windows {
    /// Bytes of a read, at least one partition.
    bytes_max: usize,
    /// Positions of the partitions in the window, and their bytes.
    partitions: Range<usize>,
    window: Bytes,
    /// Where the window begins in the segment.
    offset: u32,
}

/// A block as it is stored: its offset in the segment, and its length.
type Piece = (Class, (u32, u32));

impl Windows {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, partitions: 0..0, window: Bytes::new(), offset: 0 }
    }

    /// Nothing of the segment before is of use.
    pub(crate) fn forget(&mut self) {
        self.partitions = 0..0;
        self.window = Bytes::new();
    }

    /// Data blocks and meta of a partition, as they are stored and not verified yet.
    pub(crate) async fn partition(
        &mut self,
        reader: &BlockReader,
        segment: &Rc<Segment>,
        head: &SegmentHead,
        (position, handle): (usize, &PartitionHandle),
    ) -> Result<Bytes> {
        if !self.partitions.contains(&position) {
            // Freed before the next one comes.
            self.forget();
            // The pieces of a window and the window that is made of them are there at once.
            let (mut end, pieces) = on_ssd(reader, segment, head, position, self.bytes_max / 2).await?;
            if pieces.is_empty() {
                end = that_fit(head, position, self.bytes_max);
            }
            let last = head.partition(end.saturating_sub(1)).unwrap_or(*handle);
            let (offset, bytes) = (handle.offset, last.end().saturating_sub(handle.offset));
            self.window = if pieces.is_empty() {
                let (window, ..) =
                    loaded(reader.ask_stored(segment, (offset, bytes), Class::Data, 0)).await?;
                take_stored(segment, window)?
            } else {
                gathered(reader, segment, (offset, bytes), pieces).await?
            };
            self.offset = offset;
            self.partitions = position..end;
        }
        // A window of another length than was asked for ends in a checksum that does not hold.
        let start = (handle.offset.saturating_sub(self.offset) as usize).min(self.window.len());
        let end = start.saturating_add(handle.bytes() as usize).min(self.window.len());
        Ok(self.window.slice(start..end))
    }
}

/// The end of the partitions from `position` on that fit `bytes_max`: at least that one.
fn that_fit(head: &SegmentHead, position: usize, bytes_max: usize) -> usize {
    let (mut end, mut bytes) = (position, 0_usize);
    while let Some(handle) = head.partition(end) {
        bytes = bytes.saturating_add(handle.bytes() as usize);
        if bytes > bytes_max && end > position {
            break;
        }
        end += 1;
    }
    end
}

/// The pieces of the partitions from `position` on that are on the SSD as a whole, as many as fit, and the end of these partitions.
async fn on_ssd(
    reader: &BlockReader,
    segment: &Rc<Segment>,
    head: &SegmentHead,
    position: usize,
    bytes_max: usize,
) -> Result<(usize, Vec<Piece>)> {
    let mut pieces = Vec::new();
    let mut end = position;
    while end < that_fit(head, position, bytes_max)
        && let Some(handle) = head.partition(end)
        && reader.cache.ssd_heat(&partition_key(segment, &handle)).is_some()
    {
        let Some(meta) = meta_on_ssd(reader, segment, head, end, &handle).await else { break };
        let before = pieces.len();
        pieces.extend((0..meta.blocks()).filter_map(|block| meta.block(block, handle.offset)).map(|block| {
            let is_there = reader.cache.ssd_heat(&data_key(segment, &block)).is_some();
            is_there.then_some((Class::Data, (block.offset, block.bytes)))
        }));
        pieces.push(Some((Class::Meta, (handle.meta_offset(), handle.meta_bytes))));
        if pieces.iter().skip(before).any(Option::is_none) {
            pieces.truncate(before);
            break;
        }
        end += 1;
    }
    Ok((end, pieces.into_iter().flatten().collect()))
}

/// The meta of a partition, from memory or the SSD. One that cannot be read or decoded says nothing: the window is read from the DFS.
async fn meta_on_ssd(
    reader: &BlockReader,
    segment: &Rc<Segment>,
    head: &SegmentHead,
    position: usize,
    handle: &PartitionHandle,
) -> Option<Rc<PartitionMeta>> {
    let key = partition_key(segment, handle);
    if reader.cache.holds(Class::Meta, &key)
        && let Some(meta) = reader.partition_now(segment, head, position, handle)
    {
        return Some(meta);
    }
    let place = (handle.meta_offset(), handle.meta_bytes);
    let (stored, ..) = loaded(reader.ask_stored(segment, place, Class::Meta, 0)).await.ok()?;
    let stored = take_stored(segment, stored).ok()?;
    decode_partition(segment, handle, &stored).ok().map(Rc::new)
}

/// A window out of its pieces. One that has left the SSD meanwhile, or is bad there, comes from the DFS.
async fn gathered(
    reader: &BlockReader,
    segment: &Rc<Segment>,
    (offset, bytes): (u32, u32),
    pieces: Vec<Piece>,
) -> Result<Bytes> {
    let mut window = vec![0; bytes as usize];
    let mut gather = LoadSet::default();
    let mut places: Vec<(u32, u32)> = Vec::with_capacity(pieces.len());
    for (number, (class, place)) in (0..).zip(pieces) {
        // Numbers of loads ascend while none is handed out.
        let token = gather.add(reader.ask_stored(segment, place, class, number));
        debug_assert_eq!(token, places.len());
        places.push(place);
    }
    while let Some(done) = gather.next().await {
        let stored = take_stored(segment, done.result.map_err(not_loaded)?)?;
        let Some((from, bytes)) = places.get(done.token) else { continue };
        let start = from.saturating_sub(offset) as usize;
        if let Some(into) = window.get_mut(start..start.saturating_add(*bytes as usize))
            && into.len() == stored.len()
        {
            into.copy_from_slice(&stored);
        }
    }
    Ok(window.into())
}
