//! The memory tier: values of two classes under one byte budget.
//!
//! ```text
//! |<------------------- memory_bytes ------------------>|
//! | Meta: up to meta_bytes_max |  Data: all that Meta    |
//! |       takes what it needs  |        has not taken    |
//! ```
//!
//! When Meta grows, Data is evicted in the same call, so that the sum never passes the budget. Each class has queues of its own
//! ([`s3_fifo`]): no flood of Data can push Meta out, nor the other way round.

mod ghost;
mod slab;
mod s3_fifo;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of a test are small")]
mod memory_test;

use crate::key::{CacheKey, Class};
use crate::memory_slot::MemorySlot;
use crate::stats::TierStats;
use s3_fifo::{Inserted, S3Fifo, overhead_bytes};

/// What an insert or a smaller budget pushed out.
pub(crate) type Evicted<V> = Vec<(CacheKey, V)>;

/// Both classes.
pub(crate) struct Memory<V> {
    data: S3Fifo<V>,
    meta: S3Fifo<V>,
    bytes_max: usize,
    meta_bytes_max: usize,
    stats: TierStats,
}

impl<V> Memory<V> {
    pub(crate) fn new(bytes_max: usize, meta_bytes_max: usize) -> Self {
        Self {
            data: S3Fifo::new(),
            meta: S3Fifo::new(),
            bytes_max,
            meta_bytes_max,
            stats: TierStats::default(),
        }
    }

    /// Whether the key is there. Counts nothing.
    pub(crate) fn holds(&self, class: Class, key: &CacheKey) -> bool {
        match class {
            Class::Data => self.data.holds(key),
            Class::Meta => self.meta.holds(key),
        }
    }

    /// Counts a hit or a miss.
    #[inline]
    pub(crate) fn get(&mut self, class: Class, key: &CacheKey) -> Option<(&V, MemorySlot)> {
        let (queue, stats) = match class {
            Class::Data => (&mut self.data, &mut self.stats.data),
            Class::Meta => (&mut self.meta, &mut self.stats.meta),
        };
        let found = queue.get(key);
        if found.is_some() {
            stats.hits += 1;
        } else {
            stats.misses += 1;
        }
        found
    }

    /// The same without a search; what has left is no miss.
    #[inline]
    pub(crate) fn get_at(&mut self, class: Class, place: MemorySlot) -> Option<&V> {
        let (queue, stats) = match class {
            Class::Data => (&mut self.data, &mut self.stats.data),
            Class::Meta => (&mut self.meta, &mut self.stats.meta),
        };
        let found = queue.get_at(place);
        stats.hits += u64::from(found.is_some());
        found
    }

    /// The same without a count.
    #[inline]
    pub(crate) fn peek_at(&self, class: Class, place: MemorySlot) -> Option<&V> {
        self.queue(class).peek_at(place)
    }

    /// Takes a value for one that has returned, and says where it is.
    pub(crate) fn promote(&mut self, class: Class, key: &CacheKey) -> Option<MemorySlot> {
        match class {
            Class::Data => self.data.promote(key),
            Class::Meta => self.meta.promote(key),
        }
    }

    /// Asks the processor for the entry.
    #[inline]
    pub(crate) fn prefetch_at(&self, class: Class, place: MemorySlot) {
        self.queue(class).prefetch_at(place);
    }

    /// Places of a class that are of an earlier era are good for nothing.
    #[inline]
    pub(crate) fn era(&self, class: Class) -> u32 {
        self.queue(class).era()
    }

    #[inline]
    fn queue(&self, class: Class) -> &S3Fifo<V> {
        match class {
            Class::Data => &self.data,
            Class::Meta => &self.meta,
        }
    }

    /// Takes a value of `value_bytes` in, unless it alone is larger than its class may be. What had to go is appended to
    /// `evicted_data` and `evicted_meta`.
    pub(crate) fn insert(
        &mut self,
        class: Class,
        key: CacheKey,
        value: V,
        value_bytes: usize,
        evicted: &mut EvictedOf<V>,
    ) -> bool {
        let bytes = value_bytes.saturating_add(overhead_bytes::<V>());
        let before = (evicted.data.len(), evicted.meta.len());
        let inserted = match class {
            Class::Data => {
                let limit = self.data_bytes_max();
                self.data.insert(key, value, bytes, limit, &mut evicted.data)
            }
            Class::Meta => {
                let limit = self.meta_limit();
                let inserted = self.meta.insert(key, value, bytes, limit, &mut evicted.meta);
                self.data.shrink_to(self.data_bytes_max(), &mut evicted.data);
                inserted
            }
        };
        self.count_evictions(evicted, before);
        let stats = self.stats.class_mut(class);
        match inserted {
            Inserted::New => stats.inserts += 1,
            Inserted::Replaced => {}
            Inserted::Rejected => stats.rejections += 1,
        }
        inserted != Inserted::Rejected
    }

