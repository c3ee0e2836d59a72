//! The one entry: memory, then SSD, then the object.

use crate::ask::Ask;
use crate::cache_state::CacheState;
use crate::cached::Cached;
use crate::error::{CacheError, PinError};
use crate::flight::{Flights, Load, Ticket};
use crate::key::{CacheKey, Class, ReadClass, Tier};
use crate::memory::{EvictedOf, Memory};
use crate::memory_slot::MemorySlot;
use crate::object::ObjectReader;
use crate::options::CacheOptions;
use crate::plan::{Decode, Plan, Want};
use crate::rejection::Rejection;
use crate::ssd::{Origin, Source, Ssd, WhenSpent};
use crate::stats::{CacheStats, LoadStats};
use crate::task;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

/// How a block was made that is offered to the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Of a segment that a memtable became.
    Flushed,
    /// Of a segment that a compaction wrote.
    Compacted {
        /// It stands for blocks of the inputs that were in use.
        is_hot: bool,
    },
    /// Fetched before anybody asked for it, because it was in use elsewhere.
    Ahead,
}

impl Written {
    fn source(self) -> Source {
        match self {
            Self::Flushed => Source { origin: Origin::Flushed, is_hot: false },
            Self::Compacted { is_hot } => Source { origin: Origin::Compacted, is_hot },
            Self::Ahead => Source::AHEAD,
        }
    }
}

/// The cache of one shard. See the [crate] for the picture and the invariants.
pub struct Cache<V: Cached> {
    pub(crate) inner: Rc<CacheState<V>>,
}

