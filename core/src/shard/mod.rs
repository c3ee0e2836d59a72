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

mod answers;
mod growing;
mod apply;
pub(crate) mod blocks;
mod budget;
mod flush;
mod heat;
mod hot;
pub(crate) mod keeper;
mod local;
mod lookup;
pub(crate) mod merge;
mod multi_get;
mod order;
mod pinned;
mod point_index;
pub(crate) mod pressure;
mod read_ahead;
mod refill;
pub(crate) mod run_cursor;
pub(crate) mod scan;
mod search;
mod segment_cursor;
mod snapshot;
pub(crate) mod source;
mod tasks;
mod trial;
pub(crate) mod warm_up;
mod windows;

use crate::compact;
use crate::compact::run::CompactionState;
use crate::embedder;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::limits::MAILBOX_BATCH;
use crate::mailbox::Mailbox;
use crate::manifest::format::SegmentEntry;
use crate::manifest::hot::HotSegments;
use crate::memtable::Memtables;
use crate::name;
use crate::notify::LocalNotify;
use crate::opening::ShardOpening;
use crate::options::{Options, ShardBudget};
use crate::reply::because;
use crate::request::Request;
use crate::stats::ShardStats;
use crate::version::{Frozen, SegmentId, SortedRun, Version};
use answers::Answers;
use aquifer_cache::{Cache, CacheOptions, SsdMode};
use blocks::CachedBlock;
use budget::Resizes;
use flush::FlushQueue;
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use growing::Growing;
use heat::Heat;
use hot::Gathered;
use keeper::Keeper;
pub use local::Shard;
pub(crate) use local::check_keys;
use order::Waiting;
use point_index::PointIndex;
use pressure::{Debt, Pressure};
use snapshot::Snapshots;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
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

/// What only counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) reads_immediate: Cell<u64>,
    pub(crate) reads_waited: Cell<u64>,
    pub(crate) writes: Cell<u64>,
    pub(crate) write_stalls: Cell<u64>,
    pub(crate) flushes: Cell<u64>,
    pub(crate) flushed_bytes: Cell<u64>,
    pub(crate) compactions: Cell<u64>,
    pub(crate) compacted_bytes: Cell<u64>,
    pub(crate) copied_bytes: Cell<u64>,
    pub(crate) compaction_errors: Cell<u64>,
}

/// What of a memtable is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freeze {
    All,
    /// The part that holds most.
    Fullest,
}

pub(crate) fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
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

/// A shard's life: it opens, says how that went, and serves its mailbox until that is closed.
pub(crate) async fn live(
    start: ShardStart,
    mailbox: Arc<Mailbox<Request>>,
    opening: Option<ShardOpening>,
    ready: oneshot::Sender<Result<()>>,
) {
    let core = match open(start).await {
        Ok(core) => core,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if let Some(opening) = opening {
        let outcome = {
            // Nobody has a client yet: the mailbox only says that the opening was given up.
            let mut nothing = VecDeque::new();
            let (pinned, given_up) = (core.open_pinned(opening), mailbox.take_all(&mut nothing));
            futures_util::pin_mut!(pinned, given_up);
            match select(pinned, given_up).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => Err(Error::closed()),
            }
        };
        if let Err(error) = outcome {
            // What is local by now is there for the next to open the store here.
            core.cache.close().await;
            return drop(ready.send(Err(error)));
        }
    }
    drop(ready.send(Ok(())));
    run(core, mailbox).await;
}

/// Serves the mailbox until it is closed, or something of the shard panics; then ends all that the shard does, at once.
async fn run(core: Rc<ShardCore>, mailbox: Arc<Mailbox<Request>>) {
    core.spawn(flush::run(Rc::clone(&core)));
    core.spawn(compact::run::run(Rc::clone(&core)));
    core.spawn(warm_up::run(Rc::clone(&core)));
    if core.keeper.is_some() {
        core.spawn(keeper::run(Rc::clone(&core)));
    }
    core.note_depth();
    // Unwind safe: after a panic nothing of the shard is asked any more.
    let mut serving = Box::pin(AssertUnwindSafe(serve(&core, &mailbox)).catch_unwind());
    let panicked = {
        let panicked = std::pin::pin!(aquifer_io::vital_panic());
        let closed = std::pin::pin!(mailbox.closed());
        let served = async { serving.as_mut().await.err() };
        let served = std::pin::pin!(served);
        match select(served, select(closed, panicked)).await {
            Either::Left((served, _)) => served.map(|payload| embedder::message(payload.as_ref()).to_owned()),
            Either::Right((Either::Left(_), _)) => None,
            Either::Right((Either::Right((message, _)), _)) => Some(message),
        }
    };
    let why = match &panicked {
        None => mailbox.closed().await,
        Some(message) => core.shared.shard_panicked(core.id, message),
    };
    mailbox.close(&why);
    // What is being handled, and what was taken out of the mailbox with it.
    because(&why, || drop(serving));
    because(&why, || core.waiting.clear());
    core.end_tasks(&why).await;
    because(&why, || core.flushes.clear());
    if panicked.is_none() {
        core.resized().await;
        // What is on the SSD is there for the next to open the store here.
        core.cache.close().await;
    }
}

