//! Entries in one vector, linked into queues by their positions.
//!
//! Positions (`u32`) are handed out by [`Slab::take`] and die in [`Slab::give_back`]; a [`Queue`] is a doubly linked
//! list through the entries, so that moving one between queues allocates nothing.
//!
//! Whoever is outside of this tier knows an entry by its [`MemorySlot`]: a position and how often it has been given to an entry, so that a place
//! outlives its entry without harm. That count is short; before it begins anew, and when the slab is rebuilt, a new era begins,
//! in which no place of the one before is good.

use crate::key::CacheKey;
use crate::memory_slot::{ERA_MAX, MemorySlot, TURN_MAX};

/// The position that stands for "none".
const NIL: u32 = u32::MAX;

/// One entry. `value` is `None` only on the free list. A hit reads one line of the processor's cache: with values of two words this is one.
#[repr(align(64))]
pub(super) struct Entry<V> {
    pub(super) key: CacheKey,
    pub(super) value: Option<V>,
    /// Value and overhead.
    pub(super) bytes: usize,
    /// Hits since it entered its queue, at most 3.
    pub(super) frequency: u8,
    pub(super) in_main: bool,
    /// How many entries had this position before, in this era.
    turn: u16,
    newer: u32,
    older: u32,
}

/// All entries of one class.
pub(super) struct Slab<V> {
    entries: Vec<Entry<V>>,
    free: u32,
    era: u32,
}

impl<V> Slab<V> {
    /// An empty one in this era.
    pub(super) const fn new(era: u32) -> Self {
        Self { entries: Vec::new(), free: NIL, era }
    }

    pub(super) fn era(&self) -> u32 {
        self.era
    }

    /// The era after this one. The last one never ends, and has no places.
    pub(super) fn next_era(&self) -> u32 {
        (self.era + 1).min(ERA_MAX)
    }

    /// The place of an entry.
    pub(super) fn place(&self, at: u32) -> MemorySlot {
        if self.era == ERA_MAX { MemorySlot::NONE } else { MemorySlot::new(at, self.at(at).turn, self.era) }
    }

    /// The position of the entry that has this place, if it is still there.
    pub(super) fn find(&self, place: MemorySlot) -> Option<u32> {
        let at = place.position();
        let entry = self.entries.get(at as usize)?;
        let same = place.turn() == entry.turn && place.era() == self.era && self.era < ERA_MAX;
        (same && entry.value.is_some()).then_some(at)
    }

    #[inline]
    pub(super) fn prefetch(&self, place: MemorySlot) {
        if let Some(entry) = self.entries.get(place.position() as usize) {
            aquifer_io::prefetch(entry);
        }
    }

    /// Grows by an eighth, not by doubling: the unused part is memory too.
    pub(super) fn take(&mut self, key: CacheKey, value: V, bytes: usize) -> Option<u32> {
        let mut entry = Entry {
            key,
            value: Some(value),
            bytes,
            frequency: 0,
            in_main: false,
            turn: 0,
            newer: NIL,
            older: NIL,
        };
        if self.free != NIL {
            let at = self.free;
            let before = self.at(at);
            (self.free, entry.turn) = (before.older, before.turn);
            *self.at_mut(at) = entry;
            return Some(at);
        }
        let at = u32::try_from(self.entries.len()).ok().filter(|&at| at != NIL)?;
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.entries.len() / 8 + 16);
        }
        self.entries.push(entry);
        Some(at)
    }

    /// The entry must be in no queue.
    pub(super) fn give_back(&mut self, at: u32) -> Option<(CacheKey, V)> {
        let free = self.free;
        let entry = self.at_mut(at);
        let value = entry.value.take();
        entry.older = free;
        let ends_era = entry.turn == TURN_MAX;
        entry.turn = if ends_era { 0 } else { entry.turn + 1 };
        let key = entry.key;
        self.free = at;
        if ends_era {
            self.era = self.next_era();
        }
        value.map(|value| (key, value))
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "positions come from this slab alone; a wrong one must not pass"
    )]
    pub(super) fn at(&self, at: u32) -> &Entry<V> {
        &self.entries[at as usize]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "positions come from this slab alone; a wrong one must not pass"
    )]
    pub(super) fn at_mut(&mut self, at: u32) -> &mut Entry<V> {
        &mut self.entries[at as usize]
    }

    /// Positions that were ever given.
    pub(super) fn positions(&self) -> usize {
        self.entries.len()
    }

    /// What is at positions from `from` up to `to`, without those there are not.
    pub(super) fn range(&self, from: usize, to: usize) -> &[Entry<V>] {
        self.entries.get(from..to.min(self.entries.len())).unwrap_or_default()
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }
}

