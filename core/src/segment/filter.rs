//! Which keys a partition surely does not hold: a ribbon filter with 8-bit fingerprints, under 9 bits a key, 0.4 % false positives.
//!
//! Source: Dillinger, Hübschle-Schneider, Sanders and Walzer, "Fast Succinct Retrieval and Approximate Membership Using Ribbon", SEA
//! 2022 (arXiv 2109.01892); the standard variant with rows of 64 bits. A binary fuse filter of the few hundred keys of a partition takes
//! over 11 bits a key, a ribbon filter does not grow as its keys get fewer.
//!
//! ```text
//! offset  bytes  field
//!      0      4  slots, a multiple of 64; 0 stands for a filter that lets every key pass
//!      4      4  seed of the hash
//!      8      -  for each 64 slots: 8 numbers of 8 bytes; number j holds bit j of the 64 slots, slot 0 lowest
//! ```
//! A key hashes with xxh3-64; the seed is mixed in by multiplications and shifts. The mixed hash gives a first slot, which of the 64
//! slots from there on count for the key, and a fingerprint; bit j of the fingerprint is the parity of bit j of the slots that count.

use super::place::SegmentPlace;
use crate::codec::{Reader, stored_u32};
use crate::error::Result;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

const HEADER_BYTES: usize = 8;
/// Slots whose bits stand together, and that one key can reach.
const GROUP_SLOTS: usize = 64;
/// Bits of a fingerprint.
const COLUMNS: usize = 8;
const GROUP_BYTES: usize = COLUMNS * 8;
/// Seeds tried for one number of slots before it grows.
const SEEDS: u32 = 4;
/// Most seeds tried before the filter gives up and lets every key pass.
const SEEDS_MAX: u32 = 64;
const _: () = assert!(GROUP_SLOTS == u64::BITS as usize);

/// Hash of an engine key, for all filters and for the hash of a data block.
#[inline]
pub(crate) fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// What one key asks of a filter.
#[derive(Clone, Copy)]
struct Row {
    start: usize,
    /// Lowest bit set: the first slot always counts.
    coefficients: u64,
    fingerprint: u8,
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a product scaled below the slots, and a low byte")]
fn row(hash: u64, seed: u32, slots: usize) -> Row {
    let mut mixed = hash.wrapping_add(u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^= mixed >> 33;
    let starts = (slots - (GROUP_SLOTS - 1)) as u64;
    let start = ((u128::from(mixed) * u128::from(starts)) >> 64) as usize;
    let more = mixed.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let coefficients = (more ^ (more >> 32)) | 1;
    let fingerprint = (mixed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8;
    Row { start, coefficients, fingerprint }
}

/// Builds the filter's payload for the hashes of a partition's keys.
pub(crate) fn build(hashes: &[u64]) -> Vec<u8> {
    let mut slots = slots_for(hashes.len());
    for seed in 0..SEEDS_MAX {
        if let Some((rows, results)) = eliminate(hashes, seed, slots) {
            return solve(&rows, &results, seed);
        }
        if seed % SEEDS == SEEDS - 1 {
            slots += GROUP_SLOTS;
        }
    }
    // Not reached in practice: a filter that lets all pass.
    [0; HEADER_BYTES].to_vec()
}

/// Slots to begin with for `keys` keys: those at which nearly every seed solves.
fn slots_for(keys: usize) -> usize {
    (keys + keys / 32 + 8).next_multiple_of(GROUP_SLOTS)
}

/// Brings one equation a key into echelon form, on the fly; `None` if they contradict each other.
fn eliminate(hashes: &[u64], seed: u32, slots: usize) -> Option<(Vec<u64>, Vec<u8>)> {
    let mut rows = vec![0u64; slots];
    let mut results = vec![0u8; slots];
    for &hash in hashes {
        let Row { start, mut coefficients, mut fingerprint } = row(hash, seed, slots);
        let mut slot = start;
        loop {
            let present = rows.get_mut(slot)?;
            let result = results.get_mut(slot)?;
            if *present == 0 {
                *present = coefficients;
                *result = fingerprint;
                break;
            }
            coefficients ^= *present;
            fingerprint ^= *result;
            if coefficients == 0 {
                // The same equation twice (two keys of one hash) says nothing new; another one contradicts it.
                if fingerprint != 0 {
                    return None;
                }
                break;
            }
            let step = coefficients.trailing_zeros();
            slot += step as usize;
            coefficients >>= step;
        }
    }
    Some((rows, results))
}

/// Solves the equations from the last slot to the first and lays the solution out.
fn solve(rows: &[u64], results: &[u8], seed: u32) -> Vec<u8> {
    let slots = rows.len();
    let mut out = vec![0; HEADER_BYTES + slots / GROUP_SLOTS * GROUP_BYTES];
    let (header, groups) = out.split_at_mut(HEADER_BYTES);
    let (slot_count, seed_bytes) = header.split_at_mut(4);
    slot_count.copy_from_slice(&stored_u32(slots).to_le_bytes());
    seed_bytes.copy_from_slice(&seed.to_le_bytes());
    // Of each column, the 64 solved slots from the current one on.
    let mut solved = [0u64; COLUMNS];
    for (slot, (&coefficients, &result)) in rows.iter().zip(results).enumerate().rev() {
        for (column, bits) in solved.iter_mut().enumerate() {
            let above = *bits << 1;
            let parity = (above & coefficients).count_ones() & 1;
            *bits = above | u64::from(parity ^ u32::from(result >> column & 1));
        }
        if slot % GROUP_SLOTS == 0 {
            let group = groups.chunks_exact_mut(8).skip(slot / GROUP_SLOTS * COLUMNS);
            group.zip(&solved).for_each(|(word, bits)| word.copy_from_slice(&bits.to_le_bytes()));
        }
    }
    out
}

/// A verified filter.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    slots: usize,
    seed: u32,
    groups: Bytes,
}

impl Filter {
    /// Checks the frame of bytes whose checksum was verified.
    pub(crate) fn decode(payload: &Bytes, place: &SegmentPlace) -> Result<Self> {
        let bad = || place.corrupt("a ribbon filter", format!("{} bytes", payload.len()));
        let mut fields = Reader::new(payload);
        let slots = fields.u32().ok_or_else(bad)? as usize;
        let seed = fields.u32().ok_or_else(bad)?;
        let groups = payload.slice(HEADER_BYTES..);
        if !slots.is_multiple_of(GROUP_SLOTS) || groups.len() != slots / GROUP_SLOTS * GROUP_BYTES {
            return Err(bad());
        }
        Ok(Self { slots, seed, groups })
    }

    /// `false`: no key of this hash is in the partition. `true`: perhaps.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        if self.slots == 0 {
            return true;
        }
        let Row { start, coefficients, fingerprint } = row(hash, self.seed, self.slots);
        let (group, shift) = (start / GROUP_SLOTS, start % GROUP_SLOTS);
        let low = self.group(group);
        // Slots beyond the last group are never reached: `start` is below the slots less 63.
        let high = if shift == 0 { low } else { self.group(group + 1) };
        let (Some(low), Some(high)) = (low, high) else { return true };
        let mut found = 0u8;
        for (column, (low, high)) in low.as_chunks::<8>().0.iter().zip(high.as_chunks::<8>().0).enumerate() {
            // Shifting by 64 less 0 would be an overflow: two steps make it zero.
            let bits = u64::from_le_bytes(*low) >> shift | u64::from_le_bytes(*high) << 1 << (63 - shift);
            found |= u8::from((bits & coefficients).count_ones() & 1 == 1) << column;
        }
        found == fingerprint
    }

