//! S3-FIFO: which entry leaves memory next.
//!
//! From Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023. Three queues:
//!
//! ```text
//! new key ──► small (10 % of the bytes) ──hit twice or more──► main ──┐
//!   │             │ else                                       ▲      │ hit since: goes round again, one hit less
//!   │             ▼                                            └──────┤
//!   └─in ghost─► main   evicted, its hash goes to ghost               ▼ else evicted
//! ```
//!
//! Blocks read once (a scan) pass through the small queue and never touch main. A hit only counts up to three on the entry:
//! nothing moves (lazy promotion), so hits are a lookup and a store.
//!
//! Invariants: an entry is in exactly one queue and once in the index; `small.bytes + main.bytes <= limit` after every
//! call that was given a limit; ghosts hold hashes only.

use super::ghost::{GHOST_BYTES_PER_ENTRY, Ghost};
use super::slab::{Entry, Queue, Slab};
use crate::key::CacheKey;
use crate::memory_slot::MemorySlot;
use hashbrown::HashTable;

/// The small queue's part of the limit is 1/10, as in the paper.
const SMALL_DIVISOR: usize = 10;
/// Hits in the small queue that make an entry worth keeping.
const PROMOTE_HITS: u8 = 2;
/// Hits counted on an entry.
const HITS_MAX: u8 = 3;
/// One `u32` and a control byte at the lowest load factor of the table (7/16).
const INDEX_BYTES_PER_ENTRY: usize = 5 * 16 / 7 + 1;

/// Bytes an entry costs beside its value: its place in the slab (which grows by an eighth), in the index, and among ghosts.
pub(super) const fn overhead_bytes<V>() -> usize {
    size_of::<Entry<V>>() * 9 / 8 + INDEX_BYTES_PER_ENTRY + GHOST_BYTES_PER_ENTRY
}

/// How much an entry is in use, 0 to 3: one in the main queue has returned once already.
fn heat<V>(entry: &Entry<V>) -> u8 {
    if entry.in_main { PROMOTE_HITS + u8::from(entry.frequency > 0) } else { entry.frequency }
}

/// How an insert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// A new entry.
    New,
    /// The key was there; it has the new value.
    Replaced,
    /// Larger than the limit.
    Rejected,
}

/// One class of the memory tier.
pub(super) struct S3Fifo<V> {
    index: HashTable<u32>,
    slab: Slab<V>,
    small: Queue,
    main: Queue,
    ghost: Ghost,
}

