//! A shard: key groups, memtable, segments and cache, owned by one thread, without a lock.
//!
//! ```text
//! mailbox ─> loop ─┬─ write ──> memtable ──full──> frozen ──> flush task ──> pack on the DFS ──> segment
//!                  ├─ read ───> memtable, frozen, segments: answered at once if all is in memory, else by a task of its own
//!                  └─ barrier > freeze, then the flush task hands its segment to the checkpoint
//! ```
//! Every operation takes effect when the loop meets it, so operations on one key keep the order of the mailbox: a write changes the
//! memtable there and then, and a read looks at the memtable and at the version of that moment even if it waits for blocks later.

pub(crate) mod blocks;
mod flush;
mod lookup;
pub(crate) mod merge;
pub(crate) mod scan;
mod segment_cursor;
pub(crate) mod source;

use crate::compact;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::key::{engine_key, key_group};
use crate::limits::{MAILBOX_BATCH, READS_IN_FLIGHT_MAX};
use crate::mailbox::Mailbox;
use crate::manifest::format::SegmentEntry;
use crate::memtable::{Memtable, Slot};
use crate::name;
use crate::notify::LocalNotify;
use crate::options::{Options, ShardBudget};
use crate::request::Request;
use crate::stats::ShardStats;
use crate::version::{Frozen, SortedRun, Version};
use aquifer_cache::{Cache, CacheOptions};
use blocks::CachedBlock;
use bytes::Bytes;
use flush::FlushQueue;
use lookup::Now;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// A shard as code on its own thread sees it. Cheap to clone; cannot leave the thread.
#[derive(Clone)]
pub struct Shard {
    pub(crate) core: Rc<ShardCore>,
}

/// The state of one shard.
pub(crate) struct ShardCore {
    pub(crate) id: usize,
    pub(crate) groups: Range<u16>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) budget: ShardBudget,
    pub(crate) cache: Cache<CachedBlock>,
    pub(crate) memtable: RefCell<Memtable>,
    version: RefCell<Rc<Version>>,
    pub(crate) flushes: FlushQueue,
    pub(crate) reads_in_flight: Cell<usize>,
    /// Told when a read ends or a version changes: what the loop may wait for.
    pub(crate) progress: LocalNotify,
    /// Told when runs came or went: what compaction waits for.
    pub(crate) runs_changed: LocalNotify,
    pub(crate) counters: Counters,
    /// What the memory tier of the cache has now: its part of the budget less the SSD tier's index.
    cache_share: Cell<usize>,
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
    pub(crate) compaction_errors: Cell<u64>,
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
}

/// Opens the shard's cache and builds its state.
pub(crate) async fn open(start: ShardStart) -> Result<Rc<ShardCore>> {
    let ShardStart { id, shared, options, budget, segments } = start;
    let disk_path = options.local_dir.as_ref().map(|folder| folder.join(name::cache_file(id)));
    let cache = Cache::open(CacheOptions {
        memory_bytes: budget.cache_bytes,
        meta_bytes_max: budget.meta_bytes_max,
        disk_bytes: budget.disk_bytes,
        disk_path,
        write_buffer_bytes: budget.write_buffer_bytes,
        ..CacheOptions::default()
    })
    .await
    .map_err(|error| Error::new(crate::ErrorKind::Local, error.to_string()))?;
    Ok(Rc::new(ShardCore {
        id,
        groups: shared.route.groups(id),
        shared,
        budget,
        cache,
        memtable: RefCell::new(Memtable::default()),
        version: RefCell::new(Rc::new(Version::restored(segments))),
        flushes: FlushQueue::default(),
        reads_in_flight: Cell::new(0),
        progress: LocalNotify::default(),
        runs_changed: LocalNotify::default(),
        counters: Counters::default(),
        cache_share: Cell::new(budget.cache_bytes),
    }))
}

