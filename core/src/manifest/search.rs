//! Finds the newest of numbered manifests by asking whether single numbers exist: no listing, and few rounds however many there are.
//!
//! Manifest N+1 is made only after N was read, so every number up to the newest one's exists. The search goes by hexadecimal digits:
//! ```text
//! round 1     1, 10, 100, 1000, .. (hex)      the largest that exists tells how many digits the newest number has
//! round 2     2000, 3000, .. f000             its highest digit
//! round 3     3100, 3200, .. 3f00             the next one, and so on to the last
//! ```
//! The numbers of one round are asked for at once: about 75 requests in 5 rounds for 60,000 manifests, 136 in 9 for a billion.
//!
//! Not every manifest needs to be there for that. Whoever deletes old ones must leave those that end in `d` hexadecimal zeros while they
//! are among the newest `2 * 16^(d+1)`: see decision 0019.

use crate::error::Result;
use futures_util::future::try_join_all;
use std::future::Future;

const DIGITS: u32 = u64::BITS / 4;

/// The highest number that exists, from `known` on, which is 0 or exists.
///
/// # Errors
/// The first of `exists`.
pub(crate) async fn highest<F>(known: u64, exists: impl Fn(u64) -> F) -> Result<u64>
where
    F: Future<Output = Result<bool>>,
{
    let mut steps: Vec<(u64, u32)> = Vec::new();
    for (number, digit) in (0..DIGITS).filter_map(|digit| Some((above(known, digit)?, digit))) {
        match steps.last_mut() {
            // One number, by its most zeros.
            Some(last) if last.0 == number => last.1 = digit,
            _ => steps.push((number, digit)),
        }
    }
    let Some(mut newest) = highest_of(steps.iter().map(|step| step.0), &exists).await? else {
        return Ok(known);
    };
    let digits = steps.iter().find(|step| step.0 == newest).map_or(0, |step| step.1);
    for digit in (0..=digits).rev() {
        newest = highest_of(siblings(newest, digit), &exists).await?.unwrap_or(newest);
    }
    Ok(newest)
}

/// One round: the highest of these numbers that exists.
async fn highest_of<F>(numbers: impl Iterator<Item = u64>, exists: &impl Fn(u64) -> F) -> Result<Option<u64>>
where
    F: Future<Output = Result<bool>>,
{
    let probes = numbers.map(|number| {
        let probe = exists(number);
        async move { probe.await.map(|exists| exists.then_some(number)) }
    });
    Ok(try_join_all(probes).await?.into_iter().flatten().max())
}

fn unit(digit: u32) -> u64 {
    1_u64.checked_shl(digit.saturating_mul(4)).unwrap_or(u64::MAX)
}

/// The lowest number above `known` that ends in `zeros` hexadecimal zeros, if there is one.
fn above(known: u64, zeros: u32) -> Option<u64> {
    let unit = unit(zeros);
    (known / unit).checked_add(1)?.checked_mul(unit)
}

/// `number` with each higher digit in this place.
fn siblings(number: u64, digit: u32) -> impl Iterator<Item = u64> {
    let unit = unit(digit);
    let left = 15 - number / unit % 16;
    (1..=left).filter_map(move |more| number.checked_add(more.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;

    /// Requests, and how many rounds they took: a probe is answered once all of its round were asked for.
    fn searched(known: u64, exists: impl Fn(u64) -> bool) -> (u64, usize, usize) {
        let (requests, rounds, open) = (Cell::new(0), Cell::new(0), RefCell::new(BTreeSet::new()));
        let found = aquifer_io::block_on(highest(known, |number| {
            requests.set(requests.get() + 1);
            open.borrow_mut().insert(number);
            let (exists, open, rounds) = (&exists, &open, &rounds);
            async move {
                if !std::mem::take(&mut *open.borrow_mut()).is_empty() {
                    rounds.set(rounds.get() + 1);
                }
                Ok(exists(number))
            }
        }));
        (found.unwrap(), requests.get(), rounds.get())
    }

    #[test]
    fn finds_every_newest_number_from_every_known_one() {
        for newest in (0_u64..700).chain([4095, 4096, 4097, 65_535, 65_536, 1_000_000]) {
            for known in [0, 1, newest / 2, newest.saturating_sub(1), newest] {
                assert_eq!(searched(known.min(newest), |number| number <= newest).0, newest);
            }
        }
        for newest in [u64::MAX, u64::MAX - 1, u64::MAX / 2, 1 << 60, (1 << 60) - 1] {
            assert_eq!(searched(0, |number| number <= newest).0, newest);
            assert_eq!(searched(newest, |number| number <= newest).0, newest);
        }
    }

    /// A listing of all manifests took a request for each thousand: 13 s of a folder of 20,000, 54 s of 60,000.
    #[test]
    fn the_number_of_rounds_is_that_of_digits() {
        for (newest, requests_max, rounds_max) in
            [(0, 16, 1), (10, 31, 2), (200, 46, 3), (20_000, 76, 5), (60_000, 76, 5), (1_000_000_000, 136, 9)]
        {
            let (found, requests, rounds) = searched(0, |number| number <= newest);
            assert_eq!(found, newest);
            assert!(requests <= requests_max && rounds <= rounds_max, "{newest}: {requests} in {rounds}");
        }
        // From one that is known, as after a race that was lost: a single round says that nothing is newer.
        let (found, requests, rounds) = searched(60_000, |number| number <= 60_000);
        assert_eq!((found, rounds), (60_000, 1));
        assert!(requests <= 16);
    }

    /// What a collector may take away: all but the newest 32 of each number of zeros. Labelled ones may stand anywhere.
    #[test]
    fn old_manifests_may_be_gone_as_the_rule_says() {
        for newest in [31_u64, 33, 500, 4_097, 60_000, 70_000, 1_000_003] {
            let is_kept = |number: u64| {
                let zeros = if number == 0 { 0 } else { number.trailing_zeros() / 4 };
                number <= newest && (number == 77 || newest - number < 2 * unit(zeros + 1))
            };
            assert_eq!(searched(0, is_kept).0, newest);
        }
    }
}
