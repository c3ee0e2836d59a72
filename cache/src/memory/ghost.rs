//! Keys lately evicted from the small queue, remembered by a part of their hash.
//!
//! A set of 4-slot buckets; a slot is a 32-bit tag and the number of the eviction it came from. A tag counts as present
//! while fewer than `window` evictions have followed it, so nothing is ever moved or swept: old slots are
//! overwritten. (The S3-FIFO paper, section 4.2, describes this form of its ghost queue.)

/// A tag and when it was evicted; `number` 0 = empty.
#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    number: u32,
}

const SLOTS_PER_BUCKET: usize = 4;
const EMPTY: [Slot; SLOTS_PER_BUCKET] = [Slot { tag: 0, number: 0 }; SLOTS_PER_BUCKET];

/// Bytes of ghost memory for each entry of the cache, at most: two slots an entry, doubled by growing to powers of two.
pub(super) const GHOST_BYTES_PER_ENTRY: usize = 4 * size_of::<Slot>();

/// The set of ghosts.
pub(super) struct Ghost {
    /// A power of two long, or empty.
    buckets: Vec<[Slot; SLOTS_PER_BUCKET]>,
    number: u32,
}

impl Ghost {
    pub(super) const fn new() -> Self {
        Self { buckets: Vec::new(), number: 0 }
    }

    /// Remembers an evicted key; `window` is how many ghosts are wanted.
    pub(super) fn add(&mut self, hash: u64, window: usize) {
        self.fit(window);
        if self.number == u32::MAX {
            // Once in four thousand million evictions: forget, rather than let numbers wrap around.
            self.buckets.fill(EMPTY);
            self.number = 0;
        }
        self.number += 1;
        let number = self.number;
        let tag = tag(hash);
        let Some(bucket) = self.bucket_mut(tag) else { return };
        let same = bucket.iter().position(|slot| slot.tag == tag && slot.number != 0);
        let oldest = || bucket.iter().enumerate().min_by_key(|(_, slot)| slot.number).map(|(at, _)| at);
        if let Some(slot) = same.or_else(oldest).and_then(|at| bucket.get_mut(at)) {
            *slot = Slot { tag, number };
        }
    }

    /// Whether the key was evicted within the last `window` evictions; forgets it.
    pub(super) fn remove(&mut self, hash: u64, window: usize) -> bool {
        let number = self.number;
        let tag = tag(hash);
        let Some(bucket) = self.bucket_mut(tag) else { return false };
        let Some(slot) = bucket.iter_mut().find(|slot| slot.tag == tag && slot.number != 0) else {
            return false;
        };
        let age = number.saturating_sub(slot.number) as usize;
        slot.number = 0;
        age < window
    }

    /// Gives back memory beyond what `window` ghosts need.
    pub(super) fn shrink(&mut self, window: usize) {
        if self.buckets.len() > buckets_for(window) {
            self.resize(buckets_for(window));
        }
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<[Slot; SLOTS_PER_BUCKET]>()
    }

    fn fit(&mut self, window: usize) {
        if self.buckets.len() < buckets_for(window) {
            self.resize(buckets_for(window));
        }
    }

    fn resize(&mut self, buckets: usize) {
        let mut old = std::mem::replace(&mut self.buckets, vec![EMPTY; buckets]);
        let slots = old.iter_mut().flatten().filter(|slot| slot.number != 0);
        for slot in slots {
            let slot = *slot;
            let Some(bucket) = self.bucket_mut(slot.tag) else { continue };
            if let Some(place) = bucket.iter_mut().min_by_key(|place| place.number)
                && place.number < slot.number
            {
                *place = slot;
            }
        }
    }

    fn bucket_mut(&mut self, tag: u32) -> Option<&mut [Slot; SLOTS_PER_BUCKET]> {
        let mask = self.buckets.len().checked_sub(1)?;
        self.buckets.get_mut(tag as usize & mask)
    }
}

fn buckets_for(window: usize) -> usize {
    (window.saturating_mul(2) / SLOTS_PER_BUCKET).max(1).next_power_of_two()
}

#[expect(clippy::cast_possible_truncation, reason = "the tag is a part of the hash")]
const fn tag(hash: u64) -> u32 {
    (hash >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::CacheKey;

    fn hash(n: u64) -> u64 {
        CacheKey { object: n, offset: 0, bytes: 0 }.hash64()
    }

    #[test]
    fn remembers_the_window_and_not_much_more() {
        let mut ghost = Ghost::new();
        for n in 0..10_000 {
            ghost.add(hash(n), 1_000);
        }
        let recent = (9_000..10_000).filter(|&n| ghost.remove(hash(n), 1_000)).count();
        let old = (0..9_000).filter(|&n| ghost.remove(hash(n), 1_000)).count();
        assert!(recent > 900, "{recent} of the last 1000");
        assert_eq!(old, 0);
        assert!((9_000..10_000).all(|n| !ghost.remove(hash(n), 1_000)), "a ghost is seen once");
    }

    #[test]
    fn growing_and_shrinking_keep_the_newest() {
        let mut ghost = Ghost::new();
        for n in 0..100 {
            ghost.add(hash(n), 100);
        }
        ghost.add(hash(100), 10_000);
        assert!(ghost.remove(hash(90), 10_000));
        ghost.shrink(1);
        assert_eq!(ghost.buckets.len(), 1);
        assert!(ghost.remove(hash(100), 10_000));
    }

    #[test]
    fn an_empty_ghost_knows_nothing() {
        assert!(!Ghost::new().remove(7, 100));
    }
}
