//! Time: a monotonic clock for everything that matters, the calendar for information only.
//!
//! The rest of the project takes time from here and from [`sleep`](crate::sleep) alone, so that one seed can replay a
//! run in virtual time ([`simulated`](crate::simulated)).

use std::cell::Cell;
use std::ops::{Add, Sub};
use std::sync::OnceLock;
use std::time::Duration;

/// A point on the monotonic clock. Comparable only within one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Nanoseconds since the first use of the clock in this process. 2^64 ns are 584 years.
    nanos: u64,
}

impl Instant {
    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// Time from then to now.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        now().duration_since(self)
    }

    /// Time from `earlier` to this point; zero when `earlier` is later.
    #[must_use]
    pub fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }

    /// Nanoseconds since the clock was first used in this process.
    #[must_use]
    pub fn as_nanos(self) -> u64 {
        self.nanos
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time.
    fn add(self, duration: Duration) -> Self {
        Self { nanos: self.nanos.saturating_add(nanos_of(duration)) }
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the first use of the clock.
    fn sub(self, duration: Duration) -> Self {
        Self { nanos: self.nanos.saturating_sub(nanos_of(duration)) }
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

thread_local! {
    /// Virtual time of the simulated executor whose task this thread runs, or `REAL`.
    static VIRTUAL_NS: Cell<u64> = const { Cell::new(REAL) };
}

/// Time is real: no point of virtual time is so late.
const REAL: u64 = u64::MAX;

/// What a look at the virtual clock takes: who waits for a time by looking at the clock sees it come.
const LOOK_NS: u64 = 20;

/// Makes time on this thread virtual (`Some`) or real; the virtual time it was.
pub(crate) fn swap_virtual(time_ns: Option<u64>) -> Option<u64> {
    let was = VIRTUAL_NS.replace(time_ns.map_or(REAL, |time_ns| time_ns.min(REAL - 1)));
    (was != REAL).then_some(was)
}

/// The monotonic clock; on an executor of a simulated world, the world's virtual time. Works on every thread;
/// costs about 25 ns.
#[must_use]
pub fn now() -> Instant {
    let virtual_ns = VIRTUAL_NS.get();
    if virtual_ns != REAL {
        VIRTUAL_NS.set(virtual_ns.saturating_add(LOOK_NS).min(REAL - 1));
        return Instant { nanos: virtual_ns };
    }
    static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    let (origin, current) = {
        let origin = ORIGIN.get_or_init(std::time::Instant::now);
        (*origin, std::time::Instant::now())
    };
    Instant { nanos: nanos_of(current.saturating_duration_since(origin)) }
}

/// When simulated worlds begin, by the calendar.
const SIMULATED_ORIGIN_MS: u64 = 1_700_000_000_000;

/// Milliseconds since 1970 by the calendar: for people and for reports, never for correctness (it can jump).
#[must_use]
pub fn unix_time_ms() -> u64 {
    let virtual_ns = VIRTUAL_NS.get();
    if virtual_ns != REAL {
        return SIMULATED_ORIGIN_MS.saturating_add(virtual_ns / 1_000_000);
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the calendar")]
    let current = std::time::SystemTime::now();
    let since = current.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back_and_never_overflows() {
        let first = now();
        let second = now();
        assert!(second >= first);
        assert_eq!(first - second, first.duration_since(second));
        assert_eq!((first + Duration::MAX).as_nanos(), u64::MAX);
        assert_eq!((first - Duration::MAX).as_nanos(), 0);
        assert_eq!((first + Duration::from_nanos(7)) - first, Duration::from_nanos(7));
        assert!(unix_time_ms() > 1_600_000_000_000);
    }
}
