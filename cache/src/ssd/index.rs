//! Where on the SSD a key is: 12 bytes an entry, in 256 sorted tables.
//!
//! ```text
//! hash64   | tag 32 ........................ | 21 unused | check 11 |
//!            └ 8 choose the table, 24 the home slot
//!
//! slot     | tag u32 | sector u32 | grain 4, sectors 12 bits | class 1, origin 2, heat 2, check 11 bits |      sectors = 0: empty
//! ```
//!
//! The index does not hold keys: 43 bits of the hash say "probably here", the header of the entry says "certainly". Two keys
//! that agree in all 43 bits push each other out, which costs a miss.
//!
//! Tables are probed linearly and kept in order of tags, so that a search ends at the first larger tag, a table grows by one pass in order,
//! and a snapshot of it is its slots. They are between 83 and 90 % full: with the few slots past the last home an entry takes 13.3 to 14.5
//! bytes. Removal closes the gap (no tombstones). A table holds 1/256 of the entries, so growing one never stops the core for long.

use super::format::{GRAIN_BYTES, SECTOR_BYTES};
use super::origin::Origin;
use crate::key::Class;

/// Tables of an index.
pub(crate) const TABLES: usize = 256;
/// Bytes of a slot, in memory and in a snapshot.
pub(crate) const SLOT_BYTES: usize = 12;
/// Highest heat.
pub(crate) const HEAT_MAX: u8 = 3;

const HOMES_MIN: usize = 8;
/// A table grows when more than this share of its homes is taken, by this share.
const FULL_PERCENT: usize = 90;
const GROWTH_DIVISOR: usize = 12;
/// Slots past the last home, for what is pushed over the end; more come as they are needed.
const TAIL_SLOTS: usize = 16;

/// Where an entry is, and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Sector that it begins in, counted from the beginning of the file.
    pub(crate) sector: u32,
    /// Where in that sector it begins, in units of 32 bytes; below 16.
    pub(crate) grain: u8,
    /// Sectors that hold a part of it, the first included; not 0, below 4096.
    pub(crate) sectors: u16,
    /// Whose share of the counters it is.
    pub(crate) class: Class,
    /// How it came here.
    pub(crate) origin: Origin,
    /// Hits since it was written, up to [`HEAT_MAX`].
    pub(crate) heat: u8,
}

/// Most sectors of an entry.
pub(crate) const SECTORS_MAX: u16 = (1 << SECTORS_BITS) - 1;
const SECTORS_BITS: u32 = 12;
const _: () = assert!(SECTOR_BYTES / GRAIN_BYTES == 1 << (u16::BITS - SECTORS_BITS));

impl Spot {
    /// In bytes of the file.
    pub(crate) fn begin(&self) -> u64 {
        u64::from(self.sector) * SECTOR_BYTES as u64 + u64::from(self.grain) * GRAIN_BYTES as u64
    }

    /// Bytes from its beginning to the end of its last sector: it is no longer than that.
    pub(crate) fn bytes(&self) -> usize {
        (usize::from(self.sectors) * SECTOR_BYTES).saturating_sub(usize::from(self.grain) * GRAIN_BYTES)
    }

    /// Sectors that begin with a part of it: no sector is counted for two entries.
    pub(crate) fn own_sectors(&self) -> u16 {
        self.sectors.saturating_sub(u16::from(self.grain > 0))
    }

    /// Grain and sectors as they are stored.
    pub(crate) fn extent(&self) -> u16 {
        u16::from(self.grain) << SECTORS_BITS | self.sectors & SECTORS_MAX
    }

    /// Grain and sectors of what [`Spot::extent`] made.
    pub(crate) fn of_extent(extent: u16) -> (u8, u16) {
        ((extent >> SECTORS_BITS).to_le_bytes()[0], extent & SECTORS_MAX)
    }
}

