//! Where the newest write of a key is among the blocks in memory: a get of a key that was found there before looks at neither filters
//! nor runs.
//!
//! ```text
//! slot     tag 14 bits │ entry of the block 10 │ place of the block: turn 12, position + 1 28        0: empty
//! bucket   8 slots, one line of the processor's cache
//! ```
//! It forgets at will, and never names a block that does not hold the key's newest write below the memtables:
//! * only what a complete search found is noted, and only if no memtable had a word on the key;
//! * every write to a key takes its slot away before it takes effect, so that what the memtable's segment will hold is found anew;
//! * a version that comes with range deletions empties it.
//!
//! A merge of segments changes nothing about what a key's newest write says, so what is noted of blocks that were merged stays right for as
//! long as the cache keeps them. Tags may be equal by chance: whoever follows a slot compares the whole key.

use aquifer_cache::MemorySlot;
use std::cell::Cell;

const SLOTS: usize = 8;
const TAG_BITS: u32 = 14;
const NUMBER_BITS: u32 = 10;
const POSITION_BITS: u32 = 28;
const _: () = assert!(TAG_BITS + NUMBER_BITS + MemorySlot::TURN_BITS + POSITION_BITS == u64::BITS);

const TAG_SHIFT: u32 = u64::BITS - TAG_BITS;
const NUMBER_SHIFT: u32 = POSITION_BITS + MemorySlot::TURN_BITS;
/// A position that no block ever has.
const NOWHERE: u32 = (1 << POSITION_BITS) - 2;
/// Buckets to begin with.
const BUCKETS_MIN: usize = 64;
/// Keys per slot at which it grows.
const FILL_MAX: (usize, usize) = (5, 8);

/// One line of the processor's cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket([u64; SLOTS]);

const EMPTY: Bucket = Bucket([0; SLOTS]);

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Of its block.
    pub(crate) place: MemorySlot,
    /// Its number in the block.
    pub(crate) number: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct PointIndex {
    /// A power of two of them, or none.
    buckets: Vec<Bucket>,
    bytes_max: usize,
    /// Of the places.
    era: u32,
    taken: usize,
    /// Since it last grew or thought of it: notes, those of them of keys whose block was not in memory, slots whose block had left it, and
    /// slots whose block had not.
    noted: usize,
    absent: usize,
    stale: usize,
    good: Cell<usize>,
}

impl PointIndex {
    /// An empty one, which may grow to `bytes_max`.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            buckets: Vec::new(),
            bytes_max,
            era: 0,
            taken: 0,
            noted: 0,
            absent: 0,
            stale: 0,
            good: Cell::new(0),
        }
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Where the key of this hash may be. `era` is that of the places now.
    #[inline]
    pub(crate) fn find(&self, hash: u64, era: u32) -> Option<Spot> {
        if era != self.era {
            return None;
        }
        let bucket = self.buckets.get(self.bucket_of(hash))?;
        let tag = tag_of(hash);
        let slot = bucket.0.iter().find(|&&slot| slot >> TAG_SHIFT == tag && slot != 0)?;
        Some(spot(*slot, era))
    }

    /// What [`Self::find`] gave last was still in memory.
    #[inline]
    pub(crate) fn was_good(&self) {
        self.good.set(self.good.get() + 1);
    }

    /// Asks the processor for what [`Self::find`] reads.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(bucket) = self.buckets.get(self.bucket_of(hash)) {
            aquifer_io::prefetch(bucket);
        }
    }

    /// Notes where the key of this hash is. Whether it took more memory for it.
    pub(crate) fn note(&mut self, hash: u64, spot: Spot) -> bool {
        if spot.number >= 1 << NUMBER_BITS || spot.place.position() > NOWHERE {
            return false;
        }
        if spot.place.era() != self.era {
            self.clear();
            self.era = spot.place.era();
        }
        self.noted += 1;
        let bytes = self.bytes();
        if self.taken * FILL_MAX.1 >= self.buckets.len() * SLOTS * FILL_MAX.0 {
            self.grow();
        }
        let at = self.bucket_of(hash);
        let Some(bucket) = self.buckets.get_mut(at) else { return false };
        let tag = tag_of(hash);
        let same = |slot: &u64| *slot != 0 && *slot >> TAG_SHIFT == tag;
        let free = bucket.0.iter().position(same).or_else(|| bucket.0.iter().position(|slot| *slot == 0));
        // Of a full bucket the one that was put first goes, of those first that only say that a key was read.
        let at = free.unwrap_or_else(|| {
            let goes = bucket.0.iter().position(|slot| is_absent(*slot)).unwrap_or(0);
            if let Some(from_there) = bucket.0.get_mut(goes..) {
                from_there.rotate_left(1);
            }
            SLOTS - 1
        });
        if let Some(slot) = bucket.0.get_mut(at) {
            self.taken += usize::from(*slot == 0);
            *slot = slot_of(tag, spot);
        }
        self.bytes() > bytes
    }

    /// Notes that the key of this hash was read and its block was not in memory: if it is read again before the slot is taken by another
    /// key, it is found as one whose block has left. Whether it took more memory for it.
    pub(crate) fn note_absent(&mut self, hash: u64, era: u32) -> bool {
        self.absent += 1;
        self.note(hash, Spot { place: MemorySlot::new(NOWHERE, 0, era), number: 0 })
    }

    /// Forgets the key of this hash: it is being written.
    #[inline]
    pub(crate) fn forget(&mut self, hash: u64) {
        let at = self.bucket_of(hash);
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        let tag = tag_of(hash);
        for slot in &mut bucket.0 {
            if *slot >> TAG_SHIFT == tag && *slot != 0 {
                *slot = 0;
                self.taken -= 1;
            }
        }
    }

    /// Forgets the key of this hash: its block has left memory.
    pub(crate) fn forget_stale(&mut self, hash: u64) {
        self.stale += 1;
        self.forget(hash);
    }

    /// Changes what it may grow to. If it is larger than that, it begins anew.
    pub(crate) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        if self.bytes() > bytes_max {
            *self = Self { era: self.era, ..Self::new(bytes_max) };
        }
    }

    /// Forgets everything; keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.buckets.fill(EMPTY);
        self.taken = 0;
    }

    /// Four times as large and empty, or twice, if that is allowed, and if it pays: what it names stays in memory for long enough, or answers a good part
    /// of the reads all the same, as hot keys do. Looked at once for half as many notes as it has slots.
    fn grow(&mut self) {
        if self.noted < self.buckets.len() * SLOTS / 2 {
            return;
        }
        let is_good = self.good.get() >= self.noted / 4;
        let pays = is_good || self.stale <= self.noted / 4;
        // What only says that a key was read is worth less memory than what says where it is.
        let most = if is_good || self.absent <= self.noted / 2 { self.bytes_max } else { self.bytes_max / 4 };
        // A large step: what was noted before is lost with it.
        let larger = [4, 2].map(|times| (self.buckets.len() * times).max(BUCKETS_MIN));
        let allowed = larger.into_iter().find(|buckets| buckets * size_of::<Bucket>() <= most);
        if pays && let Some(buckets) = allowed {
            // The old ones are given back before the new ones are taken.
            self.buckets = Vec::new();
            self.buckets = vec![EMPTY; buckets];
            self.taken = 0;
        }
        (self.noted, self.absent, self.stale) = (0, 0, 0);
        self.good.set(0);
    }

    #[inline]
    fn bucket_of(&self, hash: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the lower bits alone")]
        let low = hash as usize;
        low & self.buckets.len().wrapping_sub(1)
    }
}

