//! Which keys a segment surely does not hold: a binary fuse filter with 8-bit fingerprints, 9 to 10 bits a key, 0.4 % false positives.
//!
//! Source: Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor Filters", JEA 27 (2022); the 3-wise variant.
//!
//! ```text
//! offset  bytes  field
//!      0      8  seed of the hash
//!      8      4  slots of one band, a power of two
//!     12      4  bands that a key may begin in
//!     16      -  fingerprints, one byte each: (bands + 2) * slots of a band
//! ```
//! A key hashes with xxh3-64; the seed is mixed in by a multiplication and two shifts.

use super::Place;
use crate::codec::{Reader, stored_u32};
use crate::error::Result;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

const HEADER_BYTES: usize = 16;
/// Seeds tried before the filter gives up and lets every key pass. Each fails with a chance of well under 1 in 10.
const SEEDS_MAX: u64 = 64;

/// Hash of an engine key, for all filters.
pub(crate) fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    seed: u64,
    band_slots: u32,
    bands: u32,
}

impl Shape {
    fn slots(self) -> usize {
        (self.bands as usize + 2) * self.band_slots as usize
    }

    /// The three slots of a mixed hash, one in each of three neighbouring bands.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a product scaled below bands * band_slots, and low bits under a mask"
    )]
    fn slots_of(self, mixed: u64) -> [usize; 3] {
        let first =
            ((u128::from(mixed) * (u128::from(self.bands) * u128::from(self.band_slots))) >> 64) as u32;
        let mask = self.band_slots - 1;
        let second = (first + self.band_slots) ^ ((mixed >> 18) as u32 & mask);
        let third = (first + 2 * self.band_slots) ^ (mixed as u32 & mask);
        [first as usize, second as usize, third as usize]
    }
}

fn mix(hash: u64, seed: u64) -> u64 {
    let mut mixed = hash.wrapping_add(seed);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[expect(clippy::cast_possible_truncation, reason = "a fingerprint is the low byte by definition")]
fn fingerprint(mixed: u64) -> u8 {
    (mixed ^ (mixed >> 32)) as u8
}

/// Builds the filter's payload for the hashes of a segment's keys. Sorts and deduplicates `hashes`.
pub(crate) fn build(hashes: &mut Vec<u64>) -> Vec<u8> {
    hashes.sort_unstable();
    hashes.dedup();
    let (band_slots, bands) = size(hashes.len());
    for attempt in 0..SEEDS_MAX {
        let shape = Shape { seed: attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15), band_slots, bands };
        if let Some(fingerprints) = solve(shape, hashes) {
            return payload(shape, &fingerprints);
        }
    }
    // Not reached in practice. No bands: a filter that lets all pass.
    payload(Shape { seed: 0, band_slots: 1, bands: 0 }, &[])
}

fn payload(shape: Shape, fingerprints: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + fingerprints.len());
    out.extend_from_slice(&shape.seed.to_le_bytes());
    out.extend_from_slice(&shape.band_slots.to_le_bytes());
    out.extend_from_slice(&shape.bands.to_le_bytes());
    out.extend_from_slice(fingerprints);
    out
}

/// Slots of a band and number of bands for `keys` keys, by the paper's formulas for three bands.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded sizes, clamped on the next line"
)]
fn size(keys: usize) -> (u32, u32) {
    let count = keys.max(2) as f64;
    let exponent = (count.ln() / 3.33_f64.ln() + 2.25).floor().clamp(2.0, 18.0);
    let band_slots = 1u32 << exponent as u32;
    let factor = (0.875 + 0.25 * 1e6_f64.ln() / count.ln()).max(1.125);
    let bands = ((count * factor) as u32).div_ceil(band_slots).max(3) - 2;
    (band_slots, bands.max(1))
}

/// Peels the hypergraph of keys and slots: `None` when this seed leaves a core, else the fingerprints.
fn solve(shape: Shape, hashes: &[u64]) -> Option<Vec<u8>> {
    // Per slot: how many keys still use it, and the xor of their mixed hashes.
    let mut counts = vec![0u8; shape.slots()];
    let mut xors = vec![0u64; shape.slots()];
    for &hash in hashes {
        let mixed = mix(hash, shape.seed);
        for slot in shape.slots_of(mixed) {
            let count = counts.get_mut(slot)?;
            *count = count.checked_add(1)?;
            *xors.get_mut(slot)? ^= mixed;
        }
    }
    let mut alone: Vec<u32> =
        (0..stored_u32(counts.len())).filter(|&slot| counts.get(slot as usize) == Some(&1)).collect();
    let mut order: Vec<(u64, u32)> = Vec::with_capacity(hashes.len());
    while let Some(slot) = alone.pop() {
        if counts.get(slot as usize) != Some(&1) {
            continue;
        }
        let mixed = *xors.get(slot as usize)?;
        order.push((mixed, slot));
        for other in shape.slots_of(mixed) {
            let count = counts.get_mut(other)?;
            *count = count.checked_sub(1)?;
            if *count == 1 {
                alone.push(stored_u32(other));
            }
            *xors.get_mut(other)? ^= mixed;
        }
    }
    if order.len() != hashes.len() {
        return None;
    }
    let mut fingerprints = vec![0u8; shape.slots()];
    for (mixed, slot) in order.into_iter().rev() {
        let mut wanted = fingerprint(mixed);
        for other in shape.slots_of(mixed) {
            // Its own slot is still zero: each slot is the lone one of one key only.
            wanted ^= fingerprints.get(other)?;
        }
        *fingerprints.get_mut(slot as usize)? = wanted;
    }
    Some(fingerprints)
}

