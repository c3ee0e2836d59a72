//! Accesses that another measurement made, through every policy.

use super::contenders::{POLICIES, every_policy};
use crate::failure::Failure;

/// What one policy missed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    /// Its name, as in the table of `policies`.
    pub(crate) policy: &'static str,
    /// In each window that counts.
    pub(crate) misses: Vec<u64>,
}

/// What every policy missed on the same accesses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    /// In the order of [`POLICIES`].
    pub(crate) policies: Vec<Missed>,
}

impl Replay {
    /// Adds what another cache missed in the same windows.
    pub(crate) fn add(&mut self, other: Self) {
        if self.policies.is_empty() {
            *self = other;
            return;
        }
        for (own, others) in self.policies.iter_mut().zip(other.policies) {
            own.misses.iter_mut().zip(others.misses).for_each(|(own, others)| *own += others);
        }
    }

    /// The one that missed least.
    pub(crate) fn best(&self) -> Missed {
        let all = |of: &&Missed| of.misses.iter().sum::<u64>();
        self.policies.iter().min_by_key(all).cloned().unwrap_or_default()
    }
}

/// Replays windows of accesses one after the other on caches for so many entries, empty at first. The first window does not count.
pub(crate) async fn replay_accesses(windows: &[Vec<u32>], entries: usize) -> Result<Replay, Failure> {
    let mut policies = Vec::new();
    for (name, mut policy) in POLICIES.into_iter().zip(every_policy(entries).await?) {
        let mut misses =
            windows.iter().map(|window| window.iter().filter(|&&key| !policy.access(key)).count() as u64);
        // To the end of it: the policy must have seen it.
        misses.next();
        policies.push(Missed { policy: name, misses: misses.collect() });
    }
    Ok(Replay { policies })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_window_fills_and_the_others_count() {
        let windows = [vec![1, 2, 3], vec![1, 2, 3, 4], vec![4, 4, 5]];
        let mut replay = aquifer_io::block_on(replay_accesses(&windows, 100)).unwrap();
        assert_eq!(replay.policies.len(), POLICIES.len());
        assert!(replay.policies.iter().all(|of| of.misses == [1, 1]), "{replay:?}");
        let mut all = Replay::default();
        all.add(replay.clone());
        all.add(replay.clone());
        assert_eq!(all.policies[0].misses, [2, 2]);
        replay.policies[2].misses = vec![0, 1];
        assert_eq!(replay.best().policy, POLICIES[2]);
    }
}
