//! Keys and values of a workload: from a number and a seed, so that every answer can be checked without remembering it.
//!
//! ```text
//! key    number (8 bytes, big endian: order of numbers is order of keys) ── filling
//! value  number ── version ── check (8 bytes each) ── half random, half zeroes (compresses to about a half)
//! ```

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::rng::Rng;

/// Shortest key: its number, and a byte that tells keys that are there from keys that are not.
pub(crate) const KEY_BYTES_MIN: usize = 9;

/// Shortest value: number, version and check.
pub(crate) const VALUE_BYTES_MIN: usize = 24;

/// Writes the key with this number.
pub(crate) fn write_key(key: &mut Vec<u8>, number: u64, key_bytes: usize, filling: u8) {
    key.clear();
    #[expect(clippy::big_endian_bytes, reason = "keys are compared by their bytes, as all stores do")]
    key.extend_from_slice(&number.to_be_bytes());
    key.resize(key_bytes.max(KEY_BYTES_MIN), filling);
}

/// The number of a key.
#[expect(clippy::big_endian_bytes, reason = "as it was written")]
pub(crate) fn number_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.first_chunk()?))
}

/// Writes a value of this length for a key.
pub(crate) fn write_value(value: &mut Vec<u8>, number: u64, version: u64, value_bytes: usize) {
    value.clear();
    value.extend_from_slice(&number.to_le_bytes());
    value.extend_from_slice(&version.to_le_bytes());
    value.extend_from_slice(&[0; 8]);
    let rest = value_bytes.saturating_sub(VALUE_BYTES_MIN);
    let mut rng = Rng::new(number ^ version.rotate_left(32));
    let random_end = value.len() + rest / 2;
    while value.len() < random_end {
        let word = rng.u64().to_le_bytes();
        let missing = random_end - value.len();
        value.extend_from_slice(word.get(..missing.min(8)).unwrap_or(&word));
    }
    value.resize(VALUE_BYTES_MIN + rest, 0);
    let check = check_of(value);
    if let Some(place) = value.get_mut(16..24) {
        place.copy_from_slice(&check.to_le_bytes());
    }
}

/// The version of a value read for a key; `None` when it is another key's, or damaged.
pub(crate) fn version_of(value: &[u8], number: u64) -> Option<u64> {
    let word = |at: usize| Some(u64::from_le_bytes(value.get(at..at + 8)?.try_into().ok()?));
    // The check is computed in any case: so much the tool takes for every answer, also where it measures itself.
    let whole = word(16)? == check_of(value);
    (whole && word(0)? == number).then(|| word(8)).flatten()
}

/// Over everything but the check itself.
fn check_of(value: &[u8]) -> u64 {
    let front = xxh3_64_with_seed(value.get(..16).unwrap_or_default(), value.len() as u64);
    xxh3_64_with_seed(value.get(24..).unwrap_or_default(), front)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_numbers_is_the_order_of_keys() {
        let key = |number| {
            let mut key = Vec::new();
            write_key(&mut key, number, 16, b'k');
            key
        };
        assert!(key(1) < key(2) && key(255) < key(256) && key(1 << 40) < key((1 << 40) + 1));
        assert_eq!(key(7).len(), 16);
    }

    #[test]
    fn every_flipped_bit_and_every_wrong_key_is_seen() {
        let mut value = Vec::new();
        for bytes in [0, 24, 25, 100, 1000] {
            write_value(&mut value, 42, 7, bytes);
            assert_eq!(value.len(), bytes.max(VALUE_BYTES_MIN));
            assert_eq!(version_of(&value, 42), Some(7));
            assert_eq!(version_of(&value, 43), None);
            for bit in 0..value.len() * 8 {
                value[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(version_of(&value, 42), None, "bit {bit}");
                value[bit / 8] ^= 1 << (bit % 8);
            }
            assert_eq!(version_of(&value[..value.len() - 1], 42), None);
        }
        assert_eq!(version_of(&[], 0), None);
    }
}
