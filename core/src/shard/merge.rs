//! Several sorted runs as one: the newest write of each key, in key order.

use super::ShardCore;
use super::segment_cursor::SegmentCursor;
use super::source::BlockSource;
use crate::entry::Op;
use crate::error::Result;
use crate::key::group_prefix;
use crate::version::{Segment, SortedRun};
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;

/// Walks the entries of one sorted run in order, inside the key groups that count, a block at a time.
pub(crate) struct RunCursor {
    /// Pieces that are not open yet, in ascending order.
    rest: VecDeque<Rc<Segment>>,
    open: Option<OpenSegment>,
    source: BlockSource,
    /// Engine keys from here on are not asked for.
    end: Box<[u8]>,
}

/// A segment under a cursor.
struct OpenSegment {
    /// Stands on an entry.
    cursor: SegmentCursor,
    end: Box<[u8]>,
}

impl RunCursor {
    /// A cursor at the run's first entry at or above `from` that counts; `end` bounds it from above.
    pub(crate) async fn seek(
        core: &ShardCore,
        run: &SortedRun,
        source: BlockSource,
        from: &[u8],
        end: &[u8],
    ) -> Result<Self> {
        let pieces =
            run.segments.iter().filter(|segment| *from <= *segment.entry.largest && *segment.from < *end);
        let mut cursor = Self { rest: pieces.cloned().collect(), open: None, source, end: Box::from(end) };
        cursor.open_next(core, from).await?;
        Ok(cursor)
    }

    /// Opens the next piece that has an entry at or above `from`.
    async fn open_next(&mut self, core: &ShardCore, from: &[u8]) -> Result<()> {
        self.open = None;
        while let Some(segment) = self.rest.pop_front() {
            self.source.next_segment();
            self.open = OpenSegment::seek(core, segment, &mut self.source, from, &self.end).await?;
            if self.open.is_some() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) async fn advance(&mut self, core: &ShardCore) -> Result<()> {
        if let Some(open) = &mut self.open
            && !open.advance(core, &mut self.source).await?
        {
            self.open_next(core, &[]).await?;
        }
        Ok(())
    }

    /// Key and value of the current entry; `None` at the end.
    pub(crate) fn current(&self) -> Option<(&[u8], Option<&[u8]>)> {
        let (key, entry) = self.open.as_ref()?.cursor.current()?;
        Some((key, (entry.op != Op::Delete).then_some(entry.payload())))
    }
}

impl OpenSegment {
    async fn seek(
        core: &ShardCore,
        segment: Rc<Segment>,
        source: &mut BlockSource,
        from: &[u8],
        end: &[u8],
    ) -> Result<Option<Self>> {
        let from = if *from < *segment.from { segment.from.clone() } else { Box::from(from) };
        let last = group_prefix(segment.entry.groups.end);
        let end = Box::from(if end < last.as_slice() { end } else { last.as_slice() });
        let cursor = SegmentCursor::seek(core, segment, source, &from).await?;
        let open = Self { cursor, end };
        Ok(open.is_inside().then_some(open))
    }

    fn is_inside(&self) -> bool {
        self.cursor.current().is_some_and(|(key, _)| key < &*self.end)
    }

    /// Goes to the next entry; `false` at the segment's end, or where its entries stop to count.
    async fn advance(&mut self, core: &ShardCore, source: &mut BlockSource) -> Result<bool> {
        if !self.cursor.advance_now() {
            self.cursor.advance(core, source).await?;
        }
        Ok(self.is_inside())
    }
}

/// What a merge takes in: memtable entries that were copied out, or a sorted run of segments.
pub(crate) enum Run {
    Copied(std::vec::IntoIter<CopiedEntry>, Option<CopiedEntry>),
    Segments(Box<RunCursor>),
}

/// An entry copied out of a memtable.
pub(crate) type CopiedEntry = (Box<[u8]>, Option<Box<[u8]>>);

impl Run {
    pub(crate) fn copied(entries: Vec<CopiedEntry>) -> Self {
        let mut rest = entries.into_iter();
        let first = rest.next();
        Self::Copied(rest, first)
    }

    fn current(&self) -> Option<(&[u8], Option<&[u8]>)> {
        match self {
            Self::Copied(_, entry) => entry.as_ref().map(|(key, slot)| (&**key, slot.as_deref())),
            Self::Segments(cursor) => cursor.current(),
        }
    }

    async fn advance(&mut self, core: &ShardCore) -> Result<()> {
        match self {
            Self::Copied(rest, entry) => *entry = rest.next(),
            Self::Segments(cursor) => cursor.advance(core).await?,
        }
        Ok(())
    }
}

/// A run in the heap: smallest key first, of equal keys the newest run first.
struct Ranked {
    run: Run,
    /// 0 is the newest.
    age: usize,
}

impl Ranked {
    fn rank(&self) -> (Option<&[u8]>, usize) {
        (self.run.current().map(|(key, _)| key), self.age)
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The merge of runs given newest first.
pub(crate) struct Merge {
    heap: BinaryHeap<Reverse<Ranked>>,
    key: Vec<u8>,
}

impl Merge {
    pub(crate) fn new(runs: Vec<Run>) -> Self {
        let ranked = runs.into_iter().enumerate().map(|(age, run)| Reverse(Ranked { run, age }));
        Self {
            heap: ranked.filter(|Reverse(ranked)| ranked.run.current().is_some()).collect(),
            key: Vec::new(),
        }
    }

    /// The newest write of the next key, deletions included, handed to `visit`; `None` at the end.
    pub(crate) async fn next<T>(
        &mut self,
        core: &ShardCore,
        visit: impl FnOnce(&[u8], Option<&[u8]>) -> T,
    ) -> Result<Option<T>> {
        let visited = match self.heap.peek().and_then(|Reverse(top)| top.run.current()) {
            None => return Ok(None),
            Some((key, slot)) => {
                self.key.clear();
                self.key.extend_from_slice(key);
                visit(key, slot)
            }
        };
        // Step over this key in every run that has it.
        while self
            .heap
            .peek()
            .and_then(|Reverse(top)| top.run.current())
            .is_some_and(|(key, _)| key == self.key)
        {
            let Some(Reverse(mut top)) = self.heap.pop() else { break };
            top.run.advance(core).await?;
            if top.run.current().is_some() {
                self.heap.push(Reverse(top));
            }
        }
        Ok(Some(visited))
    }
}
