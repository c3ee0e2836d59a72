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

use super::machine::process_cpu;
use super::sample::{Sample, Times};
use super::shape::Shape;
use crate::histogram::Latencies;
use crate::interrupt;

/// See the module.
#[derive(Debug)]
pub(super) struct Meter {
    warm_at: Instant,
    end_at: Instant,
    begun: Option<Mark>,
    ended: Option<Mark>,
    failed: bool,
    operations: u64,
    latencies: Latencies,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    cpu: Duration,
}

impl Meter {
    /// The warm-up begins now.
    pub(super) fn new(times: Times) -> Self {
        let warm_at = aquifer_io::now() + times.warm_up;
        Self {
            warm_at,
            end_at: warm_at + times.measured,
            begun: None,
            ended: None,
            failed: false,
            operations: 0,
            latencies: Latencies::new(),
        }
    }

    /// An operation has just ended, whose latency counts from an instant.
    pub(super) fn done(&mut self, began: Instant) {
        self.done_at(began, aquifer_io::now());
    }

    fn done_at(&mut self, began: Instant, at: Instant) {
        if self.ended.is_some() || at < self.warm_at {
            return;
        }
        if self.begun.is_none() {
            self.begun = Some(Mark { at, cpu: process_cpu() });
            return;
        }
        self.operations += 1;
        self.latencies.record(at.duration_since(began));
        if at >= self.end_at {
            self.ended = Some(Mark { at, cpu: process_cpu() });
        }
    }

    /// Whether lanes go on.
    pub(super) fn goes_on(&self) -> bool {
        self.ended.is_none() && !self.failed && interrupt::check().is_ok()
    }

    /// A lane has failed: the others need not go on.
    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    /// The numbers; zeros when it was not ended.
    pub(super) fn sample(&self, shape: &Shape) -> Sample {
        let (Some(begun), Some(ended)) = (self.begun, self.ended) else { return Sample::default() };
        let seconds = ended.at.duration_since(begun.at).as_secs_f64().max(f64::MIN_POSITIVE);
        let operations = self.operations as f64;
        let latency = self.latencies.summary();
        Sample {
            operations: self.operations,
            iops: operations / seconds,
            bytes_per_s: operations / seconds * f64::from(shape.block_bytes),
            p50_us: latency.p50_us,
            p99_us: latency.p99_us,
            p99_9_us: latency.p99_9_us,
            cpu_us_per_operation: ended.cpu.saturating_sub(begun.cpu).as_secs_f64() * 1e6 / operations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::SHAPES;
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
        let sample = meter.sample(&SHAPES[0]);
        assert_eq!(sample.operations, 3);
        assert!((sample.iops - 3.0).abs() < 1e-9 && (sample.bytes_per_s - 3.0 * 4096.0).abs() < 1e-3);
        assert!((sample.p50_us / 300_000.0 - 1.0).abs() < 0.002, "{sample:?}");
    }

    #[test]
    fn what_failed_does_not_go_on() {
        let mut meter = Meter::new(Times::new(Duration::from_secs(1)));
        assert!(meter.goes_on());
        meter.fail();
        assert!(!meter.goes_on());
        assert_eq!(meter.sample(&SHAPES[0]), Sample::default());
    }
}
