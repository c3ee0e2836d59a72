//! Walks the entries of one segment in order, forward or backward, a block at a time.

use crate::blocks::reader::BlockReader;
use crate::cursors::source::{BlockSource, Partition};
use crate::entry::Entry;
use crate::error::Result;
use crate::segment::cursor::Cursor;
use crate::segment::head::SegmentHead;
use crate::version::Segment;
use std::rc::Rc;

/// A place in a segment: on one of its entries, or on none. All entries of the segment, whether or not their key groups count here.
pub(crate) struct SegmentCursor {
    segment: Rc<Segment>,
    head: Rc<SegmentHead>,
    at: Option<EntryPlace>,
}

/// Stands on an entry.
struct EntryPlace {
    partition: Partition,
    block: usize,
    cursor: Cursor,
}

impl SegmentCursor {
    /// At the first entry whose key is not below `from`.
    pub(crate) async fn seek(
        reader: &BlockReader,
        segment: Rc<Segment>,
        source: &mut BlockSource,
        from: &[u8],
    ) -> Result<Self> {
        let (head, _) = reader.head(&segment).await?;
        let mut cursor = Self { segment, head, at: None };
        let partition = cursor.head.seek(from).unwrap_or(0);
        let block = |partition: &Partition| partition.meta.seek(from).unwrap_or(0);
        if cursor.open(reader, source, partition, block, |block| Cursor::seek(block, from)).await?
            && !cursor.is_valid()
        {
            cursor.next_block(reader, source).await?;
        }
        Ok(cursor)
    }

    /// At the last entry whose key is below `before`.
    pub(crate) async fn seek_before(
        reader: &BlockReader,
        segment: Rc<Segment>,
        source: &mut BlockSource,
        before: &[u8],
    ) -> Result<Self> {
        let (head, _) = reader.head(&segment).await?;
        let mut cursor = Self { segment, head, at: None };
        let Some(partition) = cursor.head.seek(before) else { return Ok(cursor) };
        let block = |partition: &Partition| partition.meta.seek(before).unwrap_or(0);
        if cursor.open(reader, source, partition, block, |block| Cursor::seek_before(block, before)).await?
            && !cursor.is_valid()
        {
            cursor.block_before(reader, source).await?;
        }
        Ok(cursor)
    }

    /// Goes to the next entry if it is in the same block: no wait. `false` if it is not; then [`Self::advance`] goes there.
    #[inline]
    pub(crate) fn advance_now(&mut self) -> bool {
        self.at.as_mut().is_some_and(|at| at.cursor.advance())
    }

    /// Goes to the entry before if it is in the same block: no wait. `false` if it is not; then [`Self::retreat`] goes there.
    #[inline]
    pub(crate) fn retreat_now(&mut self) -> bool {
        self.at.as_mut().is_some_and(|at| at.cursor.retreat())
    }

    /// Goes to the next entry; `false` past the last, and from none.
    pub(crate) async fn advance(&mut self, reader: &BlockReader, source: &mut BlockSource) -> Result<bool> {
        if !self.advance_now() {
            self.next_block(reader, source).await?;
        }
        Ok(self.is_valid())
    }

    /// Goes to the entry before; `false` from the first, and from none.
    pub(crate) async fn retreat(&mut self, reader: &BlockReader, source: &mut BlockSource) -> Result<bool> {
        if !self.retreat_now() {
            self.block_before(reader, source).await?;
        }
        Ok(self.is_valid())
    }

    /// Whether it stands on an entry.
    pub(crate) fn is_valid(&self) -> bool {
        self.at.as_ref().is_some_and(|at| at.cursor.is_valid())
    }

    /// Key and entry, borrowed; `None` if it stands on none.
    #[inline]
    pub(crate) fn current(&self) -> Option<(&[u8], Entry<'_>)> {
        self.at.as_ref().and_then(|at| at.cursor.current())
    }

    pub(crate) fn segment(&self) -> &Rc<Segment> {
        &self.segment
    }

    pub(crate) fn head(&self) -> &Rc<SegmentHead> {
        &self.head
    }

    /// The partition of the current entry and, if that is its first one, that it is: there the whole of it can be copied instead.
    pub(crate) fn partition(&self) -> Option<(&Partition, bool)> {
        let at = self.at.as_ref()?;
        Some((&at.partition, at.block == 0 && at.cursor.is_first()))
    }

    /// Leaves the current partition for the first entry of the next one, as after copying the whole of it.
    pub(crate) async fn next_partition(
        &mut self,
        reader: &BlockReader,
        source: &mut BlockSource,
    ) -> Result<bool> {
        if let Some(next) = self.at.take().map(|at| at.partition.position + 1) {
            self.open(reader, source, next, |_| 0, Cursor::first).await?;
        }
        Ok(self.is_valid())
    }

    async fn next_block(&mut self, reader: &BlockReader, source: &mut BlockSource) -> Result<()> {
        let Some(at) = self.at.take() else { return Ok(()) };
        let (next, block) = (at.partition.position + 1, at.block + 1);
        if block < at.partition.meta.blocks() {
            self.open_block(reader, source, at.partition, block, Cursor::first).await
        } else {
            self.open(reader, source, next, |_| 0, Cursor::first).await.map(drop)
        }
    }

    async fn block_before(&mut self, reader: &BlockReader, source: &mut BlockSource) -> Result<()> {
        let Some(at) = self.at.take() else { return Ok(()) };
        match (at.block.checked_sub(1), at.partition.position.checked_sub(1)) {
            (Some(block), _) => self.open_block(reader, source, at.partition, block, Cursor::last).await,
            (None, Some(before)) => {
                let last = |partition: &Partition| partition.meta.blocks() - 1;
                self.open(reader, source, before, last, Cursor::last).await.map(drop)
            }
            (None, None) => Ok(()),
        }
    }

    /// Opens a block of the partition at `position`; `false` if there is no such partition.
    async fn open(
        &mut self,
        reader: &BlockReader,
        source: &mut BlockSource,
        position: usize,
        block: impl FnOnce(&Partition) -> usize,
        place: impl FnOnce(Rc<crate::segment::data::DataBlock>) -> Cursor,
    ) -> Result<bool> {
        let Some(partition) = source.partition(reader, &self.segment, &self.head, position).await? else {
            return Ok(false);
        };
        let block = block(&partition);
        self.open_block(reader, source, partition, block, place).await?;
        Ok(self.at.is_some())
    }

    async fn open_block(
        &mut self,
        reader: &BlockReader,
        source: &mut BlockSource,
        partition: Partition,
        block: usize,
        place: impl FnOnce(Rc<crate::segment::data::DataBlock>) -> Cursor,
    ) -> Result<()> {
        let opened = source.block(reader, &self.segment, &self.head, &partition, block).await?;
        self.at = opened.map(|data| EntryPlace { partition, block, cursor: place(data) });
        Ok(())
    }
}