impl<V> S3Fifo<V> {
    pub(super) const fn new() -> Self {
        Self {
            index: HashTable::new(),
            slab: Slab::new(0),
            small: Queue::new(),
            main: Queue::new(),
            ghost: Ghost::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.small.bytes + self.main.bytes
    }

    pub(super) fn entries(&self) -> usize {
        self.small.entries + self.main.entries
    }

    /// Whether the key is there. Counts nothing.
    pub(super) fn holds(&self, key: &CacheKey) -> bool {
        self.find(key).is_some()
    }

    /// A hit: counts it on the entry. No allocation.
    #[inline]
    pub(super) fn get(&mut self, key: &CacheKey) -> Option<(&V, MemorySlot)> {
        let at = self.find(key)?;
        let place = self.slab.place(at);
        self.hit(at).map(|value| (value, place))
    }

    /// The same without a search.
    #[inline]
    pub(super) fn get_at(&mut self, place: MemorySlot) -> Option<&V> {
        let at = self.slab.find(place)?;
        self.hit(at)
    }

    /// What is at a place, without a count.
    #[inline]
    pub(super) fn peek_at(&self, place: MemorySlot) -> Option<&V> {
        self.slab.at(self.slab.find(place)?).value.as_ref()
    }

    /// Moves an entry to the main queue, as if its ghost had been there when it came. Says where it is.
    pub(super) fn promote(&mut self, key: &CacheKey) -> Option<MemorySlot> {
        let at = self.find(key)?;
        if !self.slab.at(at).in_main {
            self.small.unlink(&mut self.slab, at);
            self.slab.at_mut(at).in_main = true;
            self.main.push(&mut self.slab, at);
        }
        Some(self.slab.place(at))
    }

    /// Shows entries by their positions: see [`super::Memory::look_over`].
    pub(super) fn look_over(
        &self,
        from: usize,
        count: usize,
        mut visit: impl FnMut(&CacheKey, u8, &V),
    ) -> Option<usize> {
        let to = from.saturating_add(count);
        for entry in self.slab.range(from, to) {
            if let Some(value) = &entry.value {
                visit(&entry.key, heat(entry), value);
            }
        }
        (to < self.slab.positions()).then_some(to)
    }

    /// Asks the processor for the entry at a place.
    #[inline]
    pub(super) fn prefetch_at(&self, place: MemorySlot) {
        self.slab.prefetch(place);
    }

    /// Places of an earlier era are good for nothing.
    pub(super) fn era(&self) -> u32 {
        self.slab.era()
    }

    #[inline]
    fn hit(&mut self, at: u32) -> Option<&V> {
        let entry = self.slab.at_mut(at);
        // Most hits are on entries that are known to be hot: their line need not be written.
        if entry.frequency < HITS_MAX {
            entry.frequency += 1;
        }
        entry.value.as_ref()
    }

    /// Takes `value` in, `bytes` heavy with its overhead, and evicts until everything fits `limit`.
    pub(super) fn insert(
        &mut self,
        key: CacheKey,
        value: V,
        bytes: usize,
        limit: usize,
        evicted: &mut Vec<(CacheKey, V)>,
    ) -> Inserted {
        let replaced = self.find(&key);
        if bytes > limit {
            if let Some(at) = replaced {
                evicted.extend(self.drop_entry(at));
            }
            return Inserted::Rejected;
        }
        if let Some(at) = replaced {
            self.replace(at, value, bytes);
            self.shrink_to(limit, evicted);
            return Inserted::Replaced;
        }
        self.shrink_to(limit - bytes, evicted);
        let hash = key.hash64();
        let remembered = self.ghost.remove(hash, self.entries());
        let Some(at) = self.slab.take(key, value, bytes) else { return Inserted::Rejected };
        if remembered {
            self.slab.at_mut(at).in_main = true;
            self.main.push(&mut self.slab, at);
        } else {
            self.small.push(&mut self.slab, at);
        }
        let slab = &self.slab;
        self.index.insert_unique(hash, at, |&at| slab.at(at).key.hash64());
        Inserted::New
    }

    /// Evicts until at most `limit` bytes are held.
    pub(super) fn shrink_to(&mut self, limit: usize, evicted: &mut Vec<(CacheKey, V)>) {
        while self.bytes() > limit {
            let Some(out) = self.evict(limit) else { return };
            evicted.push(out);
        }
    }

    pub(super) fn remove(&mut self, key: &CacheKey) -> Option<V> {
        let at = self.find(key)?;
        self.drop_entry(at).map(|(_, value)| value)
    }

    /// Gives memory back after the limit has fallen: rebuilds the slab and the tables when three quarters of them are unused.
    pub(super) fn release(&mut self) {
        if self.slab.capacity() / 4 <= self.entries() {
            return;
        }
        let fresh = Self { slab: Slab::new(self.slab.next_era()), ..Self::new() };
        let mut old = std::mem::replace(self, fresh);
        std::mem::swap(&mut self.ghost, &mut old.ghost);
        self.ghost.shrink(old.entries());
        while let Some(at) =
            old.small.pop_oldest(&mut old.slab).or_else(|| old.main.pop_oldest(&mut old.slab))
        {
            let (bytes, frequency, in_main) = {
                let entry = old.slab.at(at);
                (entry.bytes, entry.frequency, entry.in_main)
            };
            let Some((key, value)) = old.slab.give_back(at) else { continue };
            let Some(at) = self.slab.take(key, value, bytes) else { continue };
            let entry = self.slab.at_mut(at);
            (entry.frequency, entry.in_main) = (frequency, in_main);
            if in_main { &mut self.main } else { &mut self.small }.push(&mut self.slab, at);
            let slab = &self.slab;
            self.index.insert_unique(key.hash64(), at, |&at| slab.at(at).key.hash64());
        }
    }

    /// Memory behind the entries, values not counted.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.slab.capacity() * size_of::<Entry<V>>() + self.index.allocation_size() + self.ghost.held_bytes()
    }

    fn find(&self, key: &CacheKey) -> Option<u32> {
        self.index.find(key.hash64(), |&at| self.slab.at(at).key == *key).copied()
    }

    /// Ends: every turn moves an entry from small to main, or takes a hit from one, or evicts.
    fn evict(&mut self, limit: usize) -> Option<(CacheKey, V)> {
        loop {
            let from_small = self.small.bytes > limit / SMALL_DIVISOR || self.main.entries == 0;
            if from_small && let Some(at) = self.small.pop_oldest(&mut self.slab) {
                let entry = self.slab.at_mut(at);
                if entry.frequency < PROMOTE_HITS {
                    let hash = entry.key.hash64();
                    self.ghost.add(hash, self.entries());
                    return self.forget(at);
                }
                entry.frequency = 0;
                entry.in_main = true;
                self.main.push(&mut self.slab, at);
            } else {
                let at = self.main.pop_oldest(&mut self.slab)?;
                let entry = self.slab.at_mut(at);
                if entry.frequency == 0 {
                    return self.forget(at);
                }
                entry.frequency -= 1;
                self.main.push(&mut self.slab, at);
            }
        }
    }

    fn replace(&mut self, at: u32, value: V, bytes: usize) {
        let entry = self.slab.at_mut(at);
        let queue = if entry.in_main { &mut self.main } else { &mut self.small };
        queue.bytes = queue.bytes - entry.bytes + bytes;
        entry.bytes = bytes;
        entry.value = Some(value);
    }

    fn drop_entry(&mut self, at: u32) -> Option<(CacheKey, V)> {
        let queue = if self.slab.at(at).in_main { &mut self.main } else { &mut self.small };
        queue.unlink(&mut self.slab, at);
        self.forget(at)
    }

    /// Out of the index and the slab; the entry is in no queue.
    fn forget(&mut self, at: u32) -> Option<(CacheKey, V)> {
        let hash = self.slab.at(at).key.hash64();
        if let Ok(found) = self.index.find_entry(hash, |&other| other == at) {
            found.remove();
        }
        self.slab.give_back(at)
    }
}
