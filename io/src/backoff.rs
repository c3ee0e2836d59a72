//! Pauses between repeats: exponential, with full jitter.
//!
//! ```text
//! pause n = random from 0 to min(pause_max, pause * 2^n)
//! ```
//!
//! The whole span is drawn from, so that callers who failed together do not come back together
//! (M. Brooker, "Exponential Backoff And Jitter", AWS 2015).

use crate::random::random_u64;
use std::time::Duration;

/// How long to wait before something is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pause: Duration,
    pause_max: Duration,
}

impl Backoff {
    /// The first pause is at most `pause`; the limit doubles with each repeat, up to `pause_max`.
    #[must_use]
    pub const fn new(pause: Duration, pause_max: Duration) -> Self {
        Self { pause, pause_max }
    }

    /// The pause after this many repeats, drawn from this thread's chance.
    #[must_use]
    pub fn pause(&self, repeats: usize) -> Duration {
        let doublings = u32::try_from(repeats.min(30)).unwrap_or(30);
        let longest = self.pause.saturating_mul(1 << doublings).min(self.pause_max);
        let longest_ns = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(within(random_u64(), longest_ns))
    }
}

/// A number from 0 to `most`, both included, by a number of chance (D. Lemire, "Fast Random Integer Generation in an Interval", 2019).
fn within(chance: u64, most: u64) -> u64 {
    let span = u128::from(most) + 1;
    u64::try_from((u128::from(chance) * span) >> 64).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::seed_thread;

    #[test]
    fn pauses_grow_to_their_limit_and_follow_the_seed() {
        let (pause, pause_max) = (Duration::from_millis(50), Duration::from_secs(1));
        let draw = |seed| {
            seed_thread(seed);
            let backoff = Backoff::new(pause, pause_max);
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
        assert_eq!(Backoff::new(Duration::MAX, Duration::ZERO).pause(usize::MAX), Duration::ZERO);
        assert!(Backoff::new(Duration::MAX, Duration::MAX).pause(usize::MAX) <= Duration::MAX);
    }

    #[test]
    fn both_ends_of_a_span_are_drawn() {
        assert_eq!((within(0, 7), within(u64::MAX, 7)), (0, 7));
        assert_eq!((within(0, u64::MAX), within(u64::MAX, u64::MAX)), (0, u64::MAX));
        assert_eq!(within(u64::MAX, 0), 0);
    }
}