/// An entry of the index as it is kept and snapshotted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    tag: u32,
    sector: u32,
    /// High 4 bits: grain; low 12: sectors.
    extent: u16,
    /// Low 11 bits: check; 2 bits heat; 2 bits origin; high bit: class.
    bits: u16,
}

const CHECK_BITS: u32 = 11;
const CHECK_MASK: u16 = (1 << CHECK_BITS) - 1;
const HEAT_SHIFT: u32 = CHECK_BITS;
const HEAT_MASK: u16 = 0b11 << HEAT_SHIFT;
const ORIGIN_SHIFT: u32 = CHECK_BITS + 2;
const CLASS_BIT: u16 = 1 << 15;
const EMPTY: Slot = Slot { tag: 0, sector: 0, extent: 0, bits: 0 };

const _: () = assert!(size_of::<Slot>() == SLOT_BYTES);
const _: () = assert!(CHECK_BITS + 2 + 2 + 1 == u16::BITS);

impl Slot {
    fn new(hash: u64, spot: Spot) -> Self {
        let class = if spot.class == Class::Meta { CLASS_BIT } else { 0 };
        let heat = u16::from(spot.heat.min(HEAT_MAX)) << HEAT_SHIFT;
        let origin = u16::from(spot.origin.code()) << ORIGIN_SHIFT;
        Self {
            tag: tag(hash),
            sector: spot.sector,
            extent: spot.extent(),
            bits: check(hash) | heat | origin | class,
        }
    }

    const fn is(&self, hash: u64) -> bool {
        self.tag == tag(hash) && self.bits & CHECK_MASK == check(hash)
    }

    /// Where the entry is.
    pub(crate) fn spot(&self) -> Spot {
        let [origin, heat] =
            [ORIGIN_SHIFT, HEAT_SHIFT].map(|shift| (self.bits >> shift).to_le_bytes()[0] & 0b11);
        let (grain, sectors) = Spot::of_extent(self.extent);
        Spot {
            sector: self.sector,
            grain,
            sectors,
            class: if self.bits & CLASS_BIT == 0 { Class::Data } else { Class::Meta },
            origin: Origin::of_code(origin),
            heat,
        }
    }

    /// As a snapshot holds it.
    pub(crate) fn encode(self) -> [u8; SLOT_BYTES] {
        let mut out = [0; SLOT_BYTES];
        let parts = [
            &self.tag.to_le_bytes()[..],
            &self.sector.to_le_bytes(),
            &self.extent.to_le_bytes(),
            &self.bits.to_le_bytes(),
        ];
        let mut rest = out.as_mut_slice();
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        out
    }

    /// What [`Slot::encode`] made.
    pub(crate) fn decode(bytes: &[u8; SLOT_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        Self {
            tag: u32::from_le_bytes([a, b, c, d]),
            sector: u32::from_le_bytes([e, f, g, h]),
            extent: u16::from_le_bytes([i, j]),
            bits: u16::from_le_bytes([k, l]),
        }
    }

    const fn is_empty(&self) -> bool {
        self.extent & SECTORS_MAX == 0
    }
}

/// All places of one file.
pub(crate) struct Index {
    tables: Vec<Table>,
    entries: usize,
    /// Slots of all tables, used or not, as allocated.
    slots: usize,
}

impl Index {
    pub(crate) fn new() -> Self {
        let mut tables = Vec::new();
        tables.resize_with(TABLES, Table::default);
        Self { tables, entries: 0, slots: 0 }
    }

    pub(crate) fn find(&self, hash: u64) -> Option<Spot> {
        let table = self.tables.get(table_of(tag(hash)))?;
        let at = table.find(hash)?;
        table.slots.get(at).map(Slot::spot)
    }

    /// Counts a hit of the entry if it still is at `sector`; the heat that it had before.
    pub(crate) fn touch(&mut self, hash: u64, sector: u32) -> Option<u8> {
        let table = self.tables.get_mut(table_of(tag(hash)))?;
        let at = table.find(hash)?;
        let slot = table.slots.get_mut(at).filter(|slot| slot.sector == sector)?;
        let heat = slot.spot().heat;
        if heat < HEAT_MAX {
            slot.bits = slot.bits & !HEAT_MASK | u16::from(heat + 1) << HEAT_SHIFT;
        }
        Some(heat)
    }

