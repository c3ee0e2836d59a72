//! A shard: key groups, memtable, segments and cache, owned by one thread, without a lock.
//!
//! ```text
//! mailbox ─> loop ─┬─ write ──> memtable ──full──> frozen ──> flush task ──> pack on the DFS ──> segment
//!                  ├─ read ───> memtable, frozen, segments: answered at once if all is in memory, else by a task of its own
//!                  └─ barrier > freeze, then the flush task hands its segment to the checkpoint
//! ```
//! An operation takes effect when the loop meets it: a write changes the memtable there and then, and a read looks at the memtable
//! and at the version of that moment even if it waits for blocks later. What must wait before it can take effect lines up by key
//! ([`order`]), so operations on one key keep the order of the mailbox.

mod counters;
mod answers;
mod growing;
pub(crate) mod blocks;
mod budget;
mod flush;
mod heat;
pub(crate) mod keeper;
mod order;
mod pinned;
mod point_index;
pub(crate) mod pressure;
mod read_ahead;
mod refill;
mod tasks;
mod trial;
mod windows;
mod lookup;
mod search;
pub(crate) mod source;
mod segment_cursor;
pub(crate) mod warm_up;
mod snapshot;
mod multi_get;
mod hot;
pub(crate) mod merge;
pub(crate) mod run_cursor;
pub(crate) mod scan;
mod answer_reads;
mod room;
mod look;
mod apply;
mod stats;
mod local;
mod life;

use crate::compact::run::CompactionState;
use crate::error::{Error, Result};
use crate::manifest::hot::HotSegments;
use crate::memtable::Memtables;
use crate::name;
use crate::notify::LocalNotify;
use crate::options::Options;
use crate::segment::SegmentEntry;
use crate::shard_budget::ShardBudget;
use crate::shared::Shared;
use crate::version::{Frozen, SegmentId, Version};
use answers::Answers;
use aquifer_cache::{Cache, CacheOptions, SsdMode};
use blocks::CachedBlock;
use budget::Resizes;
pub(crate) use counters::{Counters, add};
use flush::FlushQueue;
use growing::Growing;
use heat::Heat;
use hot::Gathered;
use keeper::Keeper;
pub(crate) use life::live;
pub use local::Shard;
pub(crate) use local::check_keys;
use order::Waiting;
use point_index::PointIndex;
use pressure::{Debt, Pressure};
use snapshot::Snapshots;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use tasks::Tasks;
use warm_up::WarmUp;

/// The point index may take one part in so many of the cache's memory: a slot and a half for every hundred bytes of entry.
const POINT_INDEX_PART: usize = 8;

/// The state of one shard.
pub(crate) struct ShardCore {
    pub(crate) id: usize,
    pub(crate) groups: Range<u16>,
    pub(crate) shared: Arc<Shared>,
    budget: Cell<ShardBudget>,
    pub(crate) cache: Cache<CachedBlock>,
    /// Of a disk tier that is pinned.
    pub(crate) keeper: Option<Keeper>,
    pub(crate) memtable: RefCell<Memtables>,
    pub(crate) points: RefCell<PointIndex>,
    /// Of the last write.
    pub(crate) write_sequence: Cell<u64>,
    pub(crate) snapshots: Snapshots,
    /// Lengths of large values that merges add to.
    pub(crate) growing: Growing,
    pub(crate) waiting: Waiting,
    version: RefCell<Rc<Version>>,
    /// Memory of its frozen memtables.
    frozen_bytes: Cell<usize>,
    /// Frozen memtables that have become segments.
    flushes_seen: Cell<u64>,
    /// Entries that were kept by themselves.
    entries_kept: Cell<u64>,
    pub(crate) flushes: FlushQueue,
    pub(crate) reads_in_flight: Cell<usize>,
    /// Told when a read ends or a version changes: what the loop may wait for.
    pub(crate) progress: LocalNotify,
    /// Told when runs came or went: what compaction waits for.
    pub(crate) runs_changed: LocalNotify,
    pub(crate) counters: Counters,
    pub(crate) compaction: CompactionState,
    pub(crate) pressure: Pressure,
    /// What the present version is behind with.
    version_debt: Cell<Debt>,
    /// What lookups waited for lately.
    pub(crate) heat: Heat,
    /// The hot list of the last checkpoint, as far as it is this shard's.
    gathered: RefCell<Gathered>,
    pub(crate) warm_up: WarmUp,
    /// Whether checkpoints name what is in use.
    lists_hot: bool,
    /// What the memory tier of the cache has now: its part of the budget less the SSD tier's index.
    cache_share: Cell<usize>,
    /// What the merge under way may take; 0 if there is none.
    merge_bytes: Cell<usize>,
    resizes: Resizes,
    tasks: Tasks,
    answers: Answers,
}

/// What of a memtable is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freeze {
    All,
    /// The part that holds most.
    Fullest,
}

/// What a shard starts from.
pub(crate) struct ShardStart {
    pub(crate) id: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Options,
    pub(crate) budget: ShardBudget,
    pub(crate) segments: Vec<SegmentEntry>,
    /// What of the store was in use at the checkpoint.
    pub(crate) hot: Arc<HotSegments<SegmentId>>,
}

