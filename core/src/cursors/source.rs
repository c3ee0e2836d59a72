//! Where a cursor gets partitions and their blocks from.

use crate::blocks::along::Along;
use crate::blocks::cached_block::{decode_data, decode_partition};
use crate::blocks::reader::BlockReader;
use crate::cursors::read_ahead::{Opened, ReadAhead, Under};
use crate::cursors::windows::Windows;
use crate::error::Result;
use crate::segment::block::{self, Expected, Kind};
use crate::segment::data::{Access, DataBlock};
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::version::Segment;
use bytes::Bytes;
use std::rc::Rc;

/// Where a cursor gets its blocks from.
#[derive(Debug)]
pub(crate) enum BlockSource {
    /// Through the cache, asked for ahead.
    Ahead(ReadAhead),
    /// Many neighbours at once, for a merge: kept nowhere.
    Windows(Windows),
}

/// A partition under a cursor.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) position: usize,
    pub(crate) handle: PartitionHandle,
    pub(crate) meta: Rc<PartitionMeta>,
    /// Data and meta as they are stored, if they came in a window.
    stored: Option<Bytes>,
    /// Its data as it is stored, if that came along with its meta.
    along: Along,
}

impl Partition {
    /// Data blocks and meta as they are stored, every one verified: what [`crate::segment::writer::SegmentWriter::push_raw_partition`]
    /// takes. `None` if the partition did not come in a window.
    pub(crate) fn verified(&self, segment: &Segment) -> Result<Option<&[u8]>> {
        let Some(stored) = &self.stored else { return Ok(None) };
        for position in 0..self.meta.blocks() {
            self.raw_block(segment, position)?;
        }
        Ok(Some(stored))
    }

    /// A data block as it is stored, verified, and where it lies.
    /// `None` past the last block, or if the partition did not come in a window.
    fn raw_block(&self, segment: &Segment, position: usize) -> Result<Option<(BlockHandle, Bytes)>> {
        let Some(handle) = self.meta.block(position, self.handle.offset) else { return Ok(None) };
        let Some(stored) = self.stored_block(&handle) else { return Ok(None) };
        let expected = Expected { kind: Kind::Data, crc: handle.crc, dictionary: None };
        block::verify(&stored, expected, &segment.place(u64::from(handle.offset)))?;
        Ok(Some((handle, stored)))
    }

    fn stored_block(&self, handle: &BlockHandle) -> Option<Bytes> {
        let start = handle.offset.checked_sub(self.handle.offset)? as usize;
        let end = start.checked_add(handle.bytes as usize)?;
        self.stored.as_ref().filter(|stored| end <= stored.len()).map(|stored| stored.slice(start..end))
    }
}

impl BlockSource {
    /// Reads of about `bytes_max` bytes that are kept nowhere.
    pub(crate) const fn windows(bytes_max: usize) -> Self {
        Self::Windows(Windows::new(bytes_max))
    }

    /// Forgets what belongs to the segment before; of the next one keys from `from` up to `to` count.
    pub(crate) fn next_segment(&mut self, from: &[u8], to: &[u8]) {
        match self {
            Self::Ahead(ahead) => ahead.next_segment(from, to),
            Self::Windows(windows) => windows.forget(),
        }
    }

    /// The partition at `position`; `None` past the last one.
    pub(crate) async fn partition(
        &mut self,
        reader: &BlockReader,
        segment: &Rc<Segment>,
        head: &Rc<SegmentHead>,
        position: usize,
    ) -> Result<Option<Partition>> {
        match self {
            Self::Ahead(ahead) => {
                let opened = ahead.partition(Under { reader, segment, head }, position).await?;
                Ok(opened.map(|Opened { handle, meta, along }| Partition {
                    position,
                    handle,
                    meta,
                    stored: None,
                    along,
                }))
            }
            Self::Windows(windows) => {
                let Some(handle) = head.partition(position) else { return Ok(None) };
                let stored = windows.partition(reader, segment, head, (position, &handle)).await?;
                let meta = stored.slice((handle.data_bytes as usize).min(stored.len())..);
                let meta = Rc::new(decode_partition(segment, &handle, &meta)?);
                let along = Along::default();
                Ok(Some(Partition { position, handle, meta, stored: Some(stored), along }))
            }
        }
    }

    /// The block at `position` of a partition; `None` past its last one.
    pub(crate) async fn block(
        &mut self,
        reader: &BlockReader,
        segment: &Rc<Segment>,
        head: &Rc<SegmentHead>,
        partition: &Partition,
        position: usize,
    ) -> Result<Option<Rc<DataBlock>>> {
        match self {
            Self::Ahead(ahead) => {
                let Partition { handle, meta, along, .. } = partition;
                let opened = Opened { handle: *handle, meta: Rc::clone(meta), along: along.clone() };
                ahead.block(Under { reader, segment, head }, (partition.position, &opened), position).await
            }
            Self::Windows(_) => {
                let Some(handle) = partition.meta.block(position, partition.handle.offset) else {
                    return Ok(None);
                };
                let stored = partition.stored_block(&handle).unwrap_or_default();
                Ok(Some(Rc::new(decode_data(segment, head, &handle, Access::Scan, &stored)?)))
            }
        }
    }
}
