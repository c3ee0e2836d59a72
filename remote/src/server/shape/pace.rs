//! A line of limited bandwidth: each group of bytes gets the stretch of time in which it passes, first come first served.
//!
//! ```text
//!          ┌─ 16 KiB ─┐┌─ 16 KiB ─┐    ┌─ 4 KiB ─┐
//! ─────────┴──────────┴┴──────────┴────┴─────────┴─────> time
//! ```

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aquifer_io::Instant;

use crate::shape::Pace;

/// A line whose user was woken late catches up for so long: else each late wake would cost bandwidth.
const CATCH_UP: Duration = Duration::from_millis(1);
/// Bytes that pass together: a millisecond's worth, within these.
const GROUP_BYTES_MIN: u64 = 4 << 10;
const GROUP_BYTES_MAX: u64 = 64 << 10;

/// One direction of a line, for all who share it.
#[derive(Debug)]
pub(super) struct SharedPace {
    bytes_per_s: u64,
    pace: Mutex<Pace>,
}

impl SharedPace {
    /// A line of this width; `None` for 0, which is no limit.
    pub(super) fn new(bytes_per_s: u64) -> Option<Self> {
        (bytes_per_s > 0).then(|| Self { bytes_per_s, pace: Mutex::new(Pace::new(bytes_per_s)) })
    }

    /// Bytes that should pass together.
    pub(super) fn group_bytes(&self) -> u64 {
        (self.bytes_per_s / 1_000).clamp(GROUP_BYTES_MIN, GROUP_BYTES_MAX)
    }

    /// Takes the next stretch of time for so many bytes: when they are through.
    pub(super) fn reserve(&self, bytes: u64, now: Instant) -> Instant {
        let from = now - CATCH_UP;
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        from + pace.send(from, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_and_idle_time_is_lost() {
        let ms = Duration::from_millis;
        let pace = SharedPace::new(1_000_000).unwrap();
        let start = aquifer_io::now() + ms(1_000);
        assert_eq!(pace.reserve(10_000, start) - start, ms(9), "ten milliseconds from one before");
        assert_eq!(pace.reserve(10_000, start) - start, ms(19), "after the first");
        let later = start + ms(500);
        assert_eq!(pace.reserve(1_000_000, later) - later, ms(999), "the time between is not saved up");
        assert_eq!(pace.reserve(0, later) - later, ms(999));
    }

    #[test]
    fn groups_are_neither_tiny_nor_huge() {
        assert!(SharedPace::new(0).is_none());
        for (bytes_per_s, group) in [(1_000, 4 << 10), (16_000_000, 16_000), (u64::MAX, 64 << 10)] {
            assert_eq!(SharedPace::new(bytes_per_s).unwrap().group_bytes(), group);
        }
    }
}