    /// Forgets all hits of the entries of one table.
    pub(crate) fn cool(&mut self, table: usize) {
        if let Some(table) = self.tables.get_mut(table) {
            table.slots.iter_mut().for_each(|slot| slot.bits &= !HEAT_MASK);
        }
    }

    /// The place it had before, if the hash was there.
    pub(crate) fn insert(&mut self, hash: u64, spot: Spot) -> Option<Spot> {
        debug_assert!(spot.sectors > 0);
        let table = self.tables.get_mut(table_of(tag(hash)))?;
        let before = table.slots.capacity();
        let replaced = table.insert(hash, Slot::new(hash, spot));
        self.slots = self.slots - before + table.slots.capacity();
        self.entries += usize::from(replaced.is_none());
        replaced
    }

    /// Removes it if it still is at `sector`.
    pub(crate) fn remove(&mut self, hash: u64, sector: u32) -> Option<Spot> {
        let table = self.tables.get_mut(table_of(tag(hash)))?;
        let at = table.find(hash)?;
        let slot = table.slots.get(at).filter(|slot| slot.sector == sector).copied()?;
        table.remove(at);
        self.entries -= 1;
        Some(slot.spot())
    }

    /// Removes from one table all that `is_kept` does not want, and hands it to `removed`. A table that is mostly empty then gives memory back.
    pub(crate) fn retain(
        &mut self,
        table: usize,
        is_kept: impl Fn(Spot) -> bool,
        mut removed: impl FnMut(Spot),
    ) {
        let Some(table) = self.tables.get_mut(table) else { return };
        let before = (table.slots.capacity(), table.used);
        let mut kept = Vec::new();
        for slot in table.slots.iter().filter(|slot| !slot.is_empty()) {
            if is_kept(slot.spot()) {
                kept.push(*slot);
            } else {
                removed(slot.spot());
            }
        }
        if kept.len() < before.1 {
            *table = Table::of_sorted(kept.len(), kept.into_iter());
        }
        self.slots = self.slots - before.0 + table.slots.capacity();
        self.entries = self.entries - before.1 + table.used;
    }

    /// Slots of a table in the order of tags, those with a tag above `after` only. Each with its tag.
    pub(crate) fn slots_after(&self, table: usize, after: Option<u32>) -> impl Iterator<Item = (u32, Slot)> {
        let found = self.tables.get(table);
        let from = found.zip(after).map_or(0, |(table, after)| table.home(after));
        let slots = found.and_then(|table| table.slots.get(from..)).unwrap_or_default();
        slots
            .iter()
            .filter(move |slot| !slot.is_empty() && after.is_none_or(|after| slot.tag > after))
            .map(|slot| (slot.tag, *slot))
    }

    /// Fills an empty table from a snapshot: about `count` slots in the order of tags; what is out of order or of another table is left out.
    pub(crate) fn load(&mut self, table: usize, count: usize, slots: impl Iterator<Item = Slot>) {
        let Some(empty) = self.tables.get_mut(table).filter(|table| table.used == 0) else { return };
        let mut last = 0;
        let in_order = slots.filter(|slot| {
            let is_next = !slot.is_empty() && table_of(slot.tag) == table && slot.tag >= last;
            last = if is_next { slot.tag } else { last };
            is_next
        });
        let before = empty.slots.capacity();
        *empty = Table::of_sorted(count, in_order);
        self.slots = self.slots - before + empty.slots.capacity();
        self.entries += empty.used;
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots * size_of::<Slot>() + TABLES * size_of::<Table>()
    }
}

const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the check is the lowest bits of the hash")]
const fn check(hash: u64) -> u16 {
    (hash as u16) & CHECK_MASK
}

const fn table_of(tag: u32) -> usize {
    (tag >> 24) as usize
}

/// Slots in order of tags, each at its home or as close behind it as those before allow.
#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    homes: usize,
    used: usize,
}

