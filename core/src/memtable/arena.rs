//! Bytes that records live in: chunks that never move, addressed by four bytes, with slots that are reused by size class.
//!
//! ```text
//! address   17 bits: number of the chunk │ 15 bits: offset in the chunk / 8
//! chunk     4 KiB at first, an eighth of all there is later, at most 256 KiB; filled from its start
//! slot      a size class: 8, 16, .. 64 bytes, then eight steps to each doubling, up to 32 KiB
//!           larger ones have a chunk of their own, which is given back as a whole
//! ```
//!
//! Nothing is lost at the edges: the end of a chunk that is too short for a slot, and what a larger freed slot has too much, are cut
//! into slots of smaller classes.

#![expect(
    clippy::indexing_slicing,
    reason = "addresses and lengths are this module's own, made by `allocate`"
)]

/// Where a slot begins. Only meaningful in the arena that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address(pub(super) u32);

impl Address {
    /// No slot.
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    fn chunk(self) -> usize {
        (self.0 >> OFFSET_BITS) as usize
    }

    fn offset(self) -> usize {
        (self.0 & ((1 << OFFSET_BITS) - 1)) as usize * UNIT_BYTES
    }
}

/// Granularity of slots.
pub(super) const UNIT_BYTES: usize = 8;
const OFFSET_BITS: u32 = 15;
const CHUNK_BYTES: (usize, usize) = (4 * 1024, UNIT_BYTES << OFFSET_BITS);
/// Largest slot that shares a chunk.
const SHARED_BYTES_MAX: usize = 32 * 1024;
const CHUNKS_MAX: usize = (1 << (32 - OFFSET_BITS)) - 1;
const CLASSES: usize = 80;
/// Smallest rest of a freed slot that is cut off and kept for others.
const SPLIT_UNITS_MIN: usize = 4;

const _: () = assert!(class_units(CLASSES - 1) * UNIT_BYTES == SHARED_BYTES_MAX);
const _: () = assert!(class_of(SHARED_BYTES_MAX / UNIT_BYTES) == CLASSES - 1);
const _: () = assert!(SHARED_BYTES_MAX <= CHUNK_BYTES.1 && CLASSES <= 128);

/// The smallest class whose slots have `units`.
const fn class_of(units: usize) -> usize {
    if units <= 8 {
        return units.saturating_sub(1);
    }
    let doubling = (units - 1).ilog2() as usize - 3;
    8 + doubling * 8 + units.div_ceil(1 << doubling) - 9
}

/// Units of a class's slots.
const fn class_units(class: usize) -> usize {
    if class < 8 {
        return class + 1;
    }
    (9 + (class - 8) % 8) << ((class - 8) / 8)
}

/// Chunks and free slots.
#[derive(Debug)]
pub(super) struct Arena {
    chunks: Vec<Box<[u8]>>,
    /// Numbers of chunks that were given back.
    vacant: Vec<u32>,
    /// The chunk that is being filled, and how far it is.
    current: usize,
    filled: usize,
    /// First free slot of each class; each begins with the address of the next one.
    free: [Address; CLASSES],
    /// One bit for each class that has a free slot.
    classes_free: u128,
    chunk_bytes: usize,
    free_bytes: usize,
}

impl Default for Arena {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            vacant: Vec::new(),
            // None yet: a large slot may well be the first chunk of all.
            current: usize::MAX,
            filled: 0,
            free: [Address::NONE; CLASSES],
            classes_free: 0,
            chunk_bytes: 0,
            free_bytes: 0,
        }
    }
}

impl Arena {
    /// Memory of chunks and their tables.
    pub(super) fn bytes(&self) -> usize {
        self.chunk_bytes + self.chunks.capacity() * size_of::<Box<[u8]>>() + self.vacant.capacity() * 4
    }

    /// Bytes of slots that were freed and not taken again.
    #[cfg(test)]
    pub(super) fn free_bytes(&self) -> usize {
        self.free_bytes
    }

    /// A slot of at least `bytes`, and what it really has. Its content is arbitrary.
    pub(super) fn allocate(&mut self, bytes: usize) -> (Address, usize) {
        let units = bytes.max(1).div_ceil(UNIT_BYTES);
        if bytes > SHARED_BYTES_MAX {
            let bytes = units * UNIT_BYTES;
            return (self.add_chunk(bytes), bytes);
        }
        let class = class_of(units);
        let candidates = self.classes_free >> class;
        if candidates != 0 {
            return self.take_free(class, class + candidates.trailing_zeros() as usize);
        }
        let bytes = class_units(class) * UNIT_BYTES;
        if self.room() < bytes {
            self.next_chunk(bytes);
        }
        let address = address(self.current, self.filled);
        self.filled += bytes;
        (address, bytes)
    }

    /// Takes back a slot of `bytes`, as `allocate` said.
    pub(super) fn free(&mut self, slot: Address, bytes: usize) {
        if bytes > SHARED_BYTES_MAX {
            self.chunk_bytes -= bytes;
            self.chunks[slot.chunk()] = Box::default();
            self.vacant.push(slot.0 >> OFFSET_BITS);
        } else {
            self.push_free(class_of(bytes / UNIT_BYTES), slot);
        }
    }

    /// The bytes from `slot` on, to the end of its chunk.
    #[inline]
    pub(super) fn slot(&self, slot: Address) -> &[u8] {
        &self.chunks[slot.chunk()][slot.offset()..]
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, slot: Address) -> &mut [u8] {
        &mut self.chunks[slot.chunk()][slot.offset()..]
    }

