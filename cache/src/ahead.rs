//! What was hot elsewhere: blocks taken in before anybody asks for them, and what of this cache is worth telling others about.
//!
//! A block that is fetched ahead takes room that nobody uses: it pushes nothing out of memory, and on the SSD only what the caller lets it.

use crate::ask::Ask;
use crate::cache::Cache;
use crate::cached::Cached;
use crate::key::{CacheKey, Class, ReadClass, Tier};
use crate::ssd::{Source, WhenSpent};

/// Of the SSD file's bytes one part in so many is not counted as room: a region is being emptied, and entries do not fill regions to their end.
const SSD_SPARE_PART: u64 = 8;

impl<V: Cached> Cache<V> {
    /// Bytes of a class that fit in memory beside what is there, overhead of entries included.
    pub fn room_bytes(&self, class: Class) -> usize {
        self.inner.memory.borrow().room_bytes(class)
    }

    /// Bytes of entries that fit on the SSD beside what is there, about. 0 without an SSD tier.
    pub fn ssd_room_bytes(&self) -> u64 {
        let stats = self.inner.ssd.stats();
        (stats.file_bytes - stats.file_bytes / SSD_SPARE_PART).saturating_sub(stats.tier.bytes())
    }

    /// Takes a block into memory that came along with another of [`ReadClass::WarmUp`], as one that was asked for before. `false`, and
    /// nothing is kept, if that would push anything out.
    pub fn keep_ahead(&self, ask: &Ask, value: V) -> bool {
        self.inner.keep_ahead(ask.class, ask.key, value)
    }

    /// Offers such a block to the SSD tier, and waits for its writer if that is behind. `false` if the tier does not take it: it is off, the day's
    /// bytes are spent, or the block is too large.
    pub async fn offer_ahead(&self, class: Class, key: CacheKey, raw: &[u8]) -> bool {
        self.inner.ssd.admit(class, &key, raw, Source::AHEAD, WhenSpent::GiveUp).await.is_ok()
    }

    /// Counts a block that came along with another, for [`ReadStats`](crate::ReadStats): it was wanted, and needed no read of its own.
    pub fn count_along(&self, reads: ReadClass, bytes: u32) {
        let mut stats = self.inner.plan.stats.borrow_mut();
        let stats = stats.class_mut(Tier::Remote, reads);
        stats.blocks += 1;
        stats.wanted_bytes += u64::from(bytes);
    }

    /// Shows a part of what is in memory of a class: of each entry its key, how much it is in use (0: since it came, nobody asked for it again;
    /// up to 3), and its value. Looks at `count` positions from `from` on, of which some may be empty, and counts nothing. The position to
    /// go on from; `None` at the end. What comes and goes between two calls may be missed. `visit` must not call the cache.
    pub fn look_over_memory(
        &self,
        class: Class,
        from: usize,
        count: usize,
        visit: impl FnMut(&CacheKey, u8, &V),
    ) -> Option<usize> {
        self.inner.memory.borrow().look_over(class, from, count, visit)
    }
}
