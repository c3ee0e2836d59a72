//! The one entry: memory, then SSD, then the caller's fetch.

use crate::error::{CacheError, LoadError, PinError};
use crate::flight::{Flight, Load};
use crate::key::{CacheKey, Class};
use crate::memory::{EvictedOf, Memory};
use crate::options::CacheOptions;
use crate::ssd::{Origin, Rejection, Source, Ssd};
use crate::stats::{CacheStats, LoadStats};
use bytes::Bytes;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::rc::Rc;

/// A decoded block that the memory tier can hold: cheap to clone (an `Rc` inside), and it knows its size.
///
/// Its methods, `clone` and `drop` must not call the cache.
pub trait Cached: Clone + 'static {
    /// Bytes this value keeps in memory, without the entry that holds it. Asked once, when the value enters the cache.
    fn memory_bytes(&self) -> usize;

    /// The bytes this value was decoded from, if it still has them: then an entry that leaves memory is offered to the SSD
    /// tier once more (it may have left that in the meantime).
    fn raw_bytes(&self) -> Option<Bytes> {
        None
    }
}

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
            Self::Ahead => Source { origin: Origin::Ahead, is_hot: true },
        }
    }
}

/// The cache of one shard. See the [crate] for the picture and the invariants.
pub struct Cache<V: Cached> {
    inner: Rc<Inner<V>>,
}

struct Inner<V> {
    memory: RefCell<Memory<V>>,
    ssd: Ssd,
    has_no_path: bool,
    /// `Rc<Flight<V, E>>`, with the `E` of whoever began it.
    flights: RefCell<HashMap<CacheKey, Rc<dyn Any>>>,
    loads: Cell<LoadStats>,
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
        let inner = Inner {
            memory: RefCell::new(memory),
            ssd,
            has_no_path: options.disk_path.is_none(),
            flights: RefCell::new(HashMap::new()),
            loads: Cell::new(LoadStats::default()),
        };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// Looks in memory only. A hit clones the value: no allocation, no lock, nothing to await. A miss is counted, and counted
    /// again if [`Cache::get_or_load`] follows.
    pub fn get(&self, class: Class, key: &CacheKey) -> Option<V> {
        self.inner.memory.borrow_mut().get(class, key).cloned()
    }

    /// The block under `key`: from memory, else from SSD, else from `fetch`.
    ///
    /// * Memory and the SSD write buffer answer at once ([`Load::is_ready`]).
    /// * All who ask for a key while it is being loaded share one load, begun by the first of them; the `decode` and
    ///   `fetch` of the others are dropped unused. The load runs as a local task of its own, so dropping the returned future cancels nothing.
    /// * `decode` verifies and decodes raw bytes. If it refuses bytes from the SSD, that entry is dropped and the block comes
    ///   from `fetch`; if it refuses fetched bytes, its error is the result.
    /// * Fetched bytes are offered to the SSD tier once they have decoded.
    ///
    /// # Errors
    /// [`LoadError::Source`] with the error of `fetch` or `decode`, to everyone who waited; it is not cached.
    /// [`LoadError::Stopped`] when the executor is ending, or `decode` or `fetch` panicked.
    pub fn get_or_load<D, F, Fut, E>(&self, class: Class, key: CacheKey, decode: D, fetch: F) -> Load<V, E>
    where
        D: Fn(&Bytes) -> Result<V, E> + 'static,
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<Bytes, E>> + 'static,
        E: Clone + 'static,
    {
        if let Some(value) = self.get(class, &key) {
            return Load::ready(Ok(value));
        }
        if let Some(flight) = self.inner.flight(&key) {
            self.inner.count(|loads| loads.shared += 1);
            return Load::waiting(flight);
        }
        if let Some(raw) = self.inner.ssd.get_buffered(class, &key) {
            match decode(&raw) {
                Ok(value) => {
                    self.inner.keep(class, key, value.clone());
                    return Load::ready(Ok(value));
                }
                Err(_) => self.inner.ssd.remove_bad(&key),
            }
        }
        let flight = Flight::new();
        let landing = Landing::begin(&self.inner, key, &flight);
        let inner = Rc::clone(&self.inner);
        // Dropping its handle detaches the task.
        drop(aquifer_io::spawn_local(async move {
            let fetch = || {
                landing.flight.goes_remote();
                fetch()
            };
            let result = inner.load(class, key, decode, fetch).await;
            landing.land(result);
        }));
        Load::waiting(flight)
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
        let source = Source { origin: Origin::Ahead, is_hot: true };
        self.inner.ssd.admit(class, &key, raw, source).await.map_err(|rejection| match rejection {
            Rejection::TooLarge => PinError::TooLarge { bytes: raw.len() },
            Rejection::Off => PinError::Off { reason: self.inner.ssd.stats().off_reason },
            _ => PinError::Full { file_bytes: self.inner.ssd.stats().file_bytes },
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

    /// Changes the memory budget. A smaller one has taken effect when this returns.
    pub fn set_memory_bytes(&self, memory_bytes: usize) {
        let mut evicted = EvictedOf::new();
        self.inner.memory.borrow_mut().set_bytes_max(memory_bytes, &mut evicted);
        self.inner.offer_evicted(&evicted);
    }

    /// What the cache has done so far.
    pub fn stats(&self) -> CacheStats {
        let mut loads = self.inner.loads.get();
        loads.in_flight = self.inner.flights.borrow().len() as u64;
        CacheStats { memory: self.inner.memory.borrow().stats(), ssd: self.inner.ssd.stats(), loads }
    }

    /// Ends the SSD tier: writes what waits to be written and the index, and closes the file. Loads in flight go on, from remote.
    ///
    /// Dropping the cache ends it too, but does not wait and writes nothing, as a crash: close it before the same file is opened again on
    /// this thread.
    pub async fn close(&self) {
        self.inner.ssd.close().await;
    }
}

impl<V: Cached> Drop for Cache<V> {
    /// Nothing is written to the file after the write in progress: loads in flight go on, from remote.
    fn drop(&mut self) {
        self.inner.ssd.stop();
    }
}

impl<V: Cached> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("stats", &self.stats()).finish()
    }
}

impl<V: Cached> Inner<V> {
    fn flight<E: 'static>(&self, key: &CacheKey) -> Option<Rc<Flight<V, E>>> {
        // Somebody else's load with another error type cannot be shared: this caller begins one of its own.
        Rc::clone(self.flights.borrow().get(key)?).downcast().ok()
    }

