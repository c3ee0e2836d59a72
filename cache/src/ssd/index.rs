//! Where on the SSD a key is: 12 bytes an entry, in 256 small open-addressed tables.
//!
//! ```text
//! hash64   | tag 32 ........................ | 17 unused | check 15 |
//!            └ 8 choose the table, 24 the home slot
//!
//! slot     | tag u32 | sector u32 | sectors u16 | check 15 bits, class 1 bit |      sectors = 0: empty
//! ```
//!
//! The index does not hold keys: 47 bits of the hash say "probably here", the header of the entry says "certainly". Two keys
//! that agree in all 47 bits push each other out, which costs a miss.
//!
//! Tables are linear-probed, at most 4/5 full, grow by a quarter, and close the gap on removal (no tombstones). A table
//! holds 1/256 of the entries, so growing one never stops the core for long. Beside this, each region remembers the tags of
//! its entries (4 bytes each) so that reusing it needs no walk through the index: 16 bytes an entry in all,
//! and the empty part of the tables.

use crate::key::Class;

const TABLES: usize = 256;
const SLOTS_MIN: usize = 8;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// First sector, counted from the beginning of the file.
    pub(crate) sector: u32,
    /// Length, not 0.
    pub(crate) sectors: u16,
    /// Whose share of the counters it is.
    pub(crate) class: Class,
}

#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    sector: u32,
    sectors: u16,
    /// Low 15 bits: check; high bit: class.
    check: u16,
}

const CLASS_BIT: u16 = 1 << 15;
const EMPTY: Slot = Slot { tag: 0, sector: 0, sectors: 0, check: 0 };

const _: () = assert!(size_of::<Slot>() == 12);

impl Slot {
    fn new(hash: u64, place: Spot) -> Self {
        let class = if place.class == Class::Meta { CLASS_BIT } else { 0 };
        Self { tag: tag(hash), sector: place.sector, sectors: place.sectors, check: check(hash) | class }
    }

    const fn is(&self, hash: u64) -> bool {
        self.tag == tag(hash) && self.check & !CLASS_BIT == check(hash)
    }

    const fn place(&self) -> Spot {
        let class = if self.check & CLASS_BIT == 0 { Class::Data } else { Class::Meta };
        Spot { sector: self.sector, sectors: self.sectors, class }
    }
}

/// All places of one file.
pub(crate) struct Index {
    tables: Vec<Table>,
    /// Slots of all tables, used or not.
    slots: usize,
}

impl Index {
    pub(crate) fn new() -> Self {
        let mut tables = Vec::new();
        tables.resize_with(TABLES, Table::default);
        Self { tables, slots: 0 }
    }

    pub(crate) fn find(&self, hash: u64) -> Option<Spot> {
        self.tables
            .get(table_of(tag(hash)))?
            .find(|slot| slot.is(hash), tag(hash))
            .map(|(_, slot)| slot.place())
    }

    /// The place it had before, if the hash was there.
    pub(crate) fn insert(&mut self, hash: u64, place: Spot) -> Option<Spot> {
        debug_assert!(place.sectors > 0);
        let table = self.tables.get_mut(table_of(tag(hash)))?;
        let before = table.slots.len();
        let replaced = table.insert(hash, Slot::new(hash, place));
        self.slots += table.slots.len() - before;
        replaced
    }

    /// Removes it if it still is at `sector`.
    pub(crate) fn remove(&mut self, hash: u64, sector: u32) -> Option<Spot> {
        let table = self.tables.get_mut(table_of(tag(hash)))?;
        table.remove(|slot| slot.is(hash) && slot.sector == sector, tag(hash))
    }

    /// Removes one entry with this tag whose place is as wanted.
    pub(crate) fn remove_tag(&mut self, tag: u32, wanted: impl Fn(u32) -> bool) -> Option<Spot> {
        self.tables.get_mut(table_of(tag))?.remove(|slot| slot.tag == tag && wanted(slot.sector), tag)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots * size_of::<Slot>() + TABLES * size_of::<Table>()
    }
}

/// The part of the hash that regions remember.
pub(crate) const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the check is the lowest bits of the hash")]
const fn check(hash: u64) -> u16 {
    (hash as u16) & !CLASS_BIT
}

const fn table_of(tag: u32) -> usize {
    (tag >> 24) as usize
}

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    used: usize,
}

impl Table {
    /// The slot a tag would like best; in order of tags, so that growing moves slots forward only.
    fn home(&self, tag: u32) -> usize {
        ((tag as usize & 0xff_ffff) * self.slots.len()) >> 24
    }

    /// From its home to the first empty slot.
    fn find(&self, wanted: impl Fn(&Slot) -> bool, tag: u32) -> Option<(usize, Slot)> {
        if self.used == 0 {
            return None;
        }
        let (before, from_home) = self.slots.split_at_checked(self.home(tag))?;
        let home = before.len();
        let places = (home..).zip(from_home).chain((0..).zip(before));
        for (at, slot) in places {
            if slot.sectors == 0 {
                return None;
            }
            if wanted(slot) {
                return Some((at, *slot));
            }
        }
        None
    }