    #[inline]
    fn group(&self, group: usize) -> Option<&[u8; GROUP_BYTES]> {
        self.groups.get(group * GROUP_BYTES..)?.first_chunk()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_remote::ObjectName;

    fn place() -> SegmentPlace {
        SegmentPlace { object: ObjectName::new("pack/test").unwrap(), offset: 0 }
    }

    fn filter(keys: std::ops::Range<u64>) -> (Filter, usize) {
        let hashes: Vec<u64> = keys.map(|n| hash(&n.to_le_bytes())).collect();
        let payload = build(&hashes);
        let bytes = payload.len();
        (Filter::decode(&Bytes::from(payload), &place()).unwrap(), bytes)
    }

    #[test]
    fn holds_every_key_of_any_number() {
        for keys in (0..300).chain([500, 520, 999, 5_000, 20_000]) {
            let (filter, _) = filter(0..keys);
            assert_ne!(filter.slots, 0, "{keys} keys were solved");
            for n in 0..keys {
                assert!(filter.may_contain(hash(&n.to_le_bytes())), "key {n} of {keys}");
            }
        }
    }

    #[test]
    fn the_same_hash_twice_is_no_contradiction() {
        let hashes = [1, 2, 3, 2, 1];
        let filter = Filter::decode(&Bytes::from(build(&hashes)), &place()).unwrap();
        assert!(filter.slots > 0 && hashes.iter().all(|&hash| filter.may_contain(hash)));
    }

    #[test]
    fn false_positives_and_size_are_what_the_bits_promise() {
        // Partitions as they are: about 64 KiB of entries of 125 bytes.
        const KEYS: u64 = 520;
        let (mut passed, mut bytes) = (0, 0);
        let partitions = 200u64;
        let asked = 4_000;
        for partition in 0..partitions {
            let first = partition * 1_000_000;
            let (filter, size) = filter(first..first + KEYS);
            bytes += size;
            passed += (first + KEYS..first + KEYS + asked)
                .filter(|n| filter.may_contain(hash(&n.to_le_bytes())))
                .count();
        }
        let bits = bytes as f64 * 8.0 / (partitions * KEYS) as f64;
        assert!(bits < 9.5, "{bits} bits a key");
        // 1 in 256 of 800,000: 3,125, standard deviation 56. Within 10 % is 5 standard deviations.
        let promised = (partitions * asked) as f64 / 256.0;
        let found = passed as f64;
        assert!(
            (found - promised).abs() < promised / 10.0,
            "{passed} absent keys passed, {promised} promised"
        );
    }

    #[test]
    fn hostile_payloads_are_errors_or_answer_without_a_panic() {
        for (slots, bytes) in
            [(0u32, 0usize), (0, 8), (1, 64), (64, 64), (64, 63), (128, 64), (u32::MAX, 64), (1 << 31, 64)]
        {
            let mut payload = slots.to_le_bytes().to_vec();
            payload.extend_from_slice(&9u32.to_le_bytes());
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
