//! What a cached block is called.

/// The identity of an extent of a remote object. Compared whole; also written into the header of its SSD entry, so
/// that a misdirected or stale read shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey {
    /// Id of the object, unique for ever: names are never reused, so the bytes under a key never change.
    pub object: u64,
    /// Where the extent begins in the object, in bytes.
    pub offset: u64,
    /// Length of the extent, in bytes.
    pub bytes: u32,
}

impl CacheKey {
    /// 64 well-mixed bits of the key, by two folded multiplications (the mixing step of wyhash by Wang Yi). The same
    /// in every build and on every machine.
    pub(crate) fn hash64(&self) -> u64 {
        const SEED_OBJECT: u64 = 0xa076_1d64_78bd_642f;
        const SEED_OFFSET: u64 = 0xe703_7ed1_a0b4_28db;
        const SEED_BYTES: u64 = 0x8ebc_6af0_9c88_c6e3;
        let mixed = fold(self.object ^ SEED_OBJECT, self.offset ^ SEED_OFFSET);
        fold(mixed ^ SEED_BYTES, u64::from(self.bytes) ^ SEED_OBJECT)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "folding takes the two halves of the product apart")]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// What kind of block it is; each class has its own share of the memory budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Blocks of keys and values.
    Data,
    /// Filters and indexes: few, wanted by every lookup, so Data cannot push them out.
    Meta,
}

/// Who reads: decides the order of reads, and how many requests and bytes of its kind may be in flight. Each class has a budget of its own,
/// so none waits in line behind another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadClass {
    /// Somebody waits for this block.
    #[default]
    Foreground,
    /// A scan will probably want it soon.
    ReadAhead,
    /// It was hot before a restart or a move.
    WarmUp,
    /// A merge of segments.
    Compaction,
}

impl ReadClass {
    /// Every class, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Foreground, Self::ReadAhead, Self::WarmUp, Self::Compaction];

    /// Whether what it reads is kept in memory and counts as used there and on the SSD. A merge reads what is about to be gone.
    pub(crate) const fn is_kept(self) -> bool {
        !matches!(self, Self::Compaction)
    }

    /// As it is written in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Foreground => "foreground",
            Self::ReadAhead => "read-ahead",
            Self::WarmUp => "warm-up",
            Self::Compaction => "compaction",
        }
    }
}

/// Where a block came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Memory: nothing had to be waited for.
    Memory,
    /// One read of the SSD.
    Ssd,
    /// The DFS.
    Remote,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn neighbours_do_not_collide_in_either_half() {
        let mut high = HashSet::new();
        let mut low = HashSet::new();
        for object in 0..64u64 {
            for block in 0..64u64 {
                let hash = CacheKey { object, offset: block * 4096, bytes: 4096 }.hash64();
                high.insert(hash >> 32);
                low.insert(hash & 0xffff_ffff);
            }
        }
        // 4096 keys in 2^32 places: two collisions expected in a thousand runs.
        assert!(high.len() >= 4095 && low.len() >= 4095, "{} {}", high.len(), low.len());
    }

    #[test]
    fn every_field_counts() {
        let key = CacheKey { object: 1, offset: 2, bytes: 3 };
        for other in
            [CacheKey { object: 2, ..key }, CacheKey { offset: 3, ..key }, CacheKey { bytes: 4, ..key }]
        {
            assert_ne!(key.hash64(), other.hash64());
        }
    }
}
