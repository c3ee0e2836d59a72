//! Which key comes next.
//!
//! ```text
//! uniform            every key alike
//! zipf:THETA         rank r with weight 1 / r^THETA; ranks are scattered over the keys, as YCSB does
//! latest             zipf:0.99 over age: the key written last is the hottest
//! hotset:K:O         a share K of the keys gets a share O of the operations
//! shifting:K:O:N     the same, and the set moves on by its own size every N operations
//! sequential         each key once, in order, then again
//! ```
//!
//! Invariant: a stream is a function of its seed alone.

use std::fmt;
use std::str::FromStr;

use rand_distr::{Distribution as _, Zipf};

use super::rng::{Rng, whole_part};

/// A distribution, as asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Distribution {
    Uniform,
    Zipf { theta: f64 },
    Latest,
    Hotset { keys: f64, operations: f64 },
    Shifting { keys: f64, operations: f64, every: u64 },
    Sequential,
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf { theta } => write!(f, "zipf:{theta}"),
            Self::Latest => f.write_str("latest"),
            Self::Hotset { keys, operations } => write!(f, "hotset:{keys}:{operations}"),
            Self::Shifting { keys, operations, every } => write!(f, "shifting:{keys}:{operations}:{every}"),
            Self::Sequential => f.write_str("sequential"),
        }
    }
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let numbers: Vec<&str> = parts.collect();
        let share = |text: &str| {
            let share: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
            if share > 0.0 && share < 1.0 { Ok(share) } else { Err(format!("{text} is not between 0 and 1")) }
        };
        match (name, numbers.as_slice()) {
            ("uniform", []) => Ok(Self::Uniform),
            ("latest", []) => Ok(Self::Latest),
            ("sequential", []) => Ok(Self::Sequential),
            ("zipf", [theta]) => {
                let theta: f64 = theta.parse().map_err(|_| format!("{theta:?} is no number"))?;
                if theta > 0.0 && theta <= 10.0 {
                    Ok(Self::Zipf { theta })
                } else {
                    Err("zipf's exponent is above 0 and at most 10".to_owned())
                }
            }
            ("hotset", [keys, operations]) => {
                Ok(Self::Hotset { keys: share(keys)?, operations: share(operations)? })
            }
            ("shifting", [keys, operations, every]) => {
                let every = every.parse().ok().filter(|every| *every > 0);
                let every = every.ok_or("shifting moves every so many operations, at least 1")?;
                Ok(Self::Shifting { keys: share(keys)?, operations: share(operations)?, every })
            }
            _ => Err(format!(
                "{text:?} is no distribution: uniform, zipf:0.99, latest, hotset:0.1:0.9 (a tenth of the keys, nine tenths \
                 of the operations), shifting:0.1:0.9:100000 (moves every 100,000 operations), sequential"
            )),
        }
    }
}

/// Chooses keys of a distribution, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Chooser {
    distribution: Distribution,
    zipf: Option<Zipf<f64>>,
    chosen: u64,
}

impl Chooser {
    /// For at most so many keys, at least one.
    pub(crate) fn new(distribution: Distribution, keys: u64) -> Self {
        let theta = match distribution {
            Distribution::Zipf { theta } => Some(theta),
            Distribution::Latest => Some(0.99),
            _ => None,
        };
        // Exponent and number of keys are positive, which is all that it asks for.
        let zipf = theta.and_then(|theta| Zipf::new(keys.max(1) as f64, theta).ok());
        Self { distribution, zipf, chosen: 0 }
    }

    /// The next key's number, below `keys`, the number of keys there are now.
    pub(crate) fn choose(&mut self, rng: &mut Rng, keys: u64) -> u64 {
        let keys = keys.max(1);
        let turn = self.chosen;
        self.chosen = turn.wrapping_add(1);
        match self.distribution {
            Distribution::Uniform => rng.below(keys),
            Distribution::Sequential => turn % keys,
            Distribution::Zipf { .. } => scatter(self.rank(rng, keys), keys),
            Distribution::Latest => keys - 1 - self.rank(rng, keys),
            Distribution::Hotset { keys: share, operations } => hot(rng, keys, share, operations, 0),
            Distribution::Shifting { keys: share, operations, every } => {
                hot(rng, keys, share, operations, turn / every)
            }
        }
    }

    /// From 0, the most frequent.
    fn rank(&self, rng: &mut Rng, keys: u64) -> u64 {
        let Some(zipf) = &self.zipf else { return rng.below(keys) };
        // From 1 to the number of keys it was made for; there may be fewer by now.
        let rank = zipf.sample(rng);
        whole_part(rank).saturating_sub(1) % keys
    }
}

/// A key of the hot set in the given share of operations, else one of the others.
fn hot(rng: &mut Rng, keys: u64, share: f64, operations: f64, moves: u64) -> u64 {
    let set = whole_part(keys as f64 * share).clamp(1, keys);
    let start = moves.wrapping_mul(set) % keys;
    let within =
        if rng.unit() < operations || set == keys { rng.below(set) } else { set + rng.below(keys - set) };
    // The set wraps round the end of the keys.
    let key = start + within;
    scatter(if key >= keys { key - keys } else { key }, keys)
}