/// Handles what is in the mailbox, in order, until it is closed.
async fn serve(core: &Rc<ShardCore>, mailbox: &Mailbox<Request>) {
    let mut batch = VecDeque::new();
    while mailbox.take_all(&mut batch).await {
        let mut handled = 0;
        while let Some(request) = batch.pop_front() {
            core.handle(request).await;
            handled += 1;
            if handled % MAILBOX_BATCH == 0 {
                aquifer_io::yield_now().await;
            }
        }
        aquifer_io::yield_now().await;
    }
}

impl ShardCore {
    async fn handle(self: &Rc<Self>, request: Request) {
        match request {
            Request::Keyed(key, keyed) => self.in_turn(key, keyed).await,
            Request::MultiGet { keys, ask, reply } => {
                self.after_all().await;
                self.effect_multi_get(keys, ask, reply).await;
            }
            Request::Batch { writes, reply } => {
                self.after_all().await;
                reply.send(self.apply_batch(&writes).await);
            }
            Request::ScanGroups { request, reply } => {
                self.after_all().await;
                self.effect_scan_groups(request, reply).await;
            }
            Request::Scan { request, reply } => {
                self.after_all().await;
                self.effect_scan(request, reply).await;
            }
            Request::Snapshot { id, reply } => {
                self.after_all().await;
                reply.send(self.pin_snapshot(id));
            }
            Request::ReleaseSnapshot { id } => self.release_snapshot(id),
            Request::Barrier { reply } => {
                self.after_all().await;
                self.freeze_for_barrier(reply);
            }
            Request::Checkpoint(request) => {
                let shared = Arc::clone(&self.shared);
                self.spawn(crate::checkpoint::commit(shared, *request));
            }
            Request::Stats { reply } => reply.send(Ok(self.stats())),
            Request::ForgetMemory { reply } => {
                self.cache.set_memory_bytes(0);
                self.cache_share.set(0);
                self.balance_memory();
                reply.send(Ok(()));
            }
            Request::SetMemory { budget, reply } => self.set_memory(&budget, reply),
            Request::SetDisk { disk_bytes, reply } => self.set_disk(disk_bytes, reply),
            Request::Run(job) => job(Shard::new(Rc::clone(self))),
        }
    }

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

    fn stats(&self) -> ShardStats {
        let version = self.version();
        let counters = &self.counters;
        let locality = self.locality().unwrap_or_default();
        ShardStats {
            shard: self.id,
            memtable_bytes: self.memtable.borrow().bytes() as u64,
            frozen_bytes: version.frozen_bytes() as u64,
            point_index_bytes: self.points.borrow().bytes() as u64,
            runs: version.depth(&self.groups) as u64,
            segments: version.segments().count() as u64,
            segment_bytes: version.runs.iter().map(SortedRun::bytes).sum(),
            reads_immediate: counters.reads_immediate.get(),
            reads_waited: counters.reads_waited.get(),
            waiting: self.waiting.requests() as u64,
            snapshots: self.snapshots.count() as u64,
            writes: counters.writes.get(),
            write_stalls: counters.write_stalls.get(),
            write_wait: self.pressure.wait(),
            flushes: counters.flushes.get(),
            flushed_bytes: counters.flushed_bytes.get(),
            compactions: counters.compactions.get(),
            compacted_bytes: counters.compacted_bytes.get(),
            copied_bytes: counters.copied_bytes.get(),
            compaction_errors: counters.compaction_errors.get(),
            last_compaction_error: self.compaction.last_error(),
            warm_up: self.warm_up.stats(),
            pinned_bytes: locality.bytes,
            not_local_bytes: locality.missing_bytes,
            is_all_local: locality.is_all,
            cache: self.cache.stats(),
            io: aquifer_io::metrics(),
        }
    }
}
