//! Chance: one seeded generator a thread, so that one seed replays a run.
//!
//! Not for secrets: the generator is wyrand (through `fastrand`), quick and guessable.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};

thread_local! {
    static GENERATOR: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::with_seed(seed_of_os()));
}

/// The next number of this thread's generator. An executor's thread starts from its seed, any other thread from
/// the operating system's chance.
#[must_use]
pub fn random_u64() -> u64 {
    GENERATOR.with_borrow_mut(|generator| generator.u64(..))
}

/// Starts this thread's generator anew.
pub(crate) fn seed_thread(seed: u64) {
    GENERATOR.with_borrow_mut(|generator| generator.seed(seed));
}

/// Exchanges this thread's generator for another one.
pub(crate) fn swap_thread(other: &mut fastrand::Rng) {
    GENERATOR.with_borrow_mut(|generator| std::mem::swap(generator, other));
}

/// The standard library seeds its hash maps from the operating system, and differently each time.
fn seed_of_os() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_numbers() {
        seed_thread(7);
        let first: Vec<u64> = (0..4).map(|_| random_u64()).collect();
        seed_thread(7);
        let second: Vec<u64> = (0..4).map(|_| random_u64()).collect();
        assert_eq!(first, second);
        seed_thread(8);
        assert_ne!(first[0], random_u64());
    }

    #[test]
    fn threads_without_a_seed_differ() {
        let here = std::thread::spawn(random_u64).join().unwrap();
        let there = std::thread::spawn(random_u64).join().unwrap();
        assert_ne!(here, there);
    }
}
