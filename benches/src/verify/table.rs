//! A hash table of fixed size: keys in an arena, entries beside them, an open-addressed index.
//!
//! ```text
//! index: [u32; 2^n] ─> entries: [key offset, key length, seen, tally] ─> arena: key bytes
//! ```
//!
//! Invariants: `index` is at most half full; the bytes in use never exceed the budget; memory that has not been used
//! is reserved address space, not resident memory.

use std::ops::Range;

use super::slot::{Slot, slot};

/// No entry.
const EMPTY: u32 = u32::MAX;

#[derive(Debug, Clone)]
pub(super) struct Entry<T> {
    key_offset: u32,
    key_bytes: u16,
    /// The comparison has met this key in the store.
    pub(super) seen: bool,
    pub(super) tally: T,
}

/// The table is full: take fewer slots.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct FoldTable<T> {
    index: Vec<u32>,
    entries: Vec<Entry<T>>,
    arena: Vec<u8>,
    /// Bytes that entries and arena may take together.
    used_bytes_max: usize,
}

impl<T> FoldTable<T> {
    /// A table within this many bytes.
    pub(super) fn new(budget_bytes: usize) -> Self {
        // An entry with its share of the index (two to four places of 4 bytes) and a short key.
        let entries_max = (budget_bytes / (size_of::<Entry<T>>() + 16 + 8)).clamp(16, EMPTY as usize / 4);
        let index_places = (entries_max * 2).next_power_of_two();
        let used_bytes_max = budget_bytes.saturating_sub(index_places * size_of::<u32>());
        Self {
            index: vec![EMPTY; index_places],
            entries: Vec::with_capacity(entries_max),
            arena: Vec::with_capacity(used_bytes_max.min(u32::MAX as usize)),
            used_bytes_max,
        }
    }

    /// Forgets all keys, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.index.fill(EMPTY);
        self.entries.clear();
        self.arena.clear();
    }

    pub(super) fn entries_count(&self) -> usize {
        self.entries.len()
    }

    /// How much of the table is used, from 0 to 1.
    pub(super) fn fullness(&self) -> f64 {
        let by_count = self.entries.len() as f64 / self.entries.capacity().max(1) as f64;
        let by_bytes = self.used_bytes() as f64 / self.used_bytes_max.max(1) as f64;
        by_count.max(by_bytes)
    }

    fn used_bytes(&self) -> usize {
        self.arena.len() + self.entries.len() * size_of::<Entry<T>>()
    }

    /// The entry of a key.
    pub(super) fn find(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry<T>> {
        let place = self.place(hash, key);
        let number = *self.index.get(place)?;
        self.entries.get_mut(number as usize)
    }

    /// Adds a key that is not there. The table is unchanged when full.
    pub(super) fn insert(&mut self, hash: u64, key: &[u8], tally: T) -> Result<(), Full> {
        let bytes = self.used_bytes() + key.len() + size_of::<Entry<T>>();
        if self.entries.len() == self.entries.capacity() || bytes > self.used_bytes_max {
            return Err(Full);
        }
        let place = self.place(hash, key);
        let number = u32::try_from(self.entries.len()).map_err(|_| Full)?;
        let key_offset = u32::try_from(self.arena.len()).map_err(|_| Full)?;
        let key_bytes = u16::try_from(key.len()).map_err(|_| Full)?;
        let Some(place) = self.index.get_mut(place) else { return Err(Full) };
        *place = number;
        self.arena.extend_from_slice(key);
        self.entries.push(Entry { key_offset, key_bytes, seen: false, tally });
        Ok(())
    }

    /// Drops the keys outside these slots.
    pub(super) fn keep(&mut self, slots: &Range<Slot>, key_groups: u16) {
        let arena = &mut self.arena;
        let mut end = 0_usize;
        self.entries.retain_mut(|entry| {
            let key = entry.key_range();
            let Some(bytes) = arena.get(key.clone()) else { return false };
            if !slots.contains(&slot(bytes, key_groups).0) {
                return false;
            }
            // Entries are in the order of their keys in the arena, so this moves towards the front only.
            let length = key.len();
            arena.copy_within(key, end);
            entry.key_offset = u32::try_from(end).unwrap_or(u32::MAX);
            end += length;
            true
        });
        self.arena.truncate(end);
        self.index.fill(EMPTY);
        for number in 0..self.entries.len() {
            let Some(key) = self.entries.get(number).and_then(|entry| self.arena.get(entry.key_range()))
            else {
                continue;
            };
            let place = self.place(slot(key, key_groups).1, key);
            if let (Some(place), Ok(number)) = (self.index.get_mut(place), u32::try_from(number)) {
                *place = number;
            }
        }
    }

    /// All entries with their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Entry<T>)> {
        self.entries.iter().map(|entry| (self.arena.get(entry.key_range()).unwrap_or_default(), entry))
    }

    /// Where a key is in the index, or the empty place where it belongs.
    fn place(&self, hash: u64, key: &[u8]) -> usize {
        let mask = self.index.len() - 1;
        let mut place = usize::try_from(hash & mask as u64).unwrap_or(0);
        while let Some(number) = self.index.get(place).filter(|number| **number != EMPTY) {
            let found =
                self.entries.get(*number as usize).and_then(|entry| self.arena.get(entry.key_range()));
            if found == Some(key) {
                break;
            }
            place = (place + 1) & mask;
        }
        place
    }
}

impl<T> Entry<T> {
    fn key_range(&self) -> Range<usize> {
        let start = self.key_offset as usize;
        start..start + usize::from(self.key_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::slot::all_slots;
    use super::*;

    const GROUPS: u16 = 128;

    /// Folds numbered keys until the table is full; gives what a map would hold.
    fn filled(table: &mut FoldTable<u64>) -> BTreeMap<Vec<u8>, u64> {
        let mut model = BTreeMap::new();
        for number in 0_u64.. {
            let key = format!("key-{}", number * 7919 % 3001).into_bytes();
            let (_, hash) = slot(&key, GROUPS);
            if let Some(entry) = table.find(hash, &key) {
                entry.tally += number;
            } else if table.insert(hash, &key, number) == Err(Full) {
                break;
            }
            *model.entry(key).or_default() += number;
            if number > 100_000 {
                break;
            }
        }
        model
    }

    fn contents(table: &FoldTable<u64>) -> BTreeMap<Vec<u8>, u64> {
        table.iter().map(|(key, entry)| (key.to_vec(), entry.tally)).collect()
    }

    #[test]
    fn the_table_holds_what_a_map_holds() {
        let mut table = FoldTable::new(1 << 20);
        let model = filled(&mut table);
        assert_eq!(model.len(), 3001);
        assert_eq!(contents(&table), model);
        table.clear();
        assert_eq!(table.entries_count(), 0);
        assert_eq!(filled(&mut table), model);
    }

    #[test]
    fn a_full_table_stays_within_its_budget_and_goes_on_with_half_the_slots() {
        let mut table = FoldTable::new(64 << 10);
        let mut model = filled(&mut table);
        assert!(model.len() < 3001, "the table must fill up for this test");
        assert!(table.used_bytes() + table.index.len() * 4 <= 64 << 10);
        let mut slots = all_slots(GROUPS);
        while slots.end > 1 << 16 {
            slots.end /= 2;
            table.keep(&slots, GROUPS);
            model.retain(|key, _| slots.contains(&slot(key, GROUPS).0));
            assert_eq!(contents(&table), model);
            for key in model.keys() {
                assert!(table.find(slot(key, GROUPS).1, key).is_some());
            }
        }
        assert!(table.find(slot(b"nobody", GROUPS).1, b"nobody").is_none());
    }
}
