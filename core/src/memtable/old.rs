//! The newest writes of a shard, ordered, in memory. Single-threaded.
//!
//! A second write to a key replaces the first in place, so a hot set of any update rate keeps its size.

use std::collections::BTreeMap;
use std::ops::Bound;

/// What one entry takes beside its key and value: two allocations with their rounding, and its share of a tree node.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// What a key's newest write says: a value, or that the key was deleted.
pub(crate) type Slot = Option<Box<[u8]>>;

/// Ordered writes by engine key.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    entries: BTreeMap<Box<[u8]>, Slot>,
    bytes: usize,
}

impl Memtable {
    /// Takes a write. `None` marks the key as deleted.
    pub(crate) fn insert(&mut self, key: Box<[u8]>, slot: Slot) {
        let added = slot_bytes(&slot);
        if let Some(present) = self.entries.get_mut(&key) {
            self.bytes = self.bytes + added - slot_bytes(present);
            match (present, slot) {
                (Some(old), Some(new)) if old.len() == new.len() => old.copy_from_slice(&new),
                (present, slot) => *present = slot,
            }
            return;
        }
        self.bytes += key.len() + added + ENTRY_OVERHEAD_BYTES;
        self.entries.insert(key, slot);
    }

    /// The newest write to `key`: `None` if there is none here, `Some(None)` if it is a deletion.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.entries.get(key).map(Option::as_deref)
    }

    /// Entries from `from` on, in order.
    pub(crate) fn range_from<'a>(
        &'a self,
        from: Bound<&'a [u8]>,
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + 'a {
        self.entries.range::<[u8], _>((from, Bound::Unbounded)).map(|(key, slot)| (&**key, slot.as_deref()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Memory this table takes, by its own account.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn slot_bytes(slot: &Slot) -> usize {
    slot.as_ref().map_or(0, |value| value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Box<[u8]> {
        Box::from(n.to_le_bytes().as_slice())
    }

    #[test]
    fn overwriting_keeps_the_size() {
        let mut table = Memtable::default();
        for round in 0u8..100 {
            for n in 0..100 {
                table.insert(key(n), Some(Box::from([round; 8].as_slice())));
            }
        }
        assert_eq!(table.entries.len(), 100);
        assert_eq!(table.bytes(), 100 * (4 + 8 + ENTRY_OVERHEAD_BYTES));
        assert_eq!(table.get(&key(7)), Some(Some([99u8; 8].as_slice())));
    }

    #[test]
    fn a_deletion_is_an_entry_of_its_own() {
        let mut table = Memtable::default();
        table.insert(key(1), Some(Box::from([1u8; 50].as_slice())));
        table.insert(key(1), None);
        table.insert(key(2), None);
        assert_eq!(table.get(&key(1)), Some(None));
        assert_eq!(table.get(&key(3)), None);
        assert_eq!(table.bytes(), 2 * (4 + ENTRY_OVERHEAD_BYTES));
        assert_eq!(table.range_from(Bound::Excluded(&key(1))).count(), 1);
    }
}
