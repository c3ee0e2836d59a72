//! Several sorted runs as one: the writes of each key, newest first, in key order, ascending or descending.

use crate::blocks::reader::BlockReader;
use crate::cursors::run_cursor::{KeySpan, RunCursor, WholePartition};
use crate::entry::Entry;
use crate::error::Result;
use crate::resolve::Folded;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

/// What a merge takes in: memtable entries that were copied out, or a sorted run of segments.
pub(crate) enum Run {
    Copied(Copied),
    Segments(Box<RunCursor>),
}

/// What a memtable holds of a range, copied out: it may change while a merge waits.
#[derive(Default)]
pub(crate) struct Copied {
    /// In the order of the merge.
    pub(crate) entries: VecDeque<(Box<[u8]>, Folded<'static>)>,
    /// In ascending order, without overlaps.
    pub(crate) range_deletions: Vec<KeySpan>,
}

impl Run {
    fn current(&self) -> Option<(&[u8], Entry<'_>)> {
        match self {
            Self::Copied(copied) => copied.entries.front().map(|(key, entry)| (&**key, entry.entry())),
            Self::Segments(cursor) => cursor.current(),
        }
    }

    async fn advance(&mut self, reader: &BlockReader) -> Result<()> {
        match self {
            Self::Copied(copied) => drop(copied.entries.pop_front()),
            Self::Segments(cursor) => cursor.advance(reader).await?,
        }
        Ok(())
    }

    /// Whether a range deletion of this run hides what older runs say of `key`.
    fn deletes(&self, key: &[u8]) -> bool {
        match self {
            Self::Copied(copied) => {
                let next = copied.range_deletions.partition_point(|(from, _)| **from <= *key);
                let last = next.checked_sub(1).and_then(|last| copied.range_deletions.get(last));
                last.is_some_and(|(_, to)| *key < **to)
            }
            Self::Segments(cursor) => cursor.deletes(key),
        }
    }
}

/// A run in the heap: the next key first, of equal keys the newest run first.
struct Ranked {
    run: Run,
    /// 0 is the newest.
    age: usize,
    reverse: bool,
}

impl Ranked {
    fn key(&self) -> Option<&[u8]> {
        self.run.current().map(|(key, _)| key)
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
        let keys = self.key().cmp(&other.key());
        let keys = if self.reverse { keys.reverse() } else { keys };
        keys.then(self.age.cmp(&other.age))
    }
}

/// The merge of runs given newest first.
pub(crate) struct Merge {
    heap: BinaryHeap<Reverse<Ranked>>,
    /// Runs that have come to their end but whose range deletions still hide what is older.
    ended: Vec<Ranked>,
}

/// What all runs say of one key.
pub(crate) struct Writes<'a> {
    pub(crate) key: &'a [u8],
    /// Newest first; what a newer range deletion hides is left out.
    pub(crate) entries: &'a [Entry<'a>],
    /// A range deletion hides everything that is older than `entries`, below the merge as well.
    pub(crate) is_deleted_below: bool,
}

impl Merge {
    /// Ascending, or descending if `reverse`: the runs must stand accordingly.
    pub(crate) fn new(runs: Vec<Run>, reverse: bool) -> Self {
        let mut merge = Self { heap: BinaryHeap::with_capacity(runs.len()), ended: Vec::new() };
        for (age, run) in runs.into_iter().enumerate() {
            merge.put_back(Ranked { run, age, reverse });
        }
        merge
    }

    fn put_back(&mut self, ranked: Ranked) {
        if ranked.key().is_some() {
            self.heap.push(Reverse(ranked));
        } else {
            self.ended.push(ranked);
        }
    }

    /// What is said of the next key, handed to `visit`; `None` at the end.
    pub(crate) async fn next<T>(
        &mut self,
        reader: &BlockReader,
        visit: impl FnOnce(Writes<'_>) -> T,
    ) -> Result<Option<T>> {
        let Some(Reverse(first)) = self.heap.pop() else { return Ok(None) };
        let mut more = Vec::new();
        while let Some(Reverse(next)) = self.heap.peek()
            && next.key() == first.key()
        {
            more.extend(self.heap.pop().map(|Reverse(ranked)| ranked));
        }
        let visited = self.visit(&first, &more, visit);
        for mut ranked in std::iter::once(first).chain(more) {
            ranked.run.advance(reader).await?;
            self.put_back(ranked);
        }
        Ok(visited)
    }

    /// The partition that the next key begins, if no other run knows any key up to its largest. Of range deletions it knows nothing.
    #[inline]
    pub(crate) fn lone_partition(&self) -> Option<WholePartition<'_>> {
        let Reverse(first) = self.heap.peek()?;
        let Run::Segments(cursor) = &first.run else { return None };
        let whole = cursor.whole_partition()?;
        let others = self.heap.iter().filter(|Reverse(other)| other.age != first.age);
        let largest = whole.partition.meta.largest();
        let is_alone =
            others.map(|Reverse(other)| other.key()).all(|key| key.is_none_or(|key| key > largest));
        is_alone.then_some(whole)
    }

    /// Goes behind the partition that the next key begins.
    pub(crate) async fn skip_partition(&mut self, reader: &BlockReader) -> Result<()> {
        if let Some(Reverse(mut first)) = self.heap.pop() {
            if let Run::Segments(cursor) = &mut first.run {
                cursor.skip_partition(reader).await?;
            }
            self.put_back(first);
        }
        Ok(())
    }

    fn visit<T>(&self, first: &Ranked, more: &[Ranked], visit: impl FnOnce(Writes<'_>) -> T) -> Option<T> {
        let (key, newest) = first.run.current()?;
        // The newest run with a range deletion over the key: it hides what is older than it.
        let others = self.heap.iter().map(|Reverse(ranked)| ranked).chain(&self.ended);
        let deleting = others.chain(more).chain([first]).filter(|ranked| ranked.run.deletes(key));
        let hidden_from = deleting.map(|ranked| ranked.age).min();
        let is_seen = |ranked: &&Ranked| hidden_from.is_none_or(|age| ranked.age <= age);
        let is_deleted_below = hidden_from.is_some();
        let alone = [newest];
        let several: Vec<Entry<'_>>;
        let entries = if more.is_empty() {
            if is_seen(&first) { alone.as_slice() } else { &[] }
        } else {
            let seen = std::iter::once(first).chain(more).filter(is_seen);
            several = seen.filter_map(|ranked| ranked.run.current()).map(|(_, entry)| entry).collect();
            several.as_slice()
        };
        Some(visit(Writes { key, entries, is_deleted_below }))
    }
}
