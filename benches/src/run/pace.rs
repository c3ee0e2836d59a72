//! When operations are due, and from when their latency counts.
//!
//! ```text
//! closed loop   the next begins when the last ends, and is due then
//! open loop     the n-th of a thread is due at start + n x interval, whoever is free takes it
//!
//!   due ──waits for a free lane── begun ──service── ended
//!   └───────────────────response──────────────────┘      what a caller sees: no coordinated omission
//! ```
//! An operation that was due and that nobody had time to begin has waited until the end at least: it is recorded with that age.

use std::time::Duration;

use aquifer_io::Instant;

use crate::histogram::Latencies;

/// Steps in which the ages of operations never begun are recorded.
const AGE_STEPS_MAX: u64 = 1024;

/// The schedule of one thread in an open loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    pub(crate) interval: Duration,
}

impl Schedule {
    /// When an operation is due, counted from 0.
    pub(crate) fn due(&self, turn: u64) -> Instant {
        let nanos = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        self.start + Duration::from_nanos(nanos.saturating_mul(turn))
    }

    /// How many are due within so long from the start.
    pub(crate) fn due_within(&self, time: Duration) -> u64 {
        let interval = self.interval.as_nanos().max(1);
        u64::try_from(time.as_nanos().div_ceil(interval)).unwrap_or(u64::MAX)
    }

    /// Records the ages that operations `begun..due` have at `end`; how many these are.
    pub(crate) fn record_unstarted(&self, begun: u64, due: u64, end: Instant, into: &mut Latencies) -> u64 {
        let unstarted = due.saturating_sub(begun);
        let step = unstarted.div_ceil(AGE_STEPS_MAX).max(1);
        let mut turn = begun;
        while turn < due {
            let many = step.min(due - turn);
            // The youngest of a step stands for all of it: an age is never made longer than it is.
            let age = end.duration_since(self.due(turn + many - 1));
            into.record_many(age, many);
            turn += many;
        }
        unstarted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn operations_are_due_at_even_distances() {
        let schedule = Schedule { start: aquifer_io::now(), interval: 2 * MS };
        assert_eq!(schedule.due(0).duration_since(schedule.start), Duration::ZERO);
        assert_eq!(schedule.due(50).duration_since(schedule.start), 100 * MS);
        assert_eq!(schedule.due_within(100 * MS), 50);
        assert_eq!(schedule.due_within(101 * MS), 51);
        assert_eq!(schedule.due_within(Duration::ZERO), 0);
    }

    /// A store that stops altogether must not look fast because of what was never begun.
    #[test]
    fn what_was_never_begun_has_its_age() {
        let schedule = Schedule { start: aquifer_io::now(), interval: MS };
        let end = schedule.start + 100 * MS;
        let mut ages = Latencies::new();
        assert_eq!(schedule.record_unstarted(50, 100, end, &mut ages), 50);
        let summary = ages.summary();
        assert_eq!(summary.count, 50);
        assert!((summary.max_us / 50_000.0 - 1.0).abs() < 0.01, "{summary:?}");
        assert!((summary.p50_us / 25_000.0 - 1.0).abs() < 0.05, "{summary:?}");
        assert_eq!(schedule.record_unstarted(100, 100, end, &mut ages), 0);
    }

    #[test]
    fn a_large_backlog_is_recorded_in_few_steps() {
        let schedule = Schedule { start: aquifer_io::now(), interval: Duration::from_nanos(1) };
        let mut ages = Latencies::new();
        let many = 4_000_000_000;
        let end = schedule.start + Duration::from_secs(4);
        assert_eq!(schedule.record_unstarted(0, many, end, &mut ages), many);
        assert_eq!(ages.summary().count, many);
        assert!((ages.summary().p50_us / 2e6 - 1.0).abs() < 0.01);
    }
}
