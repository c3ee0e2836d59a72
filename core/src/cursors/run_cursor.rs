//! Walks the entries of one sorted run in order, inside the key groups that count, a block at a time.

use crate::blocks::reader::BlockReader;
use crate::cursors::segment_cursor::SegmentCursor;
use crate::cursors::source::{BlockSource, Partition};
use crate::entry::Entry;
use crate::error::Result;
use crate::key::group_prefix;
use crate::segment::head::SegmentHead;
use crate::version::{Segment, SortedRun};
use std::collections::VecDeque;
use std::rc::Rc;

/// Engine keys from the first up to, not including, the second.
pub(crate) type KeySpan = (Box<[u8]>, Box<[u8]>);

/// A place in a sorted run: on one of its entries, or at its end.
pub(crate) struct RunCursor {
    /// Pieces that are not open yet, in the order of the walk.
    rest: VecDeque<Rc<Segment>>,
    open: Option<OpenSegment>,
    source: BlockSource,
    /// Engine keys below it are not asked for.
    from: Box<[u8]>,
    /// Nor are those from here on.
    to: Box<[u8]>,
    reverse: bool,
    /// Range deletions of the pieces that were opened so far, clipped to what is asked for, in ascending order.
    range_deletions: VecDeque<KeySpan>,
}

/// A partition whose first entry a cursor stands on.
#[derive(Clone, Copy)]
pub(crate) struct WholePartition<'a> {
    pub(crate) segment: &'a Rc<Segment>,
    pub(crate) head: &'a SegmentHead,
    pub(crate) partition: &'a Partition,
}

/// A segment under a cursor, on an entry that counts.
struct OpenSegment {
    cursor: SegmentCursor,
    /// What counts of it: from the first up to, not including, the second.
    from: Box<[u8]>,
    to: Box<[u8]>,
}

impl RunCursor {
    /// A cursor on the run's first entry from `from` up to `to` that counts, or on its last one if `reverse`.
    pub(crate) async fn seek(
        reader: &BlockReader,
        run: &SortedRun,
        source: BlockSource,
        from: &[u8],
        to: &[u8],
        reverse: bool,
    ) -> Result<Self> {
        let pieces = run.segments.iter();
        let pieces = pieces.filter(|segment| *from <= *segment.entry.largest && *segment.from < *to).cloned();
        let mut cursor = Self {
            rest: if reverse { pieces.rev().collect() } else { pieces.collect() },
            open: None,
            source,
            from: Box::from(from),
            to: Box::from(to),
            reverse,
            range_deletions: VecDeque::new(),
        };
        cursor.open_next(reader).await?;
        Ok(cursor)
    }

    /// Opens the next piece that has an entry.
    async fn open_next(&mut self, reader: &BlockReader) -> Result<()> {
        self.open = None;
        while let Some(segment) = self.rest.pop_front() {
            let from = (&*self.from).max(&*segment.from);
            let groups_end = group_prefix(segment.entry.groups.end);
            let to = (&*self.to).min(groups_end.as_slice());
            self.source.next_segment(from, to);
            let (from, to) = (Box::from(from), Box::from(to));
            if segment.entry.range_deletes > 0 {
                self.note_range_deletions(reader, &segment, &from, &to).await?;
            }
            let cursor = if self.reverse {
                SegmentCursor::seek_before(reader, segment, &mut self.source, &to).await?
            } else {
                SegmentCursor::seek(reader, segment, &mut self.source, &from).await?
            };
            let open = OpenSegment { cursor, from, to };
            if open.is_inside() {
                self.open = Some(open);
                break;
            }
        }
        Ok(())
    }

    async fn note_range_deletions(
        &mut self,
        reader: &BlockReader,
        segment: &Rc<Segment>,
        from: &[u8],
        to: &[u8],
    ) -> Result<()> {
        let (head, _) = reader.head(segment).await?;
        let clipped = head.range_deletes().clipped(from, to);
        let clipped: Vec<_> = clipped.map(|(from, to)| (Box::from(from), Box::from(to))).collect();
        if self.reverse {
            clipped.into_iter().rev().for_each(|deletion| self.range_deletions.push_front(deletion));
        } else {
            self.range_deletions.extend(clipped);
        }
        Ok(())
    }

    /// Goes to the next entry that counts, or to the end.
    pub(crate) async fn advance(&mut self, reader: &BlockReader) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let moved = if self.reverse { open.cursor.retreat_now() } else { open.cursor.advance_now() };
        if !moved {
            if self.reverse {
                open.cursor.retreat(reader, &mut self.source).await?;
            } else {
                open.cursor.advance(reader, &mut self.source).await?;
            }
        }
        if !open.is_inside() {
            self.open_next(reader).await?;
        }
        Ok(())
    }

    /// Key and entry that it stands on; `None` at the end.
    #[inline]
    pub(crate) fn current(&self) -> Option<(&[u8], Entry<'_>)> {
        self.open.as_ref()?.cursor.current()
    }

    /// The partition that the current entry begins, if all of it counts here.
    #[inline]
    pub(crate) fn whole_partition(&self) -> Option<WholePartition<'_>> {
        let OpenSegment { cursor, to, .. } = self.open.as_ref()?;
        let (partition, true) = cursor.partition()? else { return None };
        let inside = partition.meta.largest() < &**to;
        inside.then(|| WholePartition { segment: cursor.segment(), head: cursor.head(), partition })
    }

    /// Goes behind the current partition.
    pub(crate) async fn skip_partition(&mut self, reader: &BlockReader) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.cursor.next_partition(reader, &mut self.source).await?;
        if !open.is_inside() {
            self.open_next(reader).await?;
        }
        Ok(())
    }

    /// Whether a range deletion of this run hides what older runs say of `key`, which does not lie beyond where the cursor stands.
    pub(crate) fn deletes(&self, key: &[u8]) -> bool {
        if self.range_deletions.is_empty() {
            return false;
        }
        let next = self.range_deletions.partition_point(|(from, _)| **from <= *key);
        let last = next.checked_sub(1).and_then(|last| self.range_deletions.get(last));
        last.is_some_and(|(_, to)| *key < **to)
    }
}

impl OpenSegment {
    fn is_inside(&self) -> bool {
        self.cursor.current().is_some_and(|(key, _)| *self.from <= *key && *key < *self.to)
    }
}
