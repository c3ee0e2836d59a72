//! Point lookups: memtable, frozen memtables, the point index (by a key's hash, the block and the entry of keys that were found in memory
//! before), then of each sorted run the one segment that may hold the key, if
//! its filter lets the key pass; newest first, until the value is known.

use crate::answer::{Answer, Source};
use crate::blocks::cached_block::CachedBlock;
use crate::error::Result;
use crate::key::of_key;
use crate::memtable::{Found, Memtables};
use crate::resolve::{Base, Resolver};
use crate::segment::data::DataBlock;
use crate::segment::filter;
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::shard::parts::counters::add;
use crate::shard::parts::point_index::Spot;
use crate::shard::reads::walk::{BlockSupply, Last, OpenSegment, Walked};
use crate::shard::shard_core::ShardCore;
use crate::version::{Segment, Version};
use aquifer_cache::{CacheKey, Class, MemorySlot};
use std::ops::ControlFlow;
use std::rc::Rc;

/// Keys that [`ShardCore::look_ahead`] takes at a time: more than the processor fetches at once, few enough that no line is pushed out before it is used.
pub(crate) const LOOK_AHEAD_KEYS: usize = 32;

/// Largest entry, key and value, that is kept by itself: a larger one nearly fills its block, so that keeping it apart saves nothing.
const KEPT_ENTRY_BYTES_MAX: usize = 1024;

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

/// What to note in the point index when a search that had to wait ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IndexUpdate {
    /// Nothing: the read is of a snapshot, or memtables hold operands of the key.
    Nothing,
    /// That the key was read is noted.
    Note,
    /// The index knew the key and its block had left memory: its entry is kept as a block of its own, unless a flush ended since.
    Keep { flushes_seen: u64 },
}

/// What the point index knows of a key.
enum Indexed {
    /// Its block and the number of its entry.
    Entry(Rc<DataBlock>, usize),
    /// It knew it, and the block has left memory.
    HasLeft,
    Unknown,
}

/// Supplies a walk with blocks from memory alone.
struct MemorySupply {
    run: usize,
    resolver: Resolver,
    /// Where the last block is.
    place: MemorySlot,
}

impl BlockSupply for MemorySupply {
    #[inline]
    fn run(&self) -> usize {
        self.run
    }

    #[inline]
    fn next_run(&mut self) {
        self.run += 1;
    }

    #[inline]
    fn resolver(&mut self) -> &mut Resolver {
        &mut self.resolver
    }

    #[inline]
    fn head(&mut self, core: &ShardCore, segment: &Rc<Segment>) -> Option<Rc<SegmentHead>> {
        core.blocks.head_now(segment)
    }

    #[inline]
    fn meta(
        &mut self,
        core: &ShardCore,
        open: OpenSegment<'_>,
        (position, handle): (usize, &PartitionHandle),
    ) -> Result<Option<Rc<PartitionMeta>>> {
        Ok(core.blocks.partition_now(open.segment, open.head, position, handle))
    }

    #[inline]
    fn data(
        &mut self,
        core: &ShardCore,
        open: OpenSegment<'_>,
        _partition: (usize, &PartitionHandle, &PartitionMeta),
        handle: BlockHandle,
    ) -> Result<Option<Rc<DataBlock>>> {
        let found = core.blocks.data_placed_now(open.segment, &handle);
        Ok(found.map(|(block, place)| {
            self.place = place;
            block
        }))
    }
}

/// A lookup that stopped at run `next` of its version.
pub(crate) struct Pending {
    pub(crate) version: Rc<Version>,
    pub(crate) next: usize,
    pub(crate) hash: u64,
    pub(crate) resolver: Resolver,
    pub(crate) source: Source,
    /// What becomes of the point index's knowledge of the key when the search ends.
    pub(crate) then: IndexUpdate,
}