/// A FIFO of entries with the sum of their bytes.
pub(super) struct Queue {
    newest: u32,
    oldest: u32,
    pub(super) bytes: usize,
    pub(super) entries: usize,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self { newest: NIL, oldest: NIL, bytes: 0, entries: 0 }
    }

    pub(super) fn push<V>(&mut self, slab: &mut Slab<V>, at: u32) {
        let newest = self.newest;
        let entry = slab.at_mut(at);
        entry.newer = NIL;
        entry.older = newest;
        self.bytes += entry.bytes;
        self.entries += 1;
        if newest == NIL {
            self.oldest = at;
        } else {
            slab.at_mut(newest).newer = at;
        }
        self.newest = at;
    }

    pub(super) fn pop_oldest<V>(&mut self, slab: &mut Slab<V>) -> Option<u32> {
        let at = self.oldest;
        if at == NIL {
            return None;
        }
        self.unlink(slab, at);
        Some(at)
    }

    pub(super) fn unlink<V>(&mut self, slab: &mut Slab<V>, at: u32) {
        let entry = slab.at(at);
        let (newer, older) = (entry.newer, entry.older);
        self.bytes -= entry.bytes;
        self.entries -= 1;
        match newer {
            NIL => self.newest = older,
            newer => slab.at_mut(newer).older = older,
        }
        match older {
            NIL => self.oldest = newer,
            older => slab.at_mut(older).newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(object: u64) -> CacheKey {
        CacheKey { object, offset: 0, bytes: 1 }
    }

    #[test]
    fn a_queue_is_first_in_first_out_and_gives_up_its_middle() {
        let mut slab = Slab::new(0);
        let mut queue = Queue::new();
        let at: Vec<u32> = (0..4).map(|n| slab.take(key(n), n, 10).unwrap()).collect();
        for &at in &at {
            queue.push(&mut slab, at);
        }
        queue.unlink(&mut slab, at[1]);
        queue.unlink(&mut slab, at[3]);
        assert_eq!((queue.bytes, queue.entries), (20, 2));
        assert_eq!(queue.pop_oldest(&mut slab), Some(at[0]));
        assert_eq!(queue.pop_oldest(&mut slab), Some(at[2]));
        assert_eq!(queue.pop_oldest(&mut slab), None);
        assert_eq!((queue.bytes, queue.entries), (0, 0));
    }

    #[test]
    fn a_place_is_good_for_its_entry_alone() {
        let mut slab = Slab::new(0);
        let first = slab.take(key(1), 'a', 1).unwrap();
        let mut seen = vec![slab.place(first)];
        for n in 0..3 * u64::from(TURN_MAX) {
            slab.give_back(first);
            assert!(seen.iter().all(|&place| slab.find(place).is_none()), "turn {n}");
            assert_eq!(slab.take(key(n), 'b', 1), Some(first));
            let place = slab.place(first);
            assert!(!seen.contains(&place) && slab.find(place) == Some(first), "turn {n}");
            if seen.len() < 50 || n % 1_000 == 0 {
                seen.push(place);
            }
        }
        assert_eq!(slab.era(), 2);
        let rebuilt: Slab<char> = Slab::new(slab.next_era());
        assert!(seen.iter().all(|&place| rebuilt.find(place).is_none()));
    }

    #[test]
    fn in_the_last_era_there_are_no_places() {
        let mut slab = Slab::new(ERA_MAX);
        let first = slab.take(key(1), 'a', 1).unwrap();
        assert_eq!(slab.find(slab.place(first)), None);
        assert_eq!(slab.next_era(), ERA_MAX);
    }

    #[test]
    fn positions_are_reused() {
        let mut slab = Slab::new(0);
        let first = slab.take(key(1), 'a', 1).unwrap();
        assert_eq!(slab.give_back(first), Some((key(1), 'a')));
        assert_eq!(slab.take(key(2), 'b', 1), Some(first));
        assert_eq!(slab.at(first).key, key(2));
    }
}
