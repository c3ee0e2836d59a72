//! Keys made beforehand, so that making them is not measured.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::compare::spec::Data;
use crate::load::distribution::{Chooser, Distribution, scatter};
use crate::load::record::write_key;
use crate::load::rng::Rng;

/// Filling of keys that exist: as the lanes have it.
const PRESENT: u8 = b'k';

/// A stream of keys that its seed fixes, by chunks.
pub(crate) struct Keys {
    data: Data,
    chooser: Chooser,
    rng: Rng,
}

impl Keys {
    pub(crate) fn new(data: Data, distribution: Distribution, seed: u64) -> Self {
        Self { data, chooser: Chooser::new(distribution, data.keys), rng: Rng::new(seed) }
    }

    /// The next random number.
    pub(crate) fn next(&mut self) -> u64 {
        self.chooser.choose(&mut self.rng, self.data.keys)
    }

    /// Random numbers, as many as there is room for, ascending within each batch, with their keys.
    pub(crate) fn chosen(&mut self, numbers: &mut [u64], keys: &mut Vec<Vec<u8>>, batch: usize) {
        for number in numbers.iter_mut() {
            *number = self.next();
        }
        self.write(numbers, keys, batch);
    }

    /// The next numbers of a fill that several threads share; fewer at its end.
    pub(crate) fn filling(
        &self,
        next: &AtomicU64,
        numbers: &mut Vec<u64>,
        keys: &mut Vec<Vec<u8>>,
        batch: usize,
    ) {
        let room = numbers.capacity() as u64;
        let turn = next.fetch_add(room, Ordering::Relaxed).min(self.data.keys);
        let end = turn.saturating_add(room).min(self.data.keys);
        numbers.clear();
        numbers.extend((turn..end).map(|turn| scatter(turn, self.data.keys)));
        self.write(numbers, keys, batch);
    }

    fn write(&self, numbers: &mut [u64], keys: &mut Vec<Vec<u8>>, batch: usize) {
        keys.resize_with(numbers.len(), Vec::new);
        // Big-endian numbers: the order of numbers is the order of keys.
        numbers.chunks_mut(batch.max(1)).for_each(<[u64]>::sort_unstable);
        for (number, key) in numbers.iter().zip(keys) {
            self.key(key, *number);
        }
    }

    /// The key with this number.
    pub(crate) fn key(&self, key: &mut Vec<u8>, number: u64) {
        write_key(key, number, usize::try_from(self.data.key_bytes).unwrap_or(usize::MAX), PRESENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Data = Data { keys: 1000, key_bytes: 16, value_bytes: 100 };

    #[test]
    fn batches_are_sorted_and_the_seed_fixes_them() {
        let draw = |seed| {
            let (mut numbers, mut keys) = (vec![0; 128], Vec::new());
            Keys::new(DATA, Distribution::Uniform, seed).chosen(&mut numbers, &mut keys, 64);
            (numbers, keys)
        };
        let (numbers, keys) = draw(5);
        assert_eq!((numbers.clone(), keys.clone()), draw(5));
        assert_ne!(numbers, draw(6).0);
        assert!(keys.chunks(64).all(<[Vec<u8>]>::is_sorted) && keys.iter().all(|key| key.len() == 16));
    }

    #[test]
    fn a_fill_has_every_key_once() {
        let (next, keys) = (AtomicU64::new(0), Keys::new(DATA, Distribution::Uniform, 1));
        let mut seen = Vec::new();
        loop {
            let (mut numbers, mut made) = (Vec::with_capacity(128), Vec::new());
            keys.filling(&next, &mut numbers, &mut made, 64);
            if numbers.is_empty() {
                break;
            }
            seen.extend(numbers);
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..DATA.keys));
    }
}
