//! Pauses between repeats: exponential, with full jitter.
//!
//! ```text
//! pause n = random from 0 to min(pause_max, pause * 2^n)
//! ```
//!
//! The whole span is drawn from, so that callers who failed together do not come back together
//! (M. Brooker, "Exponential Backoff And Jitter", AWS 2015).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Draws pauses from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    pause_max: Duration,
    chance: Arc<Mutex<fastrand::Rng>>,
}

impl Backoff {
    pub(crate) fn new(pause: Duration, pause_max: Duration, seed: u64) -> Self {
        Self { pause, pause_max, chance: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))) }
    }

    /// The pause after this many repeats.
    pub(crate) fn pause(&self, repeats: usize) -> Duration {
        let doublings = u32::try_from(repeats.min(30)).unwrap_or(30);
        let longest = self.pause.saturating_mul(1 << doublings).min(self.pause_max);
        let longest_ns = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_nanos(chance.u64(..=longest_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_follow_the_seed() {
        let (pause, pause_max) = (Duration::from_millis(50), Duration::from_secs(1));
        let draw = |seed| {
            let backoff = Backoff::new(pause, pause_max, seed);
            (0..100).map(|repeats| backoff.pause(repeats)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut longest = [Duration::ZERO; 8];
        for seed in 0..200 {
            for (repeats, pause) in draw(seed).into_iter().enumerate() {
                let limit = Duration::from_millis(50).saturating_mul(1 << repeats.min(20)).min(pause_max);
                assert!(pause <= limit, "{repeats}: {pause:?}");
                if let Some(longest) = longest.get_mut(repeats) {
                    *longest = pause.max(*longest);
                }
            }
        }
        // The whole span is used.
        assert!(longest[0] > Duration::from_millis(45) && longest[6] > Duration::from_millis(900));
        assert_eq!(Backoff::new(Duration::MAX, Duration::ZERO, 1).pause(usize::MAX), Duration::ZERO);
    }
}