impl<V: Cached> Cache<V> {
    /// Opens a cache. With `disk_bytes > 0` the file at `disk_path` is created, or gone on with if it is of the same store: blocks that are in it
    /// are served at once.
    ///
    /// Must be called on an executor thread of `aquifer-io`; the cache stays there.
    ///
    /// # Errors
    /// Only for options that contradict each other ([`CacheOptions::validate`]). A file that cannot be opened or given its full
    /// size is no error: the cache works without its SSD tier and [`CacheStats`] says why.
    pub async fn open(options: CacheOptions) -> Result<Self, CacheError> {
        options.validate()?;
        let ssd = Ssd::open(&options).await;
        let memory = Memory::new(options.memory_bytes, options.meta_bytes_max);
        let inner = CacheState {
            memory: RefCell::new(memory),
            ssd,
            has_no_path: options.disk_path.is_none(),
            flights: Flights::new(),
            loads: Cell::new(LoadStats::default()),
            plan: Plan::new(options.memory_bytes),
        };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// Looks in memory only. A hit clones the value: no allocation, no lock, nothing to await. A miss is counted, and counted
    /// again if [`Cache::get_or_load`] follows.
    pub fn get(&self, class: Class, key: &CacheKey) -> Option<V> {
        self.inner.memory.borrow_mut().get(class, key).map(|(value, _)| value.clone())
    }

    /// The same, with the place where it was found: good for [`Cache::get_at`] while it is there.
    #[inline]
    pub fn get_placed(&self, class: Class, key: &CacheKey) -> Option<(V, MemorySlot)> {
        self.inner.memory.borrow_mut().get(class, key).map(|(value, place)| (value.clone(), place))
    }

    /// What is in memory at a place that [`Cache::get_placed`] gave for this class: a hit like any other, without a search. `None` if
    /// it has left; that counts as no miss, as a search should follow.
    #[inline]
    pub fn get_at(&self, class: Class, place: MemorySlot) -> Option<V> {
        self.inner.memory.borrow_mut().get_at(class, place).cloned()
    }

    /// What is in memory at a place, shown to `look` without a count: no hit, and nothing changes about what leaves next. `look` must not
    /// call the cache.
    #[inline]
    pub fn peek_at<T>(&self, class: Class, place: MemorySlot, look: impl FnOnce(&V) -> T) -> Option<T> {
        self.inner.memory.borrow().peek_at(class, place).map(look)
    }

    /// Asks the processor for what [`Cache::peek_at`] and [`Cache::get_at`] read first.
    #[inline]
    pub fn prefetch_at(&self, class: Class, place: MemorySlot) {
        self.inner.memory.borrow().prefetch_at(class, place);
    }

    /// Takes a value into memory alone, as one that was asked for before, and says where it is. The key is one that nobody looks for: only
    /// its place leads to it.
    pub fn keep_placed(&self, class: Class, key: CacheKey, value: V) -> Option<MemorySlot> {
        self.inner.keep(class, key, value);
        self.inner.memory.borrow_mut().promote(class, &key)
    }

    /// Era of the places of a class: it grows, seldom, when all places that were given before are good for nothing.
    #[inline]
    pub fn era(&self, class: Class) -> u32 {
        self.inner.memory.borrow().era(class)
    }

    /// The block that is asked for: from memory, else from SSD, else from `object`.
    ///
    /// * Memory and the SSD write buffer answer at once ([`Load::is_ready`]).
    /// * All who ask for a key while it is being loaded share one load, and what all ask for in one turn of the executor is planned
    ///   together: see [`ReadStats`](crate::ReadStats) for what comes of it. The plan has a task of its own, so dropping the returned
    ///   future cancels nothing.
    /// * `decode` verifies and decodes raw bytes. If it refuses bytes from the SSD, that entry is dropped and the block comes
    ///   from `object`; if it refuses those, its error is the result. It must not call the cache.
    /// * Bytes of the object are offered to the SSD tier once they have decoded.
    ///
    /// # Errors
    /// [`LoadError::Source`](crate::LoadError::Source) with the error of `object` or `decode`, to everyone who waited; it is not cached.
    /// [`LoadError::Stopped`](crate::LoadError::Stopped) when the executor is ending, or `decode` or `object` panicked.
    pub fn get_or_load(
        &self,
        ask: Ask,
        object: &Rc<dyn ObjectReader<V::Error>>,
        decode: impl Fn(&Bytes) -> Result<V, V::Error> + 'static,
    ) -> Load<V> {
        if let Some(value) = self.get(ask.class, &ask.key) {
            return Load::ready(Ok(value), Tier::Memory);
        }
        self.load(ask, object, decode)
    }

    /// The same, when memory has just been asked with [`Cache::get`].
    pub fn load(
        &self,
        ask: Ask,
        object: &Rc<dyn ObjectReader<V::Error>>,
        decode: impl Fn(&Bytes) -> Result<V, V::Error> + 'static,
    ) -> Load<V> {
        let inner = &self.inner;
        if let Some(flight) = inner.flights.find(&ask.key) {
            inner.count(|loads| loads.shared += 1);
            flight.wants_span(&ask);
            let is_more_urgent = ask.reads < flight.reads.get();
            if is_more_urgent {
                flight.reads.set(ask.reads);
            }
            if is_more_urgent && !flight.has_left.get() {
                // It waits in line behind others of its class. Whichever is served first serves both.
                let ticket = inner.flights.ticket(Rc::clone(&flight));
                self.file(ask, object, Box::new(decode), ticket);
            }
            return Load::waiting(flight);
        }
        if let Some(raw) = inner.ssd.get_buffered(ask.class, &ask.key, ask.reads) {
            match decode(&raw) {
                Ok(value) => {
                    match ask.reads {
                        ReadClass::WarmUp => drop(inner.keep_ahead(ask.class, ask.key, value.clone())),
                        reads if reads.is_kept() => inner.keep(ask.class, ask.key, value.clone()),
                        _ => {}
                    }
                    return Load::ready(Ok(value), Tier::Ssd);
                }
                Err(_) => inner.ssd.remove_bad(&ask.key),
            }
        }
        let ticket = inner.flights.begin(ask.key, ask.reads);
        let flight = Rc::clone(&ticket.flight);
        flight.wants_span(&ask);
        self.file(ask, object, Box::new(decode), ticket);
        Load::waiting(flight)
    }

    /// Bytes of an object as they are stored, of one block or many, for a merge of what is about to be gone: from the SSD if they are there under
    /// this key, else from `object`. Planned as all reads are, under [`ReadClass::Compaction`], but asked for by nobody else, not counted as
    /// use of what is cached, and not kept. `decode` wraps the bytes.
    ///
    /// # Errors
    /// As [`Cache::get_or_load`].
    pub fn load_apart(
        &self,
        mut ask: Ask,
        object: &Rc<dyn ObjectReader<V::Error>>,
        decode: impl Fn(&Bytes) -> Result<V, V::Error> + 'static,
    ) -> Load<V> {
        (ask.reads, ask.span) = (ReadClass::Compaction, None);
        let buffered = self.inner.ssd.get_buffered(ask.class, &ask.key, ask.reads);
        if let Some(Ok(value)) = buffered.map(|raw| decode(&raw)) {
            return Load::ready(Ok(value), Tier::Ssd);
        }
        let ticket = self.inner.flights.begin_apart(ask.key, ask.reads);
        let flight = Rc::clone(&ticket.flight);
        self.file(ask, object, Box::new(decode), ticket);
        Load::waiting(flight)
    }

    fn file(&self, ask: Ask, object: &Rc<dyn ObjectReader<V::Error>>, decode: Decode<V>, ticket: Ticket<V>) {
        let filed = self.inner.plan.filing_time();
        let want =
            Want { ask, object: Rc::clone(object), decode, ticket, filed, is_alone: false, span: None };
        task::file(&self.inner, want);
    }

    /// The block under `key`, whose stored bytes the caller has at hand: they came along with another
    /// ([`Load::take_along`]). From memory if it is there, else decoded, kept, and offered to the SSD tier.
    ///
    /// # Errors
    /// That of `decode`.
    pub fn get_or_decode(
        &self,
        ask: &Ask,
        stored: &[u8],
        decode: impl FnOnce(&Bytes) -> Result<V, V::Error>,
    ) -> Result<(V, Tier), V::Error> {
        if let Some(value) = self.get(ask.class, &ask.key) {
            return Ok((value, Tier::Memory));
        }
        // A copy: what the cache keeps of it must not hold what it came along with.
        let value = decode(&Bytes::copy_from_slice(stored))?;
        if let Some(source) = Source::of_reads(ask.reads) {
            self.inner.ssd.offer(ask.class, &ask.key, stored, source);
        }
        if ask.reads.is_kept() {
            self.inner.keep(ask.class, ask.key, value.clone());
        }
        let mut stats = self.inner.plan.stats.borrow_mut();
        let stats = stats.class_mut(Tier::Remote, ask.reads);
        stats.blocks += 1;
        stats.wanted_bytes += stored.len() as u64;
        Ok((value, Tier::Remote))
    }

    /// Bytes that take as long to move from a tier as one more request to it takes to begin, as measured lately: what lies between
    /// two reads and is shorter is cheaper read along, and to keep a tier busy that much must be asked for ahead.
    pub fn request_bytes(&self, tier: Tier) -> u64 {
        self.inner.plan.estimate(tier).request_bytes()
    }

    /// Bytes around a block that are worth naming as [`Ask::span`] to save one request of one reader: they move no longer than a request to an
    /// object takes to begin, as measured lately, and leave room for others in what may be in flight.
    pub fn span_bytes_max(&self) -> u64 {
        self.inner.plan.span_bytes_max()
    }

    /// Takes in a block that was just made (written through): its value into memory if one is given, its raw bytes offered to the
    /// SSD tier, which may reject them. Never waits. `raw` is copied, not held.
    pub fn insert(&self, class: Class, key: CacheKey, raw: &[u8], value: Option<V>) {
        self.offer_written(class, key, raw, value, Written::Flushed);
    }

    /// As [`Cache::insert`], saying how the block was made: that decides how likely it is taken in by a tier that is full.
    pub fn offer_written(&self, class: Class, key: CacheKey, raw: &[u8], value: Option<V>, written: Written) {
        self.inner.ssd.offer(class, &key, raw, written.source());
        if let Some(value) = value {
            self.inner.keep(class, key, value);
        }
    }

    /// Puts a block into the SSD tier and waits for as long as that takes: for a tier in mode [`SsdMode::Pinned`](crate::SsdMode::Pinned),
    /// which keeps it until it is removed. In best effort it is an offer that waits for the writer.
    ///
    /// # Errors
    /// [`PinError`]: what the tier cannot take, whatever is waited for.
    pub async fn pin(&self, class: Class, key: CacheKey, raw: &[u8]) -> Result<(), PinError> {
        self.inner.ssd.admit(class, &key, raw, Source::AHEAD, WhenSpent::Wait).await.map_err(|rejection| {
            match rejection {
                Rejection::TooLarge => PinError::TooLarge { bytes: raw.len() },
                Rejection::Off => PinError::Off { reason: self.inner.ssd.stats().off_reason },
                _ => PinError::Full { file_bytes: self.inner.ssd.stats().file_bytes },
            }
        })
    }

    /// Whether a block is in memory. Counts nothing.
    pub fn holds(&self, class: Class, key: &CacheKey) -> bool {
        self.inner.memory.borrow().holds(class, key)
    }

    /// Whether a block is on the SSD, and how often it was hit there since it was written: 0 to 3, 3 for more. Counts nothing.
    pub fn ssd_heat(&self, key: &CacheKey) -> Option<u8> {
        self.inner.ssd.heat(key)
    }

    /// Changes the budget of the SSD tier while it is in use. When this returns, the file takes no more than `disk_bytes`; entries of regions that
    /// were given up are gone. 0 gives everything up; a budget after that begins with a cold tier.
    ///
    /// # Errors
    /// [`CacheError::Disk`] if the space cannot be reserved: the tier goes on as before. Any other trouble switches the tier off, and
    /// [`CacheStats`] says why.
    pub async fn set_disk_bytes(&self, disk_bytes: u64) -> Result<(), CacheError> {
        if disk_bytes > 0 && self.inner.has_no_path {
            return Err(CacheError::DiskPathMissing { disk_bytes });
        }
        let resized = self.inner.ssd.set_disk_bytes(disk_bytes).await;
        resized.map_err(|error| CacheError::Disk { disk_bytes, reason: error.to_string() })
    }

    /// Forgets one block in both tiers, for instance because its object is gone. A load of it in flight still
    /// ends in the cache.
    pub fn remove(&self, key: &CacheKey) {
        self.inner.memory.borrow_mut().remove(key);
        self.inner.ssd.remove(key);
    }

    /// As [`Cache::remove`], for a tier in mode [`SsdMode::Pinned`](crate::SsdMode::Pinned) whose user marks and sweeps when it opens: the removal is not
    /// written down, so the block may be there again after a restart.
    pub fn unpin(&self, key: &CacheKey) {
        self.inner.memory.borrow_mut().remove(key);
        self.inner.ssd.remove_unwritten(key);
    }

    /// Takes the marks off all blocks on the SSD: what [`Cache::mark`] does not mark until [`Cache::sweep`] leaves then. Hits mark as well.
    pub async fn unmark(&self) {
        self.inner.ssd.unmark().await;
    }

    /// Marks a block as needed; whether it is on the SSD.
    pub fn mark(&self, key: &CacheKey) -> bool {
        self.inner.ssd.mark(key)
    }

    /// Takes every block off the SSD that was not marked: blocks that an earlier process pinned and that nobody needs any more.
    pub async fn sweep(&self) {
        self.inner.ssd.sweep().await;
    }

    /// Changes the memory budget. A smaller one has taken effect when this returns.
    pub fn set_memory_bytes(&self, memory_bytes: usize) {
        let mut evicted = EvictedOf::new();
        self.inner.memory.borrow_mut().set_bytes_max(memory_bytes, &mut evicted);
        self.inner.offer_evicted(&evicted);
    }

    /// Changes the part of the memory budget that [`Class::Meta`] may take. A smaller one has taken effect when this returns.
    pub fn set_meta_bytes_max(&self, meta_bytes_max: usize) {
        let mut evicted = EvictedOf::new();
        self.inner.memory.borrow_mut().set_meta_bytes_max(meta_bytes_max, &mut evicted);
        self.inner.offer_evicted(&evicted);
    }

    /// What the cache has done so far.
    pub fn stats(&self) -> CacheStats {
        let mut loads = self.inner.loads.get();
        loads.in_flight = self.inner.flights.count() as u64;
        CacheStats {
            memory: self.inner.memory.borrow().stats(),
            ssd: self.inner.ssd.stats(),
            loads,
            plan: self.inner.plan.stats(),
        }
    }

    /// Ends the SSD tier: writes what waits to be written and the index, and closes the file. Loads in flight go on, from remote.
    ///
    /// Dropping the cache ends it too, but does not wait and writes nothing, as a crash: close it before the same file is opened again on
    /// this thread.
    pub async fn close(&self) {
        self.inner.ssd.close().await;
        self.inner.plan.close();
    }
}

impl<V: Cached> Drop for Cache<V> {
    /// Nothing is written to the file after the write in progress: loads in flight go on, from remote.
    fn drop(&mut self) {
        self.inner.ssd.stop();
        self.inner.plan.close();
    }
}

impl<V: Cached> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("stats", &self.stats()).finish()
    }
}
