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
use crate::segment::index::BlockHandle;
use crate::segment::meta::SegmentMeta;
use crate::version::{Segment, SortedRun, Version};
use aquifer_cache::Tier;
use std::ops::ControlFlow;
use std::rc::Rc;

/// Reads that may bring blocks into the cache between two looks at its memory.
const BALANCE_READS: u64 = 256;

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

/// A lookup that stopped before run `next` of its version.
pub(crate) struct Pending {
    version: Rc<Version>,
    next: usize,
    hash: u64,
    resolver: Resolver,
    source: Source,
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
            let Some(meta) = self.meta_now(segment) else {
                return Ok(Now::Waits(Pending::boxed(version, next, hash, resolver)));
            };
            if let Some(handle) = candidate(&meta, key, hash) {
                let Some(block) = self.data_now(segment, handle) else {
                    return Ok(Now::Waits(Pending::boxed(version, next, hash, resolver)));
                };
                if let Some(entry) = look(&block, segment, handle, key)?
                    && let ControlFlow::Break(base) = self.feed(&mut resolver, entry)?
                {
                    add(&self.counters.reads_immediate, 1);
                    return take(self, resolver, base, Source::Memory).map(Now::Known);
                }
            }
            if meta.is_deleted(key) {
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

    /// Goes on where [`Self::look_now`] stopped, waiting for blocks. Sees what was there when the lookup began.
    pub(crate) async fn get_waiting(&self, key: &[u8], pending: Box<Pending>) -> Result<Answer> {
        add(&self.counters.reads_waited, 1);
        if self.counters.reads_waited.get().is_multiple_of(BALANCE_READS) {
            self.balance_memory();
        }
        let Pending { version, next, hash, mut resolver, mut source } = *pending;
        for run in version.runs.iter().skip(next) {
            let Some(segment) = holder(run, key) else { continue };
            let (meta, tier) = self.meta(segment).await?;
            source = source.max(of_tier(tier));
            if let Some(handle) = candidate(&meta, key, hash) {
                let (block, tier) = self.data(segment, handle).await?;
                source = source.max(of_tier(tier));
                if let Some(entry) = look(&block, segment, handle, key)?
                    && let ControlFlow::Break(base) = self.feed(&mut resolver, entry)?
                {
                    return self.answer(resolver, base, source);
                }
            }
            if meta.is_deleted(key) {
                break;
            }
        }
        self.answer(resolver, Base::Nothing, source)
    }

    fn answer(&self, resolver: Resolver, base: Base<'_>, source: Source) -> Result<Answer> {
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

const fn of_tier(tier: Tier) -> Source {
    match tier {
        Tier::Memory => Source::Memory,
        Tier::Ssd => Source::Ssd,
        Tier::Remote => Source::Remote,
    }
}

/// The one segment of a run that may hold the key and counts for its group.
fn holder<'a>(run: &'a SortedRun, key: &[u8]) -> Option<&'a Rc<Segment>> {
    let group = group_of(key)?;
    run.find(key).filter(|segment| segment.entry.groups.contains(&group))
}

/// The one block that may hold the key, if the filter lets it pass.
fn candidate(meta: &SegmentMeta, key: &[u8], hash: u64) -> Option<BlockHandle> {
    if meta.may_contain(hash) { meta.block(meta.seek(key)) } else { None }
}

fn look<'a>(
    block: &'a DataBlock,
    segment: &Segment,
    handle: BlockHandle,
    key: &[u8],
) -> Result<Option<Entry<'a>>> {
    Ok(block
        .get(key, &segment.place(u64::from(handle.offset)))?
        .map(|slot| slot.map_or(Entry::delete(), Entry::put)))
}