/// A verified filter.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    shape: Shape,
    fingerprints: Bytes,
}

impl Filter {
    /// Checks the frame of a payload whose checksum was verified.
    pub(crate) fn decode(payload: &Bytes, place: &Place) -> Result<Self> {
        let bad = || place.corrupt("a binary fuse filter", format!("{} bytes", payload.len()));
        let mut fields = Reader::new(payload);
        let seed = fields.u64().ok_or_else(bad)?;
        let band_slots = fields.u32().ok_or_else(bad)?;
        let bands = fields.u32().ok_or_else(bad)?;
        let shape = Shape { seed, band_slots, bands };
        let slots = (u64::from(bands) + 2) * u64::from(band_slots);
        let fingerprints = payload.slice(HEADER_BYTES..);
        let sound = bands == 0 || (slots == fingerprints.len() as u64 && slots < u64::from(u32::MAX));
        if !band_slots.is_power_of_two() || !sound {
            return Err(bad());
        }
        Ok(Self { shape, fingerprints })
    }

    /// `false`: no key of this hash is in the segment. `true`: perhaps.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        if self.shape.bands == 0 {
            return true;
        }
        let mixed = mix(hash, self.shape.seed);
        let found = self
            .shape
            .slots_of(mixed)
            .into_iter()
            .fold(0, |found, slot| found ^ self.fingerprints.get(slot).copied().unwrap_or_default());
        found == fingerprint(mixed)
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.fingerprints.len() + HEADER_BYTES + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_remote::ObjectName;

    fn place() -> Place {
        Place { object: ObjectName::new("pack/test").unwrap(), offset: 0 }
    }

    fn filter(keys: u64) -> (Filter, usize) {
        let mut hashes: Vec<u64> = (0..keys).map(|n| hash(&n.to_le_bytes())).collect();
        let payload = build(&mut hashes);
        let bytes = payload.len();
        (Filter::decode(&Bytes::from(payload), &place()).unwrap(), bytes)
    }

    #[test]
    fn holds_every_key_of_any_number() {
        for keys in (0..70).chain([100, 999, 5_000, 20_000]) {
            let (filter, _) = filter(keys);
            assert_ne!(filter.shape.bands, 0, "{keys} keys were solved");
            for n in 0..keys {
                assert!(filter.may_contain(hash(&n.to_le_bytes())), "key {n} of {keys}");
            }
        }
    }

    #[test]
    fn false_positives_and_size_are_what_the_paper_says() {
        let keys = 600_000;
        let (filter, bytes) = filter(keys);
        assert!((bytes as f64) * 8.0 / (keys as f64) < 9.3, "{bytes} bytes");
        let asked = 400_000u64;
        let passed = (keys..keys + asked).filter(|n| filter.may_contain(hash(&n.to_le_bytes()))).count();
        // Expected 1/256 of 400,000 = 1562, standard deviation 39.
        assert!((1_350..1_780).contains(&passed), "{passed} of {asked} absent keys passed");
    }

    #[test]
    fn hostile_payloads_are_errors_or_answer_without_a_panic() {
        for (band_slots, bands, bytes) in
            [(0u32, 1u32, 8usize), (3, 1, 9), (4, 1, 11), (1 << 31, u32::MAX, 64), (1, 0, 5)]
        {
            let mut payload = 9u64.to_le_bytes().to_vec();
            payload.extend_from_slice(&band_slots.to_le_bytes());
            payload.extend_from_slice(&bands.to_le_bytes());
            payload.resize(HEADER_BYTES + bytes, 1);
            if let Ok(filter) = Filter::decode(&Bytes::from(payload), &place()) {
                for n in 0..1000u64 {
                    let _ = filter.may_contain(n << 50);
                }
            }
        }
        assert!(Filter::decode(&Bytes::from_static(b"short"), &place()).is_err());
    }
}