/// Serves the mailbox until it is closed.
pub(crate) async fn run(core: Rc<ShardCore>, mailbox: Arc<Mailbox<Request>>) {
    drop(aquifer_io::spawn_local(flush::run(Rc::clone(&core))));
    drop(aquifer_io::spawn_local(compact::run::run(Rc::clone(&core))));
    let mut batch = VecDeque::new();
    while mailbox.take_all(&mut batch).await {
        let mut handled = 0;
        while let Some(request) = batch.pop_front() {
            if core.shared.is_closed() {
                return;
            }
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
            Request::Get { key, reply } => {
                match self.get_now(&key) {
                    Ok(Now::Answer(value)) => drop(reply.send(Ok(value))),
                    Err(error) => drop(reply.send(Err(error))),
                    Ok(Now::Waits(pending)) => {
                        let core = Rc::clone(self);
                        self.spawn_read(
                            async move { drop(reply.send(core.get_waiting(&key, pending).await)) },
                        )
                        .await;
                    }
                };
            }
            Request::Write { key, slot, reply } => drop(reply.send(self.write(key, slot).await)),
            Request::Scan { request, reply } => {
                let core = Rc::clone(self);
                // What the memtable holds is taken now; blocks are read by the task.
                let scan = self.begin_scan(request);
                self.spawn_read(async move { drop(reply.send(core.scan(scan).await)) }).await;
            }
            Request::Barrier { reply } => self.freeze_for_barrier(reply),
            Request::Checkpoint(request) => {
                let shared = Arc::clone(&self.shared);
                drop(aquifer_io::spawn_local(crate::checkpoint::commit(shared, *request)));
            }
            Request::Stats { reply } => drop(reply.send(self.stats())),
            Request::ForgetMemory { reply } => {
                self.cache.set_memory_bytes(0);
                self.cache_share.set(0);
                self.balance_memory();
                let _ = reply.send(());
            }
            Request::Run(job) => job(Shard { core: Rc::clone(self) }),
        }
    }

    /// Runs a read as a task of its own; rests while too many are under way.
    async fn spawn_read(self: &Rc<Self>, read: impl Future<Output = ()> + 'static) {
        self.progress.wait(|| (self.reads_in_flight.get() < READS_IN_FLIGHT_MAX).then_some(())).await;
        self.reads_in_flight.set(self.reads_in_flight.get() + 1);
        let core = Rc::clone(self);
        drop(aquifer_io::spawn_local(async move {
            read.await;
            core.reads_in_flight.set(core.reads_in_flight.get() - 1);
            core.progress.notify();
        }));
    }

    /// Takes a write, after waiting for room if memtables and uploads take all of theirs.
    pub(crate) async fn write(self: &Rc<Self>, key: Box<[u8]>, slot: Slot) -> Result<()> {
        let bytes = key.len() + slot.as_ref().map_or(0, |value| value.len());
        if bytes > self.budget.memtable_bytes_max {
            return Err(Error::invalid(format!(
                "a key and value of {bytes} bytes do not fit the memtable of {} bytes: raise memory_bytes or use fewer shards",
                self.budget.memtable_bytes_max
            )));
        }
        if !self.has_room() {
            add(&self.counters.write_stalls, 1);
            self.progress.wait(|| (self.has_room() || self.shared.is_stopped()).then_some(())).await;
        }
        self.shared.check_writable()?;
        add(&self.counters.writes, 1);
        let full = {
            let mut memtable = self.memtable.borrow_mut();
            memtable.insert(key, slot);
            memtable.bytes() >= self.budget.memtable_bytes_max
        };
        if full {
            self.freeze_for_flush();
        }
        Ok(())
    }

    /// Memtables together may take half of the write budget; the rest is the segment under upload, and compaction.
    fn has_room(&self) -> bool {
        self.memtable.borrow().bytes() + self.version().frozen_bytes() < 2 * self.budget.memtable_bytes_max
    }

    pub(crate) fn version(&self) -> Rc<Version> {
        Rc::clone(&self.version.borrow())
    }

    /// Makes `next` the version that reads begin in from now on.
    pub(crate) fn set_version(&self, next: Version) {
        *self.version.borrow_mut() = Rc::new(next);
        self.progress.notify();
        self.runs_changed.notify();
    }

    /// Moves the memtable, if it holds anything, under a fresh one.
    pub(crate) fn freeze(&self) -> Option<Rc<Frozen>> {
        if self.memtable.borrow().is_empty() {
            return None;
        }
        let frozen =
            Rc::new(Frozen { sequence: self.shared.next_sequence(), memtable: self.memtable.take() });
        let next = self.version().with_frozen(Rc::clone(&frozen));
        self.set_version(next);
        Some(frozen)
    }

    /// Takes what the SSD tier's index has grown by out of the memory tier. Called where blocks enter the cache.
    pub(crate) fn balance_memory(&self) {
        const STEP_BYTES: usize = 64 * 1024;
        let index_bytes = usize::try_from(self.cache.stats().ssd.index_bytes).unwrap_or(usize::MAX);
        let share = self.budget.cache_bytes.saturating_sub(index_bytes.next_multiple_of(STEP_BYTES));
        if share != self.cache_share.get() {
            self.cache_share.set(share);
            self.cache.set_memory_bytes(share);
        }
    }

    fn stats(&self) -> ShardStats {
        let version = self.version();
        let counters = &self.counters;
        ShardStats {
            shard: self.id,
            memtable_bytes: self.memtable.borrow().bytes() as u64,
            frozen_bytes: version.frozen_bytes() as u64,
            runs: version.runs.len() as u64,
            segments: version.segments().count() as u64,
            segment_bytes: version.runs.iter().map(SortedRun::bytes).sum(),
            reads_immediate: counters.reads_immediate.get(),
            reads_waited: counters.reads_waited.get(),
            writes: counters.writes.get(),
            write_stalls: counters.write_stalls.get(),
            flushes: counters.flushes.get(),
            flushed_bytes: counters.flushed_bytes.get(),
            compactions: counters.compactions.get(),
            compacted_bytes: counters.compacted_bytes.get(),
            compaction_errors: counters.compaction_errors.get(),
            cache: self.cache.stats(),
            io: aquifer_io::metrics(),
        }
    }
}

