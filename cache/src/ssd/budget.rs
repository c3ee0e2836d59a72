//! What may be written: so many bytes in any day, for the wear of the device, and so many in a second.
//!
//! Both are token buckets on aquifer-io's clock. The day's bucket holds an hour's share (1/24) and is filled with the rest over the day, so that no
//! 24 hours, wherever they begin, see more than the day's bytes. It counts from the opening of the tier: a restart begins with a full bucket.

use aquifer_io::Instant;
use std::time::Duration;

const DAY_NS: u64 = 24 * 3600 * 1_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// The day's bucket holds this part of a day.
const BURST_DIVISOR: u64 = 24;
/// A second's bucket holds this part of a second, and at least a large chunk.
const SECOND_BURST_DIVISOR: u64 = 8;
const CHUNK_BYTES: u64 = 1 << 20;

/// Bytes that come back with time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Bytes that come in `period_ns`.
    bytes: u64,
    period_ns: u64,
    capacity: u64,
    /// In bytes times `period_ns`; below zero, owed.
    level: i128,
    counted: Instant,
}

impl Bucket {
    fn new(bytes: u64, period_ns: u64, capacity: u64, now: Instant) -> Self {
        let level = i128::from(capacity) * i128::from(period_ns);
        Self { bytes, period_ns, capacity, level, counted: now }
    }

    fn earn(&mut self, now: Instant) {
        let passed_ns = now.duration_since(self.counted).as_nanos();
        self.counted = now;
        // A millennium is enough to fill any bucket.
        let passed_ns = i128::try_from(passed_ns.min(u128::from(DAY_NS) * 365_000)).unwrap_or(i128::MAX);
        let full = i128::from(self.capacity) * i128::from(self.period_ns);
        self.level = (self.level + passed_ns * i128::from(self.bytes)).min(full);
    }

    fn available(&mut self, now: Instant) -> u64 {
        self.earn(now);
        u64::try_from(self.level / i128::from(self.period_ns)).unwrap_or(0)
    }

    fn spend(&mut self, bytes: u64) {
        self.level -= i128::from(bytes) * i128::from(self.period_ns);
    }

    /// Until it is not owing any more.
    fn debt(&mut self, now: Instant) -> Duration {
        self.earn(now);
        let wait_ns = (-self.level).max(0) / i128::from(self.bytes.max(1));
        Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX))
    }
}

/// The budget of one file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteBudget {
    day: Option<Bucket>,
    second: Option<Bucket>,
}

/// How much of the day's bucket is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Not enough for what is asked.
    Empty,
    /// Less than a quarter.
    Low,
    /// Less than half.
    Half,
    /// More, or there is no limit.
    Plenty,
}

impl WriteBudget {
    /// 0 is no limit, of either.
    pub(crate) fn new(day_bytes: u64, second_bytes: u64, now: Instant) -> Self {
        let burst = day_bytes / BURST_DIVISOR;
        let second_burst = (second_bytes / SECOND_BURST_DIVISOR).max(CHUNK_BYTES);
        Self {
            day: (day_bytes > 0).then(|| Bucket::new(day_bytes - burst, DAY_NS, burst, now)),
            second: (second_bytes > 0).then(|| Bucket::new(second_bytes, SECOND_NS, second_burst, now)),
        }
    }

    /// What is left of the day's bucket, if `bytes` are about to be written and `promised` have been promised.
    pub(crate) fn level(&mut self, bytes: u64, promised: u64, now: Instant) -> Level {
        let Some(day) = &mut self.day else { return Level::Plenty };
        let available = day.available(now);
        if available < bytes.saturating_add(promised) {
            Level::Empty
        } else if available < day.capacity / 4 {
            Level::Low
        } else if available < day.capacity / 2 {
            Level::Half
        } else {
            Level::Plenty
        }
    }

    /// Bytes are written now.
    pub(crate) fn spend(&mut self, bytes: u64) {
        for bucket in self.day.iter_mut().chain(&mut self.second) {
            bucket.spend(bytes);
        }
    }

    /// How long the next write has to wait, so that the second's bytes are kept.
    pub(crate) fn pause(&mut self, now: Instant) -> Duration {
        self.second.as_mut().map_or(Duration::ZERO, |second| second.debt(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_24_hours_see_more_than_the_days_bytes() {
        let start = aquifer_io::now();
        let day_bytes = 10_000_000;
        let mut budget = WriteBudget::new(day_bytes, 0, start);
        // Whenever it may, in bursts and steadily, over three days; each minute's bytes.
        let mut minutes = Vec::new();
        for minute in 0..3 * 24 * 60u64 {
            let now = start + Duration::from_secs(minute * 60);
            let mut written = 0;
            // Quiet every third hour.
            while !(minute / 60).is_multiple_of(3) && budget.level(4096, 0, now) > Level::Empty {
                budget.spend(4096);
                written += 4096;
            }
            minutes.push(written);
        }
        let most = minutes.windows(24 * 60).map(|day| day.iter().sum::<u64>()).max().unwrap();
        assert!(most <= day_bytes, "{most}");
        assert!(most > day_bytes * 9 / 10, "{most}: it should be used");
    }

    #[test]
    fn levels_warn_before_it_is_empty() {
        let start = aquifer_io::now();
        let mut budget = WriteBudget::new(24_000, 0, start);
        let mut seen = Vec::new();
        for _ in 0..11 {
            seen.push(budget.level(100, 0, start));
            budget.spend(100);
        }
        assert!(seen.is_sorted_by(|a, b| a >= b));
        assert_eq!(
            (seen[0], seen[6], seen[8], seen[10]),
            (Level::Plenty, Level::Half, Level::Low, Level::Empty)
        );
        assert_eq!(budget.level(100, 0, start + Duration::from_secs(3600)), Level::Plenty);
        assert_eq!(WriteBudget::new(0, 0, start).level(u64::MAX, 0, start), Level::Plenty);
        assert_eq!(
            WriteBudget::new(24_000, 0, start).level(600, 600, start),
            Level::Empty,
            "what is promised counts"
        );
    }

    #[test]
    fn a_second_takes_its_bytes() {
        let start = aquifer_io::now();
        let mut budget = WriteBudget::new(0, 50 << 20, start);
        let (mut now, mut written) = (start, 0u64);
        while now.duration_since(start) < Duration::from_secs(10) {
            now = now + budget.pause(now);
            budget.spend(512 << 10);
            written += 512 << 10;
            now = now + Duration::from_micros(100);
        }
        let most = (50 << 20) * 10 + (50 << 20) / 8 + (1 << 20);
        assert!(written <= most && written > most * 9 / 10, "{written}");
    }
}