impl ShardCore {
    /// The value of `key` from memory, handed to `take`, or where to go on.
    pub(crate) fn look_now<T>(
        &self,
        key: &[u8],
        view: Option<&View>,
        take: impl FnOnce(&Self, Resolver, Base<'_>, Source) -> Result<T>,
    ) -> Result<Now<T>> {
        self.look_unnamed(key, view, take).map_err(|error| of_key(error, key))
    }

    #[inline]
    fn look_unnamed<T>(
        &self,
        key: &[u8],
        view: Option<&View>,
        take: impl FnOnce(&Self, Resolver, Base<'_>, Source) -> Result<T>,
    ) -> Result<Now<T>> {
        let mut resolver = Resolver::new();
        let at = view.map_or(u64::MAX, |view| view.at);
        let hash = filter::hash(key);
        // On its way while the memtables are asked.
        self.points.borrow().prefetch(hash);
        if view.is_none_or(|view| view.with_memtable) {
            let memtable = self.memtable.borrow();
            if let Some(base) = self.search_memtable(&memtable, (key, hash), at, &mut resolver)? {
                add(&self.counters.reads_immediate, 1);
                return take(self, resolver, base, Source::Memtable).map(Now::Known);
            }
        }
        match view {
            Some(view) => self.look_below((key, hash), &view.version, at, resolver, false, take),
            None => self.look_below((key, hash), &self.version.borrow(), at, resolver, true, take),
        }
    }

    /// The same below the memtable that takes writes. `newest`: the read sees every write, as the point index does.
    fn look_below<T>(
        &self,
        (key, hash): (&[u8], u64),
        version: &Rc<Version>,
        at: u64,
        mut resolver: Resolver,
        newest: bool,
        take: impl FnOnce(&Self, Resolver, Base<'_>, Source) -> Result<T>,
    ) -> Result<Now<T>> {
        for frozen in &version.frozen {
            if let Some(base) = self.search_memtable(&frozen.memtable, (key, hash), at, &mut resolver)? {
                add(&self.counters.reads_immediate, 1);
                return take(self, resolver, base, Source::Memtable).map(Now::Known);
            }
        }
        // What a memtable has operands of is found by a whole search.
        let by_index = newest && !resolver.is_waiting();
        let mut then = IndexUpdate::Nothing;
        match by_index.then(|| self.indexed(hash)) {
            Some(Indexed::Entry(block, number)) => {
                let mut resolver = Resolver::new();
                if let Some(entry) = block.entry_of(number, key)
                    && let ControlFlow::Break(base) = self.feed(&mut resolver, entry)?
                {
                    add(&self.counters.reads_immediate, 1);
                    return take(self, resolver, base, Source::Memory).map(Now::Known);
                }
            }
            // It is asked for more often than the others of its block, which has left memory.
            Some(Indexed::HasLeft) => then = IndexUpdate::Keep { flushes_seen: self.flushes_seen.get() },
            Some(Indexed::Unknown) => then = IndexUpdate::Note,
            None => {}
        }
        let walked = self.walk(
            MemorySupply { run: 0, resolver, place: MemorySlot::NONE },
            (key, hash),
            &version.runs,
            |supply, base, last| {
                let mut source = Source::Memory;
                match last {
                    Some(last) => {
                        if by_index && last.is_first {
                            let spot = Spot { place: supply.place, number: last.number };
                            if self.points.borrow_mut().note(hash, spot) {
                                self.balance_memory();
                            }
                        }
                    }
                    None if supply.resolver.is_waiting() => {}
                    None => source = Source::Absent,
                }
                self.pay(supply.run.min(version.runs.len().saturating_sub(1)) as u64);
                add(&self.counters.reads_immediate, 1);
                take(self, supply.resolver, base, source)
            },
        );
        Ok(match walked? {
            Walked::Known(taken) => Now::Known(taken),
            Walked::Stopped(supply) => {
                Now::Waits(Pending::boxed(Rc::clone(version), supply.run, hash, supply.resolver, then))
            }
        })
    }

    /// Asks the processor for the memory that lookups of these keys are about to read, step by step for all of them: while one key's line
    /// is on its way the others are asked for. Changes nothing but the time that the lookups take, which follow at once.
    pub(crate) fn look_ahead(&self, keys: &[Box<[u8]>]) {
        debug_assert!(keys.len() <= LOOK_AHEAD_KEYS);
        let points = self.points.borrow();
        if points.bytes() == 0 {
            return;
        }
        let mut hashes = [0u64; LOOK_AHEAD_KEYS];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = filter::hash(key);
            points.prefetch(*hash);
        }
        let era = self.blocks.cache.era(Class::Data);
        let mut spots = [None; LOOK_AHEAD_KEYS];
        for (spot, hash) in spots.iter_mut().zip(hashes.iter().take(keys.len())) {
            *spot = points.find(*hash, era);
            if let Some(spot) = spot {
                self.blocks.cache.prefetch_at(Class::Data, spot.place);
            }
        }
        let each = |look: &dyn Fn(&Rc<DataBlock>, usize)| {
            for spot in spots.iter().flatten() {
                self.blocks.cache.peek_at(Class::Data, spot.place, |block| {
                    if let CachedBlock::Data(block) = block {
                        look(block, spot.number);
                    }
                });
            }
        };
        each(&|block, _| aquifer_io::prefetch(&**block));
        each(&|block, number| block.prefetch_offset(number));
        each(&|block, number| block.prefetch_entry(number));
    }

    /// What the point index knows of a key.
    #[inline]
    fn indexed(&self, hash: u64) -> Indexed {
        let Some(spot) = self.points.borrow().find(hash, self.blocks.cache.era(Class::Data)) else {
            return Indexed::Unknown;
        };
        if let Some(CachedBlock::Data(block)) = self.blocks.cache.get_at(Class::Data, spot.place) {
            self.points.borrow().was_good();
            return Indexed::Entry(block, spot.number);
        }
        self.points.borrow_mut().forget_stale(hash);
        Indexed::HasLeft
    }

    /// Keeps an entry that a search found as a block of its own, when its key was read before: it is read more often than the block it is
    /// in, and takes a tenth of the memory. Only if it is still the newest write: no memtable has a word on the key, and none was flushed since the search began.
    pub(crate) fn keep_entry(&self, key: &[u8], last: &Last<'_>, pending: &Pending) {
        let (entry, hash) = (&last.entry, pending.hash);
        let is_newest = match pending.then {
            IndexUpdate::Keep { flushes_seen } => flushes_seen == self.flushes_seen.get(),
            IndexUpdate::Note => {
                let era = self.blocks.cache.era(Class::Data);
                if self.points.borrow_mut().note_absent(hash, era) {
                    self.balance_memory();
                }
                false
            }
            IndexUpdate::Nothing => false,
        };
        if !is_newest
            || pending.resolver.is_waiting()
            || key.len() + entry.payload().len() > KEPT_ENTRY_BYTES_MAX
        {
            return;
        }
        let known = |tables: &Memtables| {
            tables.of(key).is_some_and(|table| table.get_hashed(key, hash, u64::MAX).is_some())
        };
        let version = self.version();
        if known(&self.memtable.borrow()) || version.frozen.iter().any(|frozen| known(&frozen.memtable)) {
            return;
        }
        let Ok(block) = DataBlock::of_entry(key, entry, &last.segment.place(0)) else { return };
        let number = self.entries_kept.get();
        self.entries_kept.set(number + 1);
        // No block of a segment has a name with 0 bytes.
        let name = CacheKey { object: 0, offset: number, bytes: 0 };
        let place = self.blocks.cache.keep_placed(Class::Data, name, CachedBlock::Data(Rc::new(block)));
        if let Some(place) = place
            && self.points.borrow_mut().note(hash, Spot { place, number: 0 })
        {
            self.balance_memory();
        }
    }

    /// Answers from memory, or says where to go on.
    pub(crate) fn get_now(&self, key: &[u8], view: Option<&View>) -> Result<Now<Answer>> {
        self.look_now(key, view, Self::answer)
    }

    pub(crate) fn answer(&self, resolver: Resolver, base: Base<'_>, source: Source) -> Result<Answer> {
        Ok(Answer { value: resolver.finish(base, &self.shared.operators)?, source })
    }

    /// What a memtable says of `key`, if that ends the search.
    fn search_memtable<'a>(
        &self,
        memtables: &'a Memtables,
        (key, hash): (&[u8], u64),
        at: u64,
        resolver: &mut Resolver,
    ) -> Result<Option<Base<'a>>> {
        let Some(memtable) = memtables.of(key) else { return Ok(None) };
        match memtable.get_hashed(key, hash, at) {
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
    fn boxed(
        version: Rc<Version>,
        next: usize,
        hash: u64,
        resolver: Resolver,
        then: IndexUpdate,
    ) -> Box<Self> {
        let source = if resolver.is_waiting() { Source::Memtable } else { Source::Memory };
        Box::new(Self { version, next, hash, resolver, source, then })
    }
}