    fn insert(&mut self, hash: u64, new: Slot) -> Option<Spot> {
        if let Some((at, old)) = self.find(|slot| slot.is(hash), new.tag) {
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = new;
            }
            return Some(old.place());
        }
        if (self.used + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        self.place(new);
        None
    }

    /// There is an empty slot.
    fn place(&mut self, new: Slot) {
        let home = self.home(new.tag).min(self.slots.len());
        let free = |slot: &Slot| slot.sectors == 0;
        let (before, from_home) = self.slots.split_at_mut(home);
        let place = from_home.iter_mut().chain(before).find(|slot| free(slot));
        debug_assert!(place.is_some());
        if let Some(place) = place {
            *place = new;
            self.used += 1;
        }
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() + self.slots.len() / 4).max(SLOTS_MIN);
        let mut fresh = Vec::new();
        fresh.reserve_exact(slots);
        fresh.resize(slots, EMPTY);
        let old = std::mem::replace(&mut self.slots, fresh);
        self.used = 0;
        for slot in old.into_iter().filter(|slot| slot.sectors != 0) {
            self.place(slot);
        }
    }

    /// Closes the gap: every later slot of the same run that may move closer to its home does.
    fn remove(&mut self, wanted: impl Fn(&Slot) -> bool, tag: u32) -> Option<Spot> {
        let (mut gap, removed) = self.find(wanted, tag)?;
        let slots = self.slots.len();
        let mut at = gap;
        loop {
            at = if at + 1 == slots { 0 } else { at + 1 };
            let slot = self.slots.get(at).copied().unwrap_or(EMPTY);
            if slot.sectors == 0 {
                break;
            }
            // How far the slot and the gap are from the slot's home, going forward.
            let home = self.home(slot.tag);
            let distance = |to: usize| if to >= home { to - home } else { to + slots - home };
            if distance(gap) <= distance(at) {
                if let Some(place) = self.slots.get_mut(gap) {
                    *place = slot;
                }
                gap = at;
            }
        }
        if let Some(place) = self.slots.get_mut(gap) {
            *place = EMPTY;
        }
        self.used -= 1;
        Some(removed.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn place(sector: u32) -> Spot {
        Spot { sector, sectors: 9, class: if sector.is_multiple_of(3) { Class::Meta } else { Class::Data } }
    }

    /// Small multiplicative generator; quality does not matter here.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 16
    }

    #[test]
    fn agrees_with_a_map_under_random_operations() {
        let mut state = 7;
        let mut index = Index::new();
        let mut model: HashMap<u64, Spot> = HashMap::new();
        for step in 0..200_000u32 {
            // Few tables and few homes, so that runs are long and wrap around.
            let spread = next(&mut state) % 4000;
            let hash = ((spread % 3) << 56) | (0xff_fff0 << 32) | ((spread % 16) << 32) | (spread / 16);
            match next(&mut state) % 4 {
                0 | 1 => {
                    assert_eq!(index.insert(hash, place(step)), model.insert(hash, place(step)));
                }
                2 => assert_eq!(index.find(hash), model.get(&hash).copied()),
                _ => {
                    let sector = model.get(&hash).map_or(step, |place| place.sector);
                    assert_eq!(index.remove(hash, sector + 1), None, "not the same place");
                    assert_eq!(index.remove(hash, sector), model.remove(&hash));
                }
            }
        }
        for (&hash, &place) in &model {
            assert_eq!(index.find(hash), Some(place));
        }
    }

    #[test]
    fn tags_find_the_entries_of_a_region() {
        let mut index = Index::new();
        // Same tag, different check; one of them elsewhere.
        for (low, sector) in [(1u64, 10), (2, 11), (3, 500)] {
            index.insert((5 << 32) | low, place(sector));
        }
        let here = |sector: u32| sector < 100;
        assert!(index.remove_tag(5, here).is_some());
        assert!(index.remove_tag(5, here).is_some());
        assert_eq!(index.remove_tag(5, here), None);
        assert_eq!(index.find((5 << 32) | 3), Some(place(500)));
    }

    #[test]
    fn an_entry_costs_what_is_promised() {
        let mut index = Index::new();
        let mut state = 1;
        let entries = 300_000;
        for n in 0..entries {
            let hash = (next(&mut state) << 32) ^ next(&mut state);
            index.insert(hash, place(n));
        }
        let slots: usize = index.tables.iter().map(|table| table.slots.capacity()).sum();
        assert_eq!(slots, index.slots);
        let bytes = index.memory_bytes() / entries as usize;
        assert!((12..=19).contains(&bytes), "{bytes} bytes an entry");
    }
}