impl Table {
    /// `count` slots at most, in order.
    fn of_sorted(count: usize, sorted: impl Iterator<Item = Slot>) -> Self {
        if count == 0 {
            return Self::default();
        }
        let homes = (count * 100).div_ceil(FULL_PERCENT).max(HOMES_MIN);
        let homes = homes + homes / (2 * GROWTH_DIVISOR);
        let mut table = Self { slots: Vec::new(), homes, used: 0 };
        table.slots.reserve_exact(homes + TAIL_SLOTS);
        for slot in sorted.take(count) {
            let home = table.home(slot.tag);
            if table.slots.len() < home {
                table.slots.resize(home, EMPTY);
            }
            table.push(slot);
            table.used += 1;
        }
        if table.slots.len() < homes {
            table.slots.resize(homes, EMPTY);
        }
        table
    }

    fn push(&mut self, slot: Slot) {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(TAIL_SLOTS);
        }
        self.slots.push(slot);
    }

    /// The slot a tag would like best; in order of tags.
    fn home(&self, tag: u32) -> usize {
        ((tag as usize & 0xff_ffff) * self.homes) >> 24
    }

    fn find(&self, hash: u64) -> Option<usize> {
        let home = self.home(tag(hash));
        for (at, slot) in (home..).zip(self.slots.get(home..)?) {
            if slot.is_empty() || slot.tag > tag(hash) {
                return None;
            }
            if slot.is(hash) {
                return Some(at);
            }
        }
        None
    }

    fn insert(&mut self, hash: u64, new: Slot) -> Option<Spot> {
        if let Some(slot) = self.find(hash).and_then(|at| self.slots.get_mut(at)) {
            return Some(std::mem::replace(slot, new).spot());
        }
        if (self.used + 1) * 100 > self.homes * FULL_PERCENT {
            self.grow();
        }
        let home = self.home(new.tag);
        let behind = self.slots.get(home..).unwrap_or_default();
        let is_place = |slot: &Slot| slot.is_empty() || slot.tag > new.tag;
        let place = behind.iter().position(is_place).map_or(self.slots.len(), |at| home + at);
        let from_place = self.slots.get(place..).unwrap_or_default();
        let free = from_place.iter().position(Slot::is_empty).map_or(self.slots.len(), |at| place + at);
        if free == self.slots.len() {
            self.push(EMPTY);
        }
        self.slots.copy_within(place..free, place + 1);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = new;
        }
        self.used += 1;
        None
    }

    fn grow(&mut self) {
        // By something in any case: a twelfth of few is nothing.
        let wanted = self.homes + (self.homes / GROWTH_DIVISOR).max(HOMES_MIN);
        let mut next = Self { slots: Vec::new(), homes: wanted, used: self.used };
        next.slots.reserve_exact(wanted + TAIL_SLOTS);
        for slot in self.slots.iter().filter(|slot| !slot.is_empty()) {
            let home = next.home(slot.tag);
            if next.slots.len() < home {
                next.slots.resize(home, EMPTY);
            }
            next.push(*slot);
        }
        if next.slots.len() < wanted {
            next.slots.resize(wanted, EMPTY);
        }
        *self = next;
    }

    /// Closes the gap: what follows without being at home moves one closer to it.
    fn remove(&mut self, at: usize) {
        let behind = self.slots.get(at + 1..).unwrap_or_default();
        let settled = |(place, slot): (usize, &Slot)| slot.is_empty() || self.home(slot.tag) == place;
        let moved = (at + 1..).zip(behind).position(settled).unwrap_or(behind.len());
        self.slots.copy_within(at + 1..at + 1 + moved, at);
        if let Some(slot) = self.slots.get_mut(at + moved) {
            *slot = EMPTY;
        }
        self.used -= 1;
    }
}