impl Shard {
    /// Number of this shard.
    pub fn id(&self) -> usize {
        self.core.id
    }

    /// Key groups that this shard owns.
    pub fn key_groups(&self) -> Range<u16> {
        self.core.groups.clone()
    }

    /// The value of `key` if nothing on the way needs SSD or DFS: a function call beside the data. `None` if something does; then
    /// [`Self::get`] fetches it.
    ///
    /// # Errors
    /// `Invalid` for a key of another shard, `Corrupt` for bad bytes.
    pub fn try_get(&self, key: &[u8]) -> Result<Option<Option<Bytes>>> {
        match self.core.get_now(&self.own_key(key)?)? {
            Now::Answer(value) => Ok(Some(value)),
            Now::Waits(_) => Ok(None),
        }
    }

    /// The value of `key`, `None` if it has none.
    ///
    /// # Errors
    /// `Invalid` for a key of another shard; `Unavailable` and `Corrupt` from the DFS.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let key = self.own_key(key)?;
        match self.core.get_now(&key)? {
            Now::Answer(value) => Ok(value),
            Now::Waits(pending) => self.core.get_waiting(&key, pending).await,
        }
    }

    /// Stores `value` under `key`. Waits while memtables and uploads take all of their budget.
    ///
    /// # Errors
    /// `Invalid` for a key of another shard or a too large entry; `Fenced` once another writer owns the store.
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        crate::client::check_value(value)?;
        self.core.write(self.own_key(key)?, Some(Box::from(value))).await
    }

    /// Deletes `key`; deleting what is not there is no error.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn delete(&self, key: &[u8]) -> Result<()> {
        self.core.write(self.own_key(key)?, None).await
    }

    fn own_key(&self, key: &[u8]) -> Result<Box<[u8]>> {
        let group = key_group(key, self.core.shared.route.key_groups());
        if !self.core.groups.contains(&group) {
            return Err(Error::invalid(format!(
                "this key is of group {group}; shard {} owns groups {:?}: run on shard_of(key)",
                self.core.id, self.core.groups
            )));
        }
        engine_key(group, key)
    }
}
