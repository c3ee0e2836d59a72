//! Counts the operations of all lanes within the measured time.
//!
//! ```text
//! |-- warm-up --|------------ measured ------------|
//!       o    o  B  o    o     o    o   o     o    o E o   o
//! ```
//! The first operation that ends after the warm-up begins the measurement (B, itself not counted), the first that ends
//! after the measured time ends it (E, counted). In between, clock and processor time belong to whole operations, however
//! slow they are.

use std::time::Duration;

use aquifer_io::Instant;

use super::machine::{Cpu, process_cpu};
use super::spread::Times;
use crate::histogram::{Latencies, LatencySummary};
use crate::interrupt;

/// See the module.
#[derive(Debug)]
pub(crate) struct Meter {
    warm_at: Instant,
    end_at: Instant,
    begun: Option<Mark>,
    ended: Option<Mark>,
    failed: bool,
    operations: u64,
    latencies: Latencies,
    /// A process that works for this one.
    beside: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    cpu: Duration,
    beside: Duration,
}

impl Meter {
    /// The warm-up begins now.
    pub(crate) fn new(times: Times) -> Self {
        let warm_at = aquifer_io::now() + times.warm_up;
        Self {
            warm_at,
            end_at: warm_at + times.measured,
            begun: None,
            ended: None,
            failed: false,
            operations: 0,
            latencies: Latencies::new(),
            beside: None,
        }
    }

    /// The same with a look at the processor time of another process, by its number.
    pub(crate) fn beside(times: Times, process: u32) -> Self {
        Self { beside: Some(process), ..Self::new(times) }
    }

    fn mark(&self, at: Instant) -> Mark {
        let beside = self.beside.map_or(Duration::ZERO, |process| Cpu::of(process).own);
        Mark { at, cpu: process_cpu(), beside }
    }

    /// An operation has just ended, whose latency counts from an instant.
    pub(crate) fn done(&mut self, began: Instant) {
        self.done_at(began, aquifer_io::now());
    }

    fn done_at(&mut self, began: Instant, at: Instant) {
        if self.ended.is_some() || at < self.warm_at {
            return;
        }
        if self.begun.is_none() {
            self.begun = Some(self.mark(at));
            return;
        }
        self.operations += 1;
        self.latencies.record(at.duration_since(began));
        if at >= self.end_at {
            self.ended = Some(self.mark(at));
        }
    }

    /// Whether lanes go on.
    pub(crate) fn goes_on(&self) -> bool {
        self.ended.is_none() && !self.failed && interrupt::check().is_ok()
    }

    /// A lane has failed: the others need not go on.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
    }

    /// The numbers; `None` when it was not ended.
    pub(crate) fn reading(&self) -> Option<Reading> {
        let (begun, ended) = (self.begun?, self.ended?);
        let seconds = ended.at.duration_since(begun.at).as_secs_f64().max(f64::MIN_POSITIVE);
        let operations = self.operations as f64;
        let per_operation = |cpu: Duration| cpu.as_secs_f64() * 1e6 / operations;
        Some(Reading {
            operations: self.operations,
            per_s: operations / seconds,
            latency: self.latencies.summary(),
            cpu_us_per_operation: per_operation(ended.cpu.saturating_sub(begun.cpu)),
            beside_cpu_us_per_operation: per_operation(ended.beside.saturating_sub(begun.beside)),
        })
    }
}

/// What a meter has read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Operations measured.
    pub(crate) operations: u64,
    /// Operations a second.
    pub(crate) per_s: f64,
    /// From the call to the result.
    pub(crate) latency: LatencySummary,
    /// Processor time of this process.
    pub(crate) cpu_us_per_operation: f64,
    /// Processor time of the process beside, when one was named.
    pub(crate) beside_cpu_us_per_operation: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_in_the_measured_time_is_counted() {
        let ms = Duration::from_millis;
        let mut meter = Meter::new(Times { warm_up: ms(100), measured: ms(1000) });
        let start = meter.warm_at - ms(100);
        let mut done = |ended_ms, took_ms| {
            let at = start + ms(ended_ms);
            meter.done_at(at - ms(took_ms), at);
            meter.goes_on()
        };
        assert!(done(50, 50), "warm-up");
        assert!(done(101, 51), "the mark");
        assert!(done(301, 200));
        assert!(done(601, 300));
        assert!(!done(1101, 500), "the end");
        assert!(!done(1102, 1), "too late");
        let reading = meter.reading().unwrap();
        assert_eq!(reading.operations, 3);
        assert!((reading.per_s - 3.0).abs() < 1e-9);
        assert!((reading.latency.p50_us / 300_000.0 - 1.0).abs() < 0.002, "{reading:?}");
    }

    #[test]
    fn what_failed_does_not_go_on() {
        let mut meter = Meter::new(Times::new(Duration::from_secs(1)));
        assert!(meter.goes_on());
        meter.fail();
        assert!(!meter.goes_on());
        assert!(meter.reading().is_none());
    }
}
