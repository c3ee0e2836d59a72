//! SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024): a queue that a hand walks from its oldest entry
//! to its newest; an entry that was used since the hand came by stays where it is.

use super::policy::Policy;
use hashbrown::HashMap;

const NIL: usize = usize::MAX;

struct Entry {
    key: u32,
    visited: bool,
    newer: usize,
    older: usize,
}

/// See the module.
pub(super) struct Sieve {
    entries_max: usize,
    places: HashMap<u32, usize>,
    entries: Vec<Entry>,
    newest: usize,
    oldest: usize,
    hand: usize,
}

impl Sieve {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries_max, places: HashMap::new(), entries: Vec::new(), newest: NIL, oldest: NIL, hand: NIL }
    }

    /// Takes one entry out and gives its slot.
    fn evict(&mut self) -> usize {
        let mut at = if self.hand == NIL { self.oldest } else { self.hand };
        while let Some(entry) = self.entries.get_mut(at).filter(|entry| entry.visited) {
            entry.visited = false;
            at = if entry.newer == NIL { self.oldest } else { entry.newer };
        }
        let Some(&Entry { key, newer, older, .. }) = self.entries.get(at) else { return NIL };
        self.hand = newer;
        match self.entries.get_mut(newer) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
        self.places.remove(&key);
        at
    }
}

impl Policy for Sieve {
    fn access(&mut self, key: u32) -> bool {
        if let Some(entry) = self.places.get(&key).and_then(|&at| self.entries.get_mut(at)) {
            entry.visited = true;
            return true;
        }
        let at = if self.places.len() >= self.entries_max { self.evict() } else { self.entries.len() };
        let entry = Entry { key, visited: false, newer: NIL, older: self.newest };
        match self.entries.get_mut(at) {
            Some(slot) => *slot = entry,
            None => self.entries.push(entry),
        }
        match self.entries.get_mut(self.newest) {
            Some(newest) => newest.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        self.places.insert(key, at);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_stays_and_the_hand_goes_on_from_where_it_was() {
        let mut sieve = Sieve::new(3);
        for key in 1..=3 {
            assert!(!sieve.access(key));
        }
        assert!(sieve.access(1));
        assert!(!sieve.access(4), "2 leaves: 1 was used");
        assert!(sieve.access(1));
        assert!(!sieve.access(5), "3 leaves: the hand is past 1");
        assert!(sieve.access(1) && sieve.access(4) && sieve.access(5));
        assert!(!sieve.access(2) && !sieve.access(3));
    }
}
