//! Where an entry of the memory tier is: found without a search, for as long as it is there.

/// Most entries that one position has had in one era.
pub(crate) const TURN_MAX: u16 = (1 << TURN_BITS) - 1;
/// The last era.
pub(crate) const ERA_MAX: u32 = (1 << (u32::BITS - TURN_BITS)) - 1;
const TURN_BITS: u32 = 12;

/// Where an entry of the memory tier is. Two entries of a class never have the same place, so one that outlives its entry
/// finds nothing rather than something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySlot {
    position: u32,
    /// How many entries had the position before, and in the bits above the era.
    turn_and_era: u32,
}

impl MemorySlot {
    /// Finds nothing.
    pub const NONE: Self = Self { position: u32::MAX, turn_and_era: u32::MAX };
    /// Bits that [`Self::turn`] may take.
    pub const TURN_BITS: u32 = TURN_BITS;

    /// The place that has these parts, as they were taken from one.
    #[must_use]
    pub const fn new(position: u32, turn: u16, era: u32) -> Self {
        Self { position, turn_and_era: (turn & TURN_MAX) as u32 | era << TURN_BITS }
    }

    /// Position among the entries of its class: below the number of entries that there ever were at once.
    #[must_use]
    pub const fn position(self) -> u32 {
        self.position
    }

    /// How many entries had the position before, in its era.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits alone")]
    pub const fn turn(self) -> u16 {
        self.turn_and_era as u16 & TURN_MAX
    }

    /// Grows when places are no more what they were. See [`crate::Cache::era`].
    #[must_use]
    pub const fn era(self) -> u32 {
        self.turn_and_era >> TURN_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_its_parts() {
        for (position, turn, era) in [(0, 0, 0), (7, TURN_MAX, ERA_MAX), (u32::MAX - 1, 1, 2)] {
            let place = MemorySlot::new(position, turn, era);
            assert_eq!((place.position(), place.turn(), place.era()), (position, turn, era));
        }
    }
}
