//! The state of one shard: the sum of its parts, and the version that reads begin in.

use crate::blocks::reader::BlockReader;
use crate::compact::state::CompactionState;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::hot::HotSegments;
use crate::memtable::Memtables;
use crate::name;
use crate::notify::LocalNotify;
use crate::options::Options;
use crate::segment::SegmentEntry;
use crate::shard::parts::answers::Answers;
use crate::shard::parts::counters::Counters;
use crate::shard::parts::flush_queue::{FlushQueue, Freeze};
use crate::shard::parts::growing::Growing;
use crate::shard::parts::heat::Heat;
use crate::shard::parts::hot_list::HotList;
use crate::shard::parts::keeper::Keeper;
use crate::shard::parts::point_index::PointIndex;
use crate::shard::parts::pressure::{Debt, Pressure};
use crate::shard::parts::resizes::Resizes;
use crate::shard::parts::snapshots::Snapshots;
use crate::shard::parts::tasks::Tasks;
use crate::shard::parts::waiting::Waiting;
use crate::shard::parts::warm_up::WarmUp;
use crate::shard_budget::ShardBudget;
use crate::shared::Shared;
use crate::version::{Frozen, SegmentId, Version};
use aquifer_cache::{Cache, CacheOptions, SsdMode};
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// The point index may take one part in so many of the cache's memory: a slot and a half for every hundred bytes of entry.
pub(crate) const POINT_INDEX_PART: usize = 8;

/// The state of one shard.
pub(crate) struct ShardCore {
    pub(crate) id: usize,
    pub(crate) groups: Range<u16>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) budget: Cell<ShardBudget>,
    pub(crate) blocks: BlockReader,
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
    pub(crate) version: RefCell<Rc<Version>>,
    /// Memory of its frozen memtables.
    pub(crate) frozen_bytes: Cell<usize>,
    /// Frozen memtables that have become segments.
    pub(crate) flushes_seen: Cell<u64>,
    /// Entries that were kept by themselves.
    pub(crate) entries_kept: Cell<u64>,
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
    pub(crate) version_debt: Cell<Debt>,
    /// What lookups waited for lately.
    pub(crate) heat: Heat,
    /// The hot list of the last checkpoint, as far as it is this shard's.
    pub(crate) hot_list: RefCell<HotList>,
    pub(crate) warm_up: WarmUp,
    /// Whether checkpoints name what is in use.
    pub(crate) lists_hot: bool,
    /// What the memory tier of the cache has now: its part of the budget less the SSD tier's index.
    pub(crate) cache_share: Cell<usize>,
    /// What the merge under way may take; 0 if there is none.
    pub(crate) merge_bytes: Cell<usize>,
    pub(crate) resizes: Resizes,
    pub(crate) tasks: Tasks,
    pub(crate) answers: Answers,
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
    let disk_path = options.disk.dir.as_ref().map(|folder| folder.join(name::cache_file(id)));
    let cache = Cache::open(CacheOptions {
        memory_bytes: budget.cache_bytes,
        meta_bytes_max: budget.meta_bytes_max,
        disk_bytes: budget.disk_bytes,
        disk_path,
        mode: options.disk.mode,
        write_buffer_bytes: budget.write_buffer_bytes,
        store: shared.store,
        disk_write_bytes_per_day: budget.disk_write_bytes_per_day,
        disk_write_bytes_per_s: budget.disk_write_bytes_per_s,
        ..CacheOptions::default()
    })
    .await
    .map_err(|error| Error::new(ErrorKind::Local, error.to_string()))?;
    let shards = shared.route.shards();
    let groups = shared.route.groups(id);
    let version = Version::restored(segments);
    Ok(Rc::new(ShardCore {
        id,
        memtable: RefCell::new(Memtables::new(&groups, budget.memtable_parts)),
        groups,
        blocks: BlockReader { cache, remote: Arc::clone(&shared.remote) },
        shared,
        budget: Cell::new(budget),
        keeper: (options.disk.mode == SsdMode::Pinned).then(Keeper::default),
        points: RefCell::new(PointIndex::new(budget.cache_bytes / POINT_INDEX_PART)),
        write_sequence: Cell::new(0),
        snapshots: Snapshots::default(),
        growing: Growing::default(),
        waiting: Waiting::default(),
        heat: Heat::new(if options.warm_up { budget.cache_bytes } else { 0 }),
        hot_list: RefCell::default(),
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
    pub(crate) fn reads_served(&self) -> u64 {
        self.counters.reads_immediate.get() + self.counters.reads_waited.get()
    }

    /// Whether what is written is likely to be read soon.
    pub(crate) fn is_read(&self) -> bool {
        self.compaction.demand.is_read(self.reads_served(), self.counters.writes.get())
    }

    /// Lookups, or a scan, looked into `searches` runs beyond the first. When reads have paid for a merge by that, compaction hears of it.
    #[inline]
    pub(crate) fn pay(&self, searches: u64) {
        if searches > 0 && self.compaction.read_cost.pay(searches) {
            self.runs_changed.notify();
        }
    }

    /// What reads of the present version cost.
    pub(crate) fn note_depth(&self) {
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