    async fn load<D, F, Fut, E>(
        &self,
        class: Class,
        key: CacheKey,
        decode: D,
        fetch: F,
    ) -> Result<V, LoadError<E>>
    where
        D: Fn(&Bytes) -> Result<V, E>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, E>>,
    {
        if let Some(raw) = self.ssd.get(class, &key).await {
            match decode(&raw) {
                Ok(value) => {
                    self.keep(class, key, value.clone());
                    return Ok(value);
                }
                Err(_) => self.ssd.remove_bad(&key),
            }
        }
        self.count(|loads| loads.fetches += 1);
        let decoded = match fetch().await {
            Ok(raw) => {
                self.count(|loads| loads.fetched_bytes += raw.len() as u64);
                decode(&raw).map(|value| (raw, value))
            }
            Err(error) => Err(error),
        };
        match decoded {
            Ok((raw, value)) => {
                self.ssd.offer(class, &key, &raw, Source::READ);
                self.keep(class, key, value.clone());
                Ok(value)
            }
            Err(error) => {
                self.count(|loads| loads.fetch_errors += 1);
                Err(LoadError::Source(error))
            }
        }
    }

    /// Into memory; what that pushes out may go to the SSD.
    fn keep(&self, class: Class, key: CacheKey, value: V) {
        let bytes = value.memory_bytes();
        let mut evicted = EvictedOf::new();
        self.memory.borrow_mut().insert(class, key, value, bytes, &mut evicted);
        self.offer_evicted(&evicted);
    }

    fn offer_evicted(&self, evicted: &EvictedOf<V>) {
        for (class, entries) in [(Class::Data, &evicted.data), (Class::Meta, &evicted.meta)] {
            for (key, value) in entries {
                if let Some(raw) = value.raw_bytes() {
                    self.ssd.offer(class, key, &raw, Source::READ);
                }
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut LoadStats)) {
        let mut loads = self.loads.get();
        change(&mut loads);
        self.loads.set(loads);
    }
}

/// Ends a flight exactly once: with its result, or, when the task is dropped or panics before it has one, with
/// [`LoadError::Stopped`]. Either way the key is free for the next load before anybody is woken.
struct Landing<V: Cached, E: Clone + 'static> {
    inner: Rc<Inner<V>>,
    key: CacheKey,
    flight: Rc<Flight<V, E>>,
    result: Option<Result<V, LoadError<E>>>,
}

impl<V: Cached, E: Clone + 'static> Landing<V, E> {
    fn begin(inner: &Rc<Inner<V>>, key: CacheKey, flight: &Rc<Flight<V, E>>) -> Self {
        inner.flights.borrow_mut().insert(key, Rc::clone(flight) as Rc<dyn Any>);
        Self { inner: Rc::clone(inner), key, flight: Rc::clone(flight), result: None }
    }

    fn land(mut self, result: Result<V, LoadError<E>>) {
        self.result = Some(result);
    }
}

impl<V: Cached, E: Clone + 'static> Drop for Landing<V, E> {
    fn drop(&mut self) {
        {
            let mut flights = self.inner.flights.borrow_mut();
            let ours = |other: &Rc<dyn Any>| std::ptr::addr_eq(Rc::as_ptr(other), Rc::as_ptr(&self.flight));
            if flights.get(&self.key).is_some_and(ours) {
                flights.remove(&self.key);
            }
        }
        self.flight.complete(self.result.take().unwrap_or(Err(LoadError::Stopped)));
    }
}