    /// Takes a value in beside what is there, among those that have returned; `false` if that would push anything out. What is there already stays.
    pub(crate) fn insert_beside(
        &mut self,
        class: Class,
        key: CacheKey,
        value: V,
        value_bytes: usize,
    ) -> bool {
        let bytes = value_bytes.saturating_add(overhead_bytes::<V>());
        if self.holds(class, &key) {
            return true;
        }
        if bytes > self.room_bytes(class) {
            return false;
        }
        let mut evicted = EvictedOf::new();
        let inserted = self.insert(class, key, value, value_bytes, &mut evicted);
        debug_assert!(evicted.data.is_empty() && evicted.meta.is_empty(), "there was room");
        inserted && self.promote(class, &key).is_some()
    }

    /// Bytes of entries, their overhead included, that fit beside what is there.
    pub(crate) fn room_bytes(&self, class: Class) -> usize {
        let free = self.bytes_max.saturating_sub(self.data.bytes() + self.meta.bytes());
        match class {
            Class::Data => free,
            Class::Meta => free.min(self.meta_limit().saturating_sub(self.meta.bytes())),
        }
    }

    /// Shows `count` positions from `from` on: of each entry its key, how much it is in use, 0 to 3, and its value. Counts nothing. The position to
    /// go on from; `None` at the end.
    pub(crate) fn look_over(
        &self,
        class: Class,
        from: usize,
        count: usize,
        visit: impl FnMut(&CacheKey, u8, &V),
    ) -> Option<usize> {
        self.queue(class).look_over(from, count, visit)
    }

    /// Changes the budget; a smaller one takes effect before this returns.
    pub(crate) fn set_bytes_max(&mut self, bytes_max: usize, evicted: &mut EvictedOf<V>) {
        self.bytes_max = bytes_max;
        let before = (evicted.data.len(), evicted.meta.len());
        self.meta.shrink_to(self.meta_limit(), &mut evicted.meta);
        self.data.shrink_to(self.data_bytes_max(), &mut evicted.data);
        self.meta.release();
        self.data.release();
        self.count_evictions(evicted, before);
    }

    /// Changes the part of the budget that Meta may take; takes effect before this returns.
    pub(crate) fn set_meta_bytes_max(&mut self, meta_bytes_max: usize, evicted: &mut EvictedOf<V>) {
        self.meta_bytes_max = meta_bytes_max;
        self.set_bytes_max(self.bytes_max, evicted);
    }

    pub(crate) fn remove(&mut self, key: &CacheKey) {
        self.data.remove(key);
        self.meta.remove(key);
    }

    pub(crate) fn stats(&self) -> TierStats {
        let mut stats = self.stats;
        for (class, queue) in [(&mut stats.data, &self.data), (&mut stats.meta, &self.meta)] {
            class.entries = queue.entries() as u64;
            class.bytes = queue.bytes() as u64;
        }
        stats
    }

    fn meta_limit(&self) -> usize {
        self.meta_bytes_max.min(self.bytes_max)
    }

    fn data_bytes_max(&self) -> usize {
        self.bytes_max.saturating_sub(self.meta.bytes())
    }

    fn count_evictions(&mut self, evicted: &EvictedOf<V>, before: (usize, usize)) {
        self.stats.data.evictions += (evicted.data.len() - before.0) as u64;
        self.stats.meta.evictions += (evicted.meta.len() - before.1) as u64;
    }
}

/// Entries pushed out, by class. Dropped by the caller after the tier is no longer borrowed: dropping a value is
/// the user's code.
pub(crate) struct EvictedOf<V> {
    pub(crate) data: Evicted<V>,
    pub(crate) meta: Evicted<V>,
}

impl<V> EvictedOf<V> {
    pub(crate) const fn new() -> Self {
        Self { data: Vec::new(), meta: Vec::new() }
    }
}
