//! What the threads of a measurement say while it runs: to the line of progress, and to the series by second.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::histogram::{Latencies, LatencySummary};

/// Seconds whose latencies are still collected; older ones are summed up.
const OPEN_SECONDS_MAX: usize = 4;

/// Most seconds whose latencies are kept: about 300 KiB each.
const INTERVALS_MAX: usize = 3_600;

/// One second of a measurement, all threads together.
#[derive(Clone, Debug)]
pub(crate) struct Second {
    /// Which, from 0, counted from the end of the warm-up.
    pub(crate) index: u64,
    pub(crate) operations: u64,
    pub(crate) latency: LatencySummary,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Live {
    keeps_intervals: bool,
    stop: AtomicBool,
    operations: AtomicU64,
    windows: AtomicU64,
    seconds: Mutex<Seconds>,
}

#[derive(Debug, Default)]
struct Seconds {
    open: Vec<(u64, u64, Latencies)>,
    closed: Vec<Second>,
    /// Latencies of these seconds, when they are wanted.
    kept: Vec<(u64, Latencies)>,
}

impl Live {
    /// With the latencies of each second kept, or summed up as time goes.
    pub(crate) fn new(keeps_intervals: bool) -> Self {
        Self { keeps_intervals, ..Self::default() }
    }

    pub(crate) fn keeps_intervals(&self) -> bool {
        self.keeps_intervals
    }

    /// Latencies by second, as far as they were kept.
    pub(crate) fn intervals(&self) -> Vec<(u64, Latencies)> {
        let seconds = self.lock();
        let open = seconds.open.iter().map(|(index, _, latencies)| (*index, latencies.clone()));
        let mut all: Vec<_> = seconds.kept.iter().cloned().chain(open).collect();
        all.sort_by_key(|(index, _)| *index);
        all
    }

    /// Lanes end after their operation.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A window that no lane has had in this measurement.
    pub(crate) fn next_window(&self) -> u64 {
        self.windows.fetch_add(1, Ordering::Relaxed)
    }

    /// Operations that threads have told of, those of the warm-up included.
    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// A thread has done so many operations in the warm-up.
    pub(crate) fn add_warm_up(&self, operations: u64) {
        self.operations.fetch_add(operations, Ordering::Relaxed);
    }

    /// A thread has done so many operations in a second, with these latencies.
    pub(crate) fn add(&self, index: u64, operations: u64, latencies: &Latencies) {
        self.operations.fetch_add(operations, Ordering::Relaxed);
        let mut seconds = self.lock();
        if let Some(open) = seconds.open.iter_mut().find(|open| open.0 == index) {
            open.1 += operations;
            open.2.add(latencies);
            return;
        }
        if let Some(closed) = seconds.closed.iter_mut().find(|closed| closed.index == index) {
            // A thread that hung: its count is kept, its latencies are in those of the whole measurement.
            closed.operations += operations;
            return;
        }
        if seconds.open.len() >= OPEN_SECONDS_MAX {
            let oldest = seconds.open.remove(0);
            seconds.closed.push(sum_up(&oldest));
            if self.keeps_intervals && seconds.kept.len() < INTERVALS_MAX {
                seconds.kept.push((oldest.0, oldest.2));
            }
        }
        seconds.open.push((index, operations, latencies.clone()));
    }

    /// A second as far as it is known; `None` when no thread has said anything of it.
    pub(crate) fn second(&self, index: u64) -> Option<Second> {
        let seconds = self.lock();
        let open = seconds.open.iter().find(|open| open.0 == index).map(sum_up);
        open.or_else(|| seconds.closed.iter().find(|closed| closed.index == index).cloned())
    }

    /// All seconds, in order.
    pub(crate) fn seconds(&self) -> Vec<Second> {
        let seconds = self.lock();
        let mut all: Vec<Second> = seconds.closed.clone();
        all.extend(seconds.open.iter().map(sum_up));
        all.sort_by_key(|second| second.index);
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seconds> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sum_up((index, operations, latencies): &(u64, u64, Latencies)) -> Second {
    Second { index: *index, operations: *operations, latency: latencies.summary() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn threads_add_up_by_second_also_when_one_is_late() {
        let live = Live::default();
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_micros(10));
        for index in 0..10 {
            live.add(index, 1, &latencies);
        }
        live.add(9, 1, &latencies);
        live.add(0, 1, &latencies);
        assert_eq!(live.second(9).unwrap().operations, 2);
        assert_eq!(live.second(9).unwrap().latency.count, 2);
        assert_eq!(live.second(0).unwrap().operations, 2);
        assert!(live.second(10).is_none());
        let indices: Vec<u64> = live.seconds().iter().map(|second| second.index).collect();
        assert_eq!(indices, (0..10).collect::<Vec<_>>());
    }
}
