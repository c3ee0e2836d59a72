//! Entries in one vector, linked into queues by their positions.
//!
//! Positions (`u32`) are handed out by [`Slab::take`] and die in [`Slab::give_back`]; a [`Queue`] is a doubly linked
//! list through the entries, so that moving one between queues allocates nothing.

use crate::key::CacheKey;

/// The position that stands for "none".
const NIL: u32 = u32::MAX;

/// One entry. `value` is `None` only on the free list.
pub(super) struct Entry<V> {
    pub(super) key: CacheKey,
    pub(super) value: Option<V>,
    /// Value and overhead.
    pub(super) bytes: usize,
    /// Hits since it entered its queue, at most 3.
    pub(super) frequency: u8,
    pub(super) in_main: bool,
    newer: u32,
    older: u32,
}

/// All entries of one class.
pub(super) struct Slab<V> {
    entries: Vec<Entry<V>>,
    free: u32,
}

impl<V> Slab<V> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), free: NIL }
    }

    /// Grows by an eighth, not by doubling: the unused part is memory too.
    pub(super) fn take(&mut self, key: CacheKey, value: V, bytes: usize) -> Option<u32> {
        let entry =
            Entry { key, value: Some(value), bytes, frequency: 0, in_main: false, newer: NIL, older: NIL };
        if self.free != NIL {
            let at = self.free;
            self.free = self.at(at).older;
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
        let key = entry.key;
        self.free = at;
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
        let mut slab = Slab::new();
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
    fn positions_are_reused() {
        let mut slab = Slab::new();
        let first = slab.take(key(1), 'a', 1).unwrap();
        assert_eq!(slab.give_back(first), Some((key(1), 'a')));
        assert_eq!(slab.take(key(2), 'b', 1), Some(first));
        assert_eq!(slab.at(first).key, key(2));
    }
}
