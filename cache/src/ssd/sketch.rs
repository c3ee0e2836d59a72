//! Which blocks were asked for lately and not found: four Bloom filters, one after the other, of which the oldest is emptied and used anew.
//!
//! ```text
//! newest ◄── missed(hash)      [ filled ] [ filled ] [ oldest ]        each: 16 bits for each of a quarter of the entries a file may hold
//! ```
//!
//! A hash is found in each generation at most twice: "seen" and "seen again". So the sum over generations tells one that was asked for once
//! (1) from those that are asked for again and again (up to 8), over about as many misses as the file holds entries. One of some 200 is
//! taken for seen that was not. Nothing has to be aged; emptying a generation is one fill.

const GENERATIONS: usize = 4;
/// Bits of a generation for each hash it is made for.
const BITS_EACH: u64 = 16;
const PROBES: u32 = 5;
/// A hash sets bits of one such line of 512 bits only: one miss of the processor's cache.
const LINE_WORDS: usize = 8;
/// Entries a file is expected to hold: one for so many bytes.
const ENTRY_BYTES: u64 = 4096;
const ENTRIES_MIN: u64 = 1 << 12;
const ENTRIES_MAX: u64 = 1 << 22;

/// Counts misses, roughly.
pub(super) struct Sketch {
    generations: [Vec<u64>; GENERATIONS],
    newest: usize,
    /// Hashes that the newest generation may still take.
    left: u64,
    each_max: u64,
}

impl Sketch {
    /// For a file of so many bytes: 2 bytes for each block of 4 KiB, 8 MiB at most.
    pub(super) fn new(file_bytes: u64) -> Self {
        let entries = (file_bytes / ENTRY_BYTES).clamp(ENTRIES_MIN, ENTRIES_MAX);
        let each_max = entries / GENERATIONS as u64;
        let lines = (each_max * BITS_EACH).div_ceil(LINE_WORDS as u64 * 64);
        let words = usize::try_from(lines).unwrap_or(1) * LINE_WORDS;
        Self { generations: std::array::from_fn(|_| vec![0; words]), newest: 0, left: each_max, each_max }
    }

    /// Somebody asked for it and it was not there; how often that has happened lately, this time included: 1 to 8.
    pub(super) fn missed(&mut self, hash: u64) -> u32 {
        let before = self.seen(hash);
        if self.left == 0 {
            self.newest = (self.newest + 1) % GENERATIONS;
            self.left = self.each_max;
            if let Some(oldest) = self.generations.get_mut(self.newest) {
                oldest.fill(0);
            }
        }
        let Some(newest) = self.generations.get_mut(self.newest) else { return before };
        let added = set(newest, hash) || set(newest, again(hash));
        self.left -= u64::from(added);
        (before + u32::from(added)).max(1)
    }

    /// How often it was missed lately.
    pub(super) fn seen(&self, hash: u64) -> u32 {
        let in_one = |bits: &Vec<u64>| {
            let once = u32::from(has(bits, hash));
            // Seen again only after seen.
            once + u32::from(once == 1 && has(bits, again(hash)))
        };
        self.generations.iter().map(in_one).sum()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.generations.iter().map(|bits| bits.capacity() * size_of::<u64>()).sum()
    }
}

const fn again(hash: u64) -> u64 {
    hash.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The line of a hash, and its bits there as (word, mask).
fn bits(words: usize, hash: u64) -> (usize, impl Iterator<Item = (usize, u64)>) {
    let lines = (words / LINE_WORDS).max(1) as u128;
    // Mixed once more: the index uses these bits as well, so that keys of one table must not share lines.
    let mixed = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = mixed ^ (mixed >> 32);
    let line = usize::try_from((u128::from(mixed) * lines) >> 64).unwrap_or(0);
    let probes = mixed.wrapping_mul(0x9fb2_1c65_1e98_df25);
    let bit = move |probe: u32| (probes >> (9 * probe)) & 511;
    let places = (0..PROBES).map(bit).map(|bit| (usize::try_from(bit >> 6).unwrap_or(0), 1 << (bit & 63)));
    (line * LINE_WORDS, places)
}

fn has(words: &[u64], hash: u64) -> bool {
    let (line, mut bits) = bits(words.len(), hash);
    let line = words.get(line..).unwrap_or_default();
    bits.all(|(word, mask)| line.get(word).is_some_and(|word| word & mask != 0))
}

/// Whether any bit of it was not set before.
fn set(words: &mut [u64], hash: u64) -> bool {
    let (line, bits) = bits(words.len(), hash);
    let Some(line) = words.get_mut(line..) else { return false };
    let mut added = false;
    for (word, mask) in bits {
        if let Some(word) = line.get_mut(word) {
            added |= *word & mask == 0;
            *word |= mask;
        }
    }
    added
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u64 {
        crate::CacheKey { object: n / 1000, offset: n % 1000 * 4096, bytes: 4096 }.hash64()
    }

    #[test]
    fn one_that_is_asked_for_once_is_told_from_the_others() {
        // A hundred thousand entries; five times as many blocks pass by, each once.
        let mut sketch = Sketch::new(100_000 * ENTRY_BYTES);
        let (mut taken_for_seen, mut hot_seen) = (0, 0);
        for n in 0..500_000 {
            taken_for_seen += u64::from(sketch.missed(hash(n + 1_000_000)) > 1);
            // One of a thousand hot ones comes by every 20th time: each after 20,000 others.
            if n % 20 == 0 {
                let count = sketch.missed(hash(n / 20 % 1_000));
                hot_seen += u64::from(n >= 40_000 && count > 1);
            }
        }
        assert!(taken_for_seen < 5_000, "{taken_for_seen} of 500,000");
        assert!(hot_seen > 22_500, "{hot_seen} of 23,000");
        let bytes = sketch.memory_bytes() as u64;
        assert!((200_000..=220_000).contains(&bytes), "{bytes} bytes for 100,000 entries");
    }

    #[test]
    fn counts_go_up_and_are_forgotten() {
        let mut sketch = Sketch::new(0);
        let mut counts = Vec::new();
        for round in 0..6 {
            counts.push(sketch.missed(hash(7)));
            for n in 0..600 {
                sketch.missed(hash(1_000_000 + round * 600 + n));
            }
        }
        assert_eq!(counts[..2], [1, 2]);
        assert!(counts[5] >= 4, "{counts:?}");
        for n in 0..6_000 {
            sketch.missed(hash(2_000_000 + n));
        }
        assert!(sketch.seen(hash(7)) <= 1, "five times as many came by since");
        assert!(Sketch::new(u64::MAX).memory_bytes() <= 8 << 20);
    }
}
