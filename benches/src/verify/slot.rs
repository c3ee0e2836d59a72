//! Slots: the fine order in which keys are taken into passes.
//!
//! ```text
//! slot of a key = key group * 65,536 + top 16 bits of another hash of the key
//! ```
//!
//! A range of slots is a range of key groups, except that its first and last group may be cut.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Slots in one key group.
const SLOTS_PER_GROUP: u64 = 1 << 16;

/// Any seed will do that the engine does not use for key groups.
const SEED: u64 = 0x6669_7273_745F_6C69;

/// Position of a key in the order of passes.
pub(super) type Slot = u64;

/// A key's slot, and a hash of it for the table.
pub(super) fn slot(key: &[u8], key_groups: u16) -> (Slot, u64) {
    let hash = xxh3_64_with_seed(key, SEED);
    let group = u64::from(aquifer::key_group(key, key_groups));
    (group * SLOTS_PER_GROUP + (hash >> 48), hash)
}

/// All slots of a store.
pub(super) fn all_slots(key_groups: u16) -> Range<Slot> {
    0..u64::from(key_groups) * SLOTS_PER_GROUP
}

/// The key groups that a range of slots touches.
pub(super) fn groups(slots: &Range<Slot>) -> Range<u16> {
    let first = slots.start / SLOTS_PER_GROUP;
    let end = slots.end.div_ceil(SLOTS_PER_GROUP);
    u16::try_from(first).unwrap_or(u16::MAX)..u16::try_from(end).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_touch_the_groups_of_their_slots() {
        assert_eq!(groups(&all_slots(128)), 0..128);
        assert_eq!(groups(&(0..1)), 0..1);
        assert_eq!(groups(&(SLOTS_PER_GROUP - 1..SLOTS_PER_GROUP + 1)), 0..2);
        assert_eq!(groups(&(SLOTS_PER_GROUP..2 * SLOTS_PER_GROUP)), 1..2);
        let (slot, _) = slot(b"N725MQ", 128);
        assert!(groups(&(slot..slot + 1)).contains(&aquifer::key_group(b"N725MQ", 128)));
    }
}