    /// Copies the first `bytes` of one slot to another one.
    pub(super) fn copy(&mut self, from: Address, to: Address, bytes: usize) {
        if from.chunk() == to.chunk() {
            let start = from.offset();
            self.chunks[to.chunk()].copy_within(start..start + bytes, to.offset());
            return;
        }
        let (low, high) = self.chunks.split_at_mut(from.chunk().max(to.chunk()));
        let (source, target) = if from.chunk() < to.chunk() {
            (&low[from.chunk()], &mut high[0])
        } else {
            (&high[0], &mut low[to.chunk()])
        };
        target[to.offset()..to.offset() + bytes]
            .copy_from_slice(&source[from.offset()..from.offset() + bytes]);
    }

    fn room(&self) -> usize {
        self.chunks.get(self.current).map_or(0, |chunk| chunk.len() - self.filled)
    }

    /// Begins a chunk with room for `bytes`.
    fn next_chunk(&mut self, bytes: usize) {
        let rest = self.room();
        if rest > 0 {
            self.cut(address(self.current, self.filled), rest / UNIT_BYTES);
        }
        let share = (self.chunk_bytes / 8).next_multiple_of(CHUNK_BYTES.0);
        self.current = self.add_chunk(share.clamp(CHUNK_BYTES.0, CHUNK_BYTES.1).max(bytes)).chunk();
        self.filled = 0;
    }

    fn add_chunk(&mut self, bytes: usize) -> Address {
        self.chunk_bytes += bytes;
        let chunk = vec![0; bytes].into_boxed_slice();
        if let Some(number) = self.vacant.pop() {
            self.chunks[number as usize] = chunk;
            return Address(number << OFFSET_BITS);
        }
        assert!(self.chunks.len() < CHUNKS_MAX, "a memtable is flushed long before its addresses end");
        self.chunks.push(chunk);
        address(self.chunks.len() - 1, 0)
    }

    /// Takes a slot of class `found`, or what class `wanted` needs of it.
    fn take_free(&mut self, wanted: usize, found: usize) -> (Address, usize) {
        let slot = self.free[found];
        let next = Address(u32_at(self.slot(slot), 0));
        self.free[found] = next;
        if next.is_none() {
            self.classes_free &= !(1 << found);
        }
        let (units, has) = (class_units(wanted), class_units(found));
        self.free_bytes -= has * UNIT_BYTES;
        if has - units < SPLIT_UNITS_MIN {
            return (slot, has * UNIT_BYTES);
        }
        self.cut(address(slot.chunk(), slot.offset() + units * UNIT_BYTES), has - units);
        (slot, units * UNIT_BYTES)
    }

    /// Makes free slots of `units` that follow `start`.
    fn cut(&mut self, start: Address, mut units: usize) {
        let mut offset = start.offset();
        while units > 0 {
            let class = class_of(units);
            let class = if class_units(class) > units { class - 1 } else { class };
            self.push_free(class, address(start.chunk(), offset));
            offset += class_units(class) * UNIT_BYTES;
            units -= class_units(class);
        }
    }

    fn push_free(&mut self, class: usize, slot: Address) {
        let next = std::mem::replace(&mut self.free[class], slot);
        self.classes_free |= 1 << class;
        self.free_bytes += class_units(class) * UNIT_BYTES;
        put_u32(self.slot_mut(slot), 0, next.0);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`add_chunk` bounds the number of chunks, and chunks their length"
)]
fn address(chunk: usize, offset: usize) -> Address {
    Address(((chunk as u32) << OFFSET_BITS) + (offset / UNIT_BYTES) as u32)
}

#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |array| u32::from_le_bytes(*array))
}

#[inline]
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |array| u64::from_le_bytes(*array))
}

#[inline]
pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[inline]
pub(super) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_cover_every_size_with_an_eighth_to_spare() {
        for units in 1..=SHARED_BYTES_MAX / UNIT_BYTES {
            let class = class_of(units);
            assert!(class_units(class) >= units && class_units(class) <= units + units / 8 + 1, "{units}");
            assert!(class == 0 || class_units(class - 1) < units);
        }
    }

    #[test]
    fn slots_never_overlap_and_are_taken_again() {
        let mut arena = Arena::default();
        let mut random = fastrand::Rng::with_seed(7);
        let mut held: Vec<(Address, usize, u8)> = Vec::new();
        for round in 0..30_000u32 {
            let fill = round.to_le_bytes()[0];
            if random.usize(..100) < 52 || held.is_empty() {
                let wanted = if random.usize(..500) == 0 {
                    random.usize(30_000..90_000)
                } else {
                    random.usize(1..600)
                };
                let (slot, has) = arena.allocate(wanted);
                assert!(has >= wanted);
                arena.slot_mut(slot)[..has].fill(fill);
                held.push((slot, has, fill));
            } else {
                let (slot, has, fill) = held.swap_remove(random.usize(..held.len()));
                assert!(arena.slot(slot)[..has].iter().all(|&byte| byte == fill));
                arena.free(slot, has);
            }
        }
        let live: usize = held.iter().map(|(_, has, _)| has).sum();
        assert_eq!(arena.chunk_bytes, live + arena.free_bytes() + arena.room());
        let before = arena.chunk_bytes;
        for (slot, has, _) in held.drain(..) {
            arena.free(slot, has);
        }
        for _ in 0..before / 2 / 64 {
            arena.allocate(64);
        }
        assert!(arena.chunk_bytes <= before);
    }
}
