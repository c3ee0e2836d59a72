//! Keys and values: made from their number, so that neither side has to read them from memory.

/// Bytes of a key, and of a value.
pub(super) const KEY_BYTES: usize = 16;
pub(super) const VALUE_BYTES: usize = 100;

/// A step of splitmix64: numbers that look random, each number once.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The key with this number.
pub(super) fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let (first, second) = key.split_at_mut(8);
    first.copy_from_slice(&mix(number).to_le_bytes());
    second.copy_from_slice(&mix(!number).to_le_bytes());
    key
}

/// A value that begins with a number.
pub(super) fn value(number: u64) -> [u8; VALUE_BYTES] {
    let mut value = [0x5a; VALUE_BYTES];
    if let Some(first) = value.first_chunk_mut() {
        *first = number.to_le_bytes();
    }
    value
}

/// The number that a value begins with.
pub(super) fn number_of(value: &[u8]) -> Option<u64> {
    value.first_chunk().filter(|_| value.len() == VALUE_BYTES).map(|first| u64::from_le_bytes(*first))
}

/// Numbers below a bound, uniform, the same for both sides of a round.
pub(super) struct Numbers {
    random: fastrand::Rng,
    below: u64,
}

impl Numbers {
    pub(super) fn new(round: u64, below: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(mix(round)), below }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.random.u64(..self.below)
    }
}

/// Every number below a bound once, in an order that looks random.
pub(super) fn shuffled(below: u64, seed: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..below).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut numbers);
    numbers
}
