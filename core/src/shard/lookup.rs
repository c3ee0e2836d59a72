//! Point lookups: memtable, frozen memtables, then of each sorted run the one segment that may hold the key, if its filter lets
//! the key pass; newest first, until the value is known.

use super::{ShardCore, add};
use crate::answer::{Answer, Source};
use crate::entry::Entry;
use crate::error::Result;
use crate::key::group_of;
use crate::memtable::{Found, Memtable};
use crate::resolve::{Base, Resolver};
use crate::segment::data::DataBlock;
use crate::segment::filter;
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::version::{Segment, SortedRun, Version};
use std::ops::ControlFlow;
use std::rc::Rc;

/// What a read sees, fixed at one moment.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) version: Rc<Version>,
    /// The newest write of a memtable that it sees.
    pub(crate) at: u64,
    /// Whether it sees the memtable that takes writes.
    pub(crate) with_memtable: bool,
}

/// What can be said without waiting.
pub(crate) enum Now<T> {
    Known(T),
    /// The next step needs SSD or DFS.
    Waits(Box<Pending>),
}

/// What memory has of the block that may hold a key.
enum InMemory {
    Block(Rc<DataBlock>),
    /// The segment does not hold the key.
    Nothing,
    /// It may, and memory cannot tell.
    Missing,
}

/// A lookup that stopped before run `next` of its version.
pub(crate) struct Pending {
    pub(super) version: Rc<Version>,
    pub(super) next: usize,
    pub(super) hash: u64,
    pub(super) resolver: Resolver,
    pub(super) source: Source,
}

impl ShardCore {
    /// The value of `key` from memory, handed to `take`, or where to go on.
    pub(crate) fn look_now<T>(
        &self,
        key: &[u8],
        view: Option<&View>,
        take: impl FnOnce(&Self, Resolver, Base<'_>, Source) -> Result<T>,
    ) -> Result<Now<T>> {
        let mut resolver = Resolver::new();
        let at = view.map_or(u64::MAX, |view| view.at);
        if view.is_none_or(|view| view.with_memtable) {
            let memtable = self.memtable.borrow();
            if let Some(base) = self.search_memtable(&memtable, key, at, &mut resolver)? {
                add(&self.counters.reads_immediate, 1);
                return take(self, resolver, base, Source::Memtable).map(Now::Known);
            }
        }
        let version = view.map_or_else(|| self.version(), |view| Rc::clone(&view.version));
        for frozen in &version.frozen {
            if let Some(base) = self.search_memtable(&frozen.memtable, key, at, &mut resolver)? {
                add(&self.counters.reads_immediate, 1);
                return take(self, resolver, base, Source::Memtable).map(Now::Known);
            }
        }
        let hash = filter::hash(key);
        for (next, run) in version.runs.iter().enumerate() {
            let Some(segment) = holder(run, key) else { continue };
            let Some(head) = self.head_now(segment) else {
                return Ok(Now::Waits(Pending::boxed(version, next, hash, resolver)));
            };
            match self.block_now(segment, &head, key, hash) {
                InMemory::Nothing => {}
                InMemory::Missing => return Ok(Now::Waits(Pending::boxed(version, next, hash, resolver))),
                InMemory::Block(block) => {
                    if let Some(entry) = block.get(key, hash)
                        && let ControlFlow::Break(base) = self.feed(&mut resolver, entry)?
                    {
                        add(&self.counters.reads_immediate, 1);
                        return take(self, resolver, base, Source::Memory).map(Now::Known);
                    }
                }
            }
            if head.range_deletes().covers(key) {
                break;
            }
        }
        add(&self.counters.reads_immediate, 1);
        let source = if resolver.is_waiting() { Source::Memory } else { Source::Absent };
        take(self, resolver, Base::Nothing, source).map(Now::Known)
    }

    /// Answers from memory, or says where to go on.
    pub(crate) fn get_now(&self, key: &[u8], view: Option<&View>) -> Result<Now<Answer>> {
        self.look_now(key, view, Self::answer)
    }

    /// The one block of a segment that may hold the key, if memory can tell.
    #[inline]
    fn block_now(&self, segment: &Segment, head: &SegmentHead, key: &[u8], hash: u64) -> InMemory {
        let Some(partition) = partition_of(head, key) else { return InMemory::Nothing };
        let Some(meta) = self.partition_now(segment, &partition) else { return InMemory::Missing };
        let Some(handle) = candidate(&meta, &partition, key, hash) else { return InMemory::Nothing };
        self.data_now(segment, &handle).map_or(InMemory::Missing, InMemory::Block)
    }

    pub(super) fn answer(&self, resolver: Resolver, base: Base<'_>, source: Source) -> Result<Answer> {
        Ok(Answer { value: resolver.finish(base, &self.shared.operators)?, source })
    }

    pub(crate) fn feed<'a>(
        &self,
        resolver: &mut Resolver,
        entry: Entry<'a>,
    ) -> Result<ControlFlow<Base<'a>>> {
        resolver.feed(entry, || self.shared.now_ms(), &self.shared.operators)
    }

    /// What a memtable says of `key`, if that ends the search.
    fn search_memtable<'a>(
        &self,
        memtable: &'a Memtable,
        key: &[u8],
        at: u64,
        resolver: &mut Resolver,
    ) -> Result<Option<Base<'a>>> {
        match memtable.get(key, at) {
            None => Ok(None),
            Some(Found::RangeDeleted { .. }) => Ok(Some(Base::Nothing)),
            Some(Found::Entry { entry, .. }) => {
                if let ControlFlow::Break(base) = self.feed(resolver, entry)? {
                    return Ok(Some(base));
                }
                // A range deletion below the operands ends the search as well.
                Ok(memtable.is_range_deleted(key, at).then_some(Base::Nothing))
            }
        }
    }
}

impl Pending {
    fn boxed(version: Rc<Version>, next: usize, hash: u64, resolver: Resolver) -> Box<Self> {
        let source = if resolver.is_waiting() { Source::Memtable } else { Source::Memory };
        Box::new(Self { version, next, hash, resolver, source })
    }
}

/// The one segment of a run that may hold the key and counts for its group.
pub(super) fn holder<'a>(run: &'a SortedRun, key: &[u8]) -> Option<&'a Rc<Segment>> {
    let group = group_of(key)?;
    run.find(key).filter(|segment| segment.entry.groups.contains(&group))
}

/// The one partition that may hold the key.
pub(super) fn partition_of(head: &SegmentHead, key: &[u8]) -> Option<PartitionHandle> {
    head.partition(head.seek(key)?)
}

/// The one block that may hold the key, if the filter lets it pass.
pub(super) fn candidate(
    meta: &PartitionMeta,
    partition: &PartitionHandle,
    key: &[u8],
    hash: u64,
) -> Option<BlockHandle> {
    if meta.may_contain(hash) { meta.block(meta.seek(key)?, partition.offset) } else { None }
}