/// Spreads neighbouring ranks over the keys: a permutation, so that every key keeps exactly one rank.
///
/// A Feistel network of four rounds on the smallest even number of bits, walked until it lands within the keys.
pub(crate) fn scatter(rank: u64, keys: u64) -> u64 {
    let bits = (64 - keys.saturating_sub(1).leading_zeros()).max(2).next_multiple_of(2);
    let half = bits / 2;
    let mask = (1_u64 << half) - 1;
    let mut value = rank;
    loop {
        let (mut left, mut right) = (value >> half, value & mask);
        for round in 0..4_u64 {
            let mixed =
                (right ^ round.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            (left, right) = (right, left ^ ((mixed >> 32) & mask));
        }
        value = (left << half) | right;
        if value < keys {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 1000;
    const DRAWS: u32 = 400_000;

    fn counts(text: &str) -> Vec<u32> {
        let mut chooser = Chooser::new(text.parse().unwrap(), KEYS);
        let mut rng = Rng::new(7);
        let mut counts = vec![0; usize::try_from(KEYS).unwrap()];
        for _ in 0..DRAWS {
            counts[usize::try_from(chooser.choose(&mut rng, KEYS)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn names_go_there_and_back_and_others_are_explained() {
        for text in
            ["uniform", "zipf:0.99", "latest", "hotset:0.1:0.9", "shifting:0.1:0.9:1000", "sequential"]
        {
            assert_eq!(text.parse::<Distribution>().unwrap().to_string(), text);
        }
        for text in ["", "zipf", "zipf:-1", "zipf:x", "hotset:2:0.5", "shifting:0.1:0.9:0", "uniform:1"] {
            assert!(!text.parse::<Distribution>().unwrap_err().is_empty(), "{text}");
        }
    }

    #[test]
    fn equal_seeds_equal_streams() {
        for text in ["uniform", "zipf:0.99", "latest", "hotset:0.1:0.9", "shifting:0.1:0.9:10"] {
            let stream = |seed| {
                let (mut chooser, mut rng) = (Chooser::new(text.parse().unwrap(), KEYS), Rng::new(seed));
                (0..100).map(|_| chooser.choose(&mut rng, KEYS)).collect::<Vec<_>>()
            };
            assert_eq!(stream(1), stream(1), "{text}");
            assert_ne!(stream(1), stream(2), "{text}");
        }
    }

    #[test]
    fn uniform_is_flat() {
        let mean = f64::from(DRAWS) / KEYS as f64;
        // Five standard deviations of a count.
        assert!(counts("uniform").iter().all(|count| (f64::from(*count) - mean).abs() < 5.0 * mean.sqrt()));
    }

    /// The share of each of the first ranks against the formula.
    #[test]
    fn zipf_follows_its_formula() {
        for theta in [0.8_f64, 0.99, 1.2] {
            let total: f64 = (1..=KEYS).map(|rank| (rank as f64).powf(-theta)).sum();
            let counts = counts(&format!("zipf:{theta}"));
            for rank in 0..20 {
                let expected = f64::from(DRAWS) * ((rank + 1) as f64).powf(-theta) / total;
                let found = f64::from(counts[usize::try_from(scatter(rank, KEYS)).unwrap()]);
                assert!(
                    (found - expected).abs() < 6.0 * expected.sqrt(),
                    "{theta}, rank {rank}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn latest_prefers_the_newest() {
        let counts = counts("latest");
        let newest: u32 = counts[900..].iter().sum();
        assert!(newest > DRAWS / 2, "{newest}");
        assert!(counts[999] > counts[998] && counts[998] > counts[900]);
    }

    #[test]
    fn a_hot_set_gets_its_share_and_moves() {
        let share = |text: &str, draws: usize| {
            let (mut chooser, mut rng) = (Chooser::new(text.parse().unwrap(), KEYS), Rng::new(7));
            let hot: std::collections::HashSet<u64> = (0..100).map(|rank| scatter(rank, KEYS)).collect();
            (0..draws).filter(|_| hot.contains(&chooser.choose(&mut rng, KEYS))).count() as f64 / draws as f64
        };
        assert!((share("hotset:0.1:0.9", 100_000) - 0.9).abs() < 0.01);
        assert!((share("shifting:0.1:0.9:100000", 100_000) - 0.9).abs() < 0.01);
        // After ten moves it has been everywhere alike.
        assert!((share("shifting:0.1:0.9:10000", 100_000) - 0.1).abs() < 0.01);
    }

    #[test]
    fn scattering_is_a_permutation() {
        for keys in [1, 2, 3, 5, 16, 1000, 4097] {
            let mut seen: Vec<u64> = (0..keys).map(|rank| scatter(rank, keys)).collect();
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..keys), "{keys}");
        }
    }

    #[test]
    fn sequential_visits_every_key_in_order() {
        let (mut chooser, mut rng) = (Chooser::new(Distribution::Sequential, 3), Rng::new(0));
        let visited: Vec<_> = (0..7).map(|_| chooser.choose(&mut rng, 3)).collect();
        assert_eq!(visited, [0, 1, 2, 0, 1, 2, 0]);
    }
}
