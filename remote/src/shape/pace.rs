//! A pipe of so many bytes per second, as arithmetic.

use std::time::Duration;

use aquifer_io::Instant;

/// When bytes have passed a pipe that takes one after the other.
#[derive(Clone, Debug)]
pub struct Pace {
    bytes_per_s: u64,
    /// The pipe is taken until then.
    free_at: Option<Instant>,
}

impl Pace {
    /// A pipe of this width; 0 is as wide as one likes.
    #[must_use]
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s, free_at: None }
    }

    /// Sends bytes after all that were sent before; how long from `now` until the last one has passed. Never more than a day for one call.
    pub fn send(&mut self, now: Instant, bytes: u64) -> Duration {
        let Some(nanos) = (u128::from(bytes) * 1_000_000_000).checked_div(u128::from(self.bytes_per_s))
        else {
            return Duration::ZERO;
        };
        let takes =
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(Duration::from_secs(86_400));
        let begin = self.free_at.map_or(now, |free_at| free_at.max(now));
        let end = begin + takes;
        self.free_at = Some(end);
        end.duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_one_after_the_other() {
        let now = aquifer_io::now();
        let mut pace = Pace::new(1_000);
        assert_eq!(pace.send(now, 500), Duration::from_millis(500));
        assert_eq!(pace.send(now, 500), Duration::from_secs(1));
        let later = now + Duration::from_millis(900);
        assert_eq!(pace.send(later, 100), Duration::from_millis(200));
        // An idle pipe saves nothing up.
        let idle = now + Duration::from_secs(60);
        assert_eq!(pace.send(idle, 1_000), Duration::from_secs(1));
    }

    #[test]
    fn extremes() {
        let now = aquifer_io::now();
        assert_eq!(Pace::new(0).send(now, u64::MAX), Duration::ZERO);
        assert_eq!(Pace::new(1).send(now, u64::MAX), Duration::from_secs(86_400));
        assert_eq!(Pace::new(u64::MAX).send(now, 0), Duration::ZERO);
    }
}