/// Opens the shard's cache and builds its state.
pub(crate) async fn open(start: ShardStart) -> Result<Rc<ShardCore>> {
    let ShardStart { id, shared, options, budget, segments, hot } = start;
    let disk_path = options.local_dir.as_ref().map(|folder| folder.join(name::cache_file(id)));
    let cache = Cache::open(CacheOptions {
        memory_bytes: budget.cache_bytes,
        meta_bytes_max: budget.meta_bytes_max,
        disk_bytes: budget.disk_bytes,
        disk_path,
        mode: options.disk_mode,
        write_buffer_bytes: budget.write_buffer_bytes,
        store: shared.store,
        disk_write_bytes_per_day: budget.disk_write_bytes_per_day,
        disk_write_bytes_per_s: budget.disk_write_bytes_per_s,
        ..CacheOptions::default()
    })
    .await
    .map_err(|error| Error::new(crate::ErrorKind::Local, error.to_string()))?;
    let shards = shared.route.shards();
    let groups = shared.route.groups(id);
    let version = Version::restored(segments);
    Ok(Rc::new(ShardCore {
        id,
        memtable: RefCell::new(Memtables::new(&groups, budget.memtable_parts)),
        groups,
        shared,
        budget: Cell::new(budget),
        keeper: (options.disk_mode == SsdMode::Pinned).then(Keeper::default),
        cache,
        points: RefCell::new(PointIndex::new(budget.cache_bytes / POINT_INDEX_PART)),
        write_sequence: Cell::new(0),
        snapshots: Snapshots::default(),
        growing: Growing::default(),
        waiting: Waiting::default(),
        heat: Heat::new(if options.warm_up { budget.cache_bytes } else { 0 }),
        gathered: RefCell::default(),
        warm_up: WarmUp::new(&hot, &version),
        lists_hot: options.warm_up,
        version: RefCell::new(Rc::new(version)),
        frozen_bytes: Cell::new(0),
        flushes_seen: Cell::new(0),
        entries_kept: Cell::new(0),
        flushes: FlushQueue::default(),
        reads_in_flight: Cell::new(0),
        progress: LocalNotify::default(),
        runs_changed: LocalNotify::default(),
        counters: Counters::default(),
        compaction: CompactionState::new(&options, shards, budget.flush_unit_bytes()),
        pressure: Pressure::default(),
        version_debt: Cell::default(),
        cache_share: Cell::new(budget.cache_bytes),
        merge_bytes: Cell::new(0),
        resizes: Resizes::default(),
        tasks: Tasks::default(),
        answers: Answers::default(),
    }))
}

impl ShardCore {
    /// Reads served so far.
    pub(crate) fn reads(&self) -> u64 {
        self.counters.reads_immediate.get() + self.counters.reads_waited.get()
    }

    /// Whether what is written is likely to be read soon.
    pub(crate) fn is_read(&self) -> bool {
        self.compaction.demand.is_read(self.reads(), self.counters.writes.get())
    }

    /// Lookups, or a scan, looked into `searches` runs beyond the first. When reads have paid for a merge by that, compaction hears of it.
    #[inline]
    pub(crate) fn pay(&self, searches: u64) {
        if searches > 0 && self.compaction.read_cost.pay(searches) {
            self.runs_changed.notify();
        }
    }

    /// What reads of the present version cost.
    fn note_depth(&self) {
        let version = self.version();
        let entries =
            version.segments().map(|segment| segment.share(&self.groups, segment.facts.entries)).sum();
        self.compaction.read_cost.version_changed(version.depth(&self.groups), entries);
    }

    pub(crate) fn version(&self) -> Rc<Version> {
        Rc::clone(&self.version.borrow())
    }

    /// Makes `next` the version that reads begin in from now on.
    pub(crate) fn set_version(&self, next: Version) {
        // Range deletions that were seen in a memtable are in segments from now on, below what the point index knows.
        let range_deletions =
            |version: &Version| version.frozen.iter().filter(|f| f.memtable.has_range_deletions()).count();
        if range_deletions(&next) < range_deletions(&self.version.borrow()) {
            self.points.borrow_mut().clear();
        }
        if next.frozen.len() < self.version.borrow().frozen.len() {
            self.flushes_seen.set(self.flushes_seen.get() + 1);
        }
        if let Some(keeper) = &self.keeper {
            // Before the last version goes: what both have is needed all the time.
            keeper.adopt_all(&next);
        }
        self.frozen_bytes.set(next.frozen_bytes());
        *self.version.borrow_mut() = Rc::new(next);
        self.note_depth();
        self.version_debt.set(self.debt_of_version());
        self.progress.notify();
        self.runs_changed.notify();
    }

    /// Moves the memtable, or its fullest part alone, under a fresh one; `None` if that holds nothing.
    pub(crate) fn freeze(&self, which: Freeze) -> Option<Rc<Frozen>> {
        if self.memtable.borrow().is_empty() {
            return None;
        }
        let memtable = match which {
            Freeze::All => self.memtable.borrow_mut().take_all(),
            Freeze::Fullest => self.memtable.borrow_mut().take_fullest(),
        };
        let frozen = Rc::new(Frozen {
            sequence: self.shared.next_sequence(),
            last_write: self.write_sequence.get(),
            memtable,
        });
        self.snapshots.froze(&frozen, which);
        let next = self.version().with_frozen(Rc::clone(&frozen));
        self.set_version(next);
        self.balance_memory();
        Some(frozen)
    }
}
