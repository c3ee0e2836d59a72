//! LRU: the entry that was used longest ago leaves.

use super::policy::Policy;
use hashbrown::HashMap;

const NIL: usize = usize::MAX;

/// Keys in the order of their last use.
#[derive(Default)]
pub(super) struct Recency {
    places: HashMap<u32, usize>,
    entries: Vec<Entry>,
    free: Vec<usize>,
    /// The newest and the oldest.
    ends: Option<(usize, usize)>,
}

#[derive(Clone, Copy)]
struct Entry {
    key: u32,
    newer: usize,
    older: usize,
}

impl Recency {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Makes the key the newest, if it is there.
    pub(super) fn touch(&mut self, key: u32) -> bool {
        let Some(&at) = self.places.get(&key) else { return false };
        self.unlink(at);
        self.link(at);
        true
    }

    /// Puts a key in that is not there.
    pub(super) fn push(&mut self, key: u32) {
        let entry = Entry { key, newer: NIL, older: NIL };
        let at = self.free.pop().unwrap_or_else(|| {
            self.entries.push(entry);
            self.entries.len() - 1
        });
        if let Some(slot) = self.entries.get_mut(at) {
            *slot = entry;
        }
        self.places.insert(key, at);
        self.link(at);
    }

    /// The key that was used longest ago.
    pub(super) fn oldest(&self) -> Option<u32> {
        let (_, oldest) = self.ends?;
        self.entries.get(oldest).map(|entry| entry.key)
    }

    pub(super) fn pop_oldest(&mut self) -> Option<u32> {
        let key = self.oldest()?;
        self.remove(key);
        Some(key)
    }

    pub(super) fn remove(&mut self, key: u32) -> bool {
        let Some(at) = self.places.remove(&key) else { return false };
        self.unlink(at);
        self.free.push(at);
        true
    }

    fn link(&mut self, at: usize) {
        let before = self.ends.map(|(newest, _)| newest);
        if let Some(entry) = self.entries.get_mut(at) {
            (entry.newer, entry.older) = (NIL, before.unwrap_or(NIL));
        }
        if let Some(entry) = before.and_then(|before| self.entries.get_mut(before)) {
            entry.newer = at;
        }
        self.ends = Some((at, self.ends.map_or(at, |(_, oldest)| oldest)));
    }

    fn unlink(&mut self, at: usize) {
        let Some(&Entry { newer, older, .. }) = self.entries.get(at) else { return };
        if let Some(entry) = self.entries.get_mut(newer) {
            entry.older = older;
        }
        if let Some(entry) = self.entries.get_mut(older) {
            entry.newer = newer;
        }
        self.ends = self.ends.and_then(|(newest, oldest)| {
            let newest = if newest == at { older } else { newest };
            let oldest = if oldest == at { newer } else { oldest };
            (newest != NIL && oldest != NIL).then_some((newest, oldest))
        });
    }
}

/// See the module.
pub(super) struct Lru {
    entries_max: usize,
    recency: Recency,
}

impl Lru {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries_max, recency: Recency::default() }
    }
}

impl Policy for Lru {
    fn access(&mut self, key: u32) -> bool {
        if self.recency.touch(key) {
            return true;
        }
        if self.recency.len() >= self.entries_max {
            self.recency.pop_oldest();
        }
        self.recency.push(key);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_used_longest_ago_leaves() {
        let mut lru = Lru::new(3);
        for (key, hit) in
            [(1, false), (2, false), (3, false), (1, true), (4, false), (2, false), (1, true), (3, false)]
        {
            assert_eq!(lru.access(key), hit, "{key}");
        }
    }
}