/// Bits of the hash that the number of a bucket does not use.
#[inline]
const fn tag_of(hash: u64) -> u64 {
    hash >> TAG_SHIFT
}

#[inline]
const fn spot(slot: u64, era: u32) -> Spot {
    let position = (slot & ((1 << POSITION_BITS) - 1)) as u32 - 1;
    let turn = (slot >> POSITION_BITS & ((1 << MemorySlot::TURN_BITS) - 1)) as u16;
    let number = (slot >> NUMBER_SHIFT & ((1 << NUMBER_BITS) - 1)) as usize;
    Spot { place: MemorySlot::new(position, turn, era), number }
}

/// Whether it was put by [`PointIndex::note_absent`].
#[inline]
const fn is_absent(slot: u64) -> bool {
    slot & ((1 << POSITION_BITS) - 1) == NOWHERE as u64 + 1
}

const fn slot_of(tag: u64, spot: Spot) -> u64 {
    tag << TAG_SHIFT
        | (spot.number as u64) << NUMBER_SHIFT
        | (spot.place.turn() as u64) << POSITION_BITS
        | (spot.place.position() as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use xxhash_rust::xxh3::xxh3_64;

    fn hash(n: u32) -> u64 {
        xxh3_64(&n.to_le_bytes())
    }

    fn place() -> impl Strategy<Value = (u32, u16, usize)> {
        (0u32..1 << 28, 0u16..1 << 12, 0usize..1 << 10)
    }

    proptest! {
        #[test]
        fn it_may_forget_and_never_lies(steps in prop::collection::vec((0u8..10, 0u32..300, place()), 1..600), bytes_max in 0usize..16_384) {
            let mut index = PointIndex::new(bytes_max);
            let mut model: HashMap<u32, Spot> = HashMap::new();
            let mut era = 0;
            for (step, key, (position, turn, number)) in steps {
                match step {
                    0..5 => {
                        let spot = Spot { place: MemorySlot::new(position, turn, era), number };
                        index.note(hash(key), spot);
                        model.insert(key, spot);
                    }
                    5 => {
                        index.forget(hash(key));
                        prop_assert_eq!(index.find(hash(key), era), None);
                        model.remove(&key);
                    }
                    6 if number < 50 => {
                        era += 1;
                        model.clear();
                    }
                    7 if number < 20 => {
                        index.clear();
                        model.clear();
                    }
                    _ => {}
                }
                if let Some(found) = index.find(hash(key), era) {
                    prop_assert_eq!(Some(&found), model.get(&key));
                }
                prop_assert!(index.bytes() <= bytes_max);
                let taken = index.buckets.iter().flat_map(|bucket| bucket.0).filter(|slot| *slot != 0).count();
                prop_assert_eq!(index.taken, taken);
            }
        }
    }

    #[test]
    fn it_keeps_nearly_all_that_it_has_room_for() {
        let mut index = PointIndex::new(1 << 24);
        for _ in 0..10 {
            for key in 0..200_000 {
                index.note(hash(key), Spot { place: MemorySlot::new(key, 0, 0), number: 3 });
            }
        }
        let found = (0..200_000).filter(|&key| index.find(hash(key), 0).is_some()).count();
        assert!(found > 195_000, "{found}");
        assert!(index.bytes() <= 200_000 * 64, "{}", index.bytes());
    }

    #[test]
    fn it_stays_small_while_blocks_leave_memory_before_they_are_read_again() {
        let mut index = PointIndex::new(1 << 24);
        for key in 0..200_000 {
            index.note(hash(key), Spot { place: MemorySlot::new(key, 0, 0), number: 3 });
            index.forget_stale(hash(key));
            index.note(hash(key), Spot { place: MemorySlot::new(key, 1, 0), number: 3 });
        }
        assert!(index.bytes() <= 4 * BUCKETS_MIN * 64, "{}", index.bytes());
    }
}
