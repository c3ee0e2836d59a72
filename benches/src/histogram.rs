//! Latencies: recorded in nanoseconds with three significant digits, reported in microseconds.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart: one hour.
const NANOSECONDS_MAX: u64 = 3_600_000_000_000;

/// A histogram of durations. Grows with the range it has seen, to about 300 KiB.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Option<Histogram<u64>>);

impl Latencies {
    /// An empty histogram.
    pub(crate) fn new() -> Self {
        // The bounds are constants that the constructor accepts; a test says so.
        Self(Histogram::new_with_bounds(1, NANOSECONDS_MAX, 3).ok())
    }

    /// Records one duration.
    pub(crate) fn record(&mut self, duration: Duration) {
        if let Some(histogram) = &mut self.0 {
            let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            histogram.saturating_record(nanoseconds.max(1));
        }
    }

    /// Records one duration so many times.
    pub(crate) fn record_many(&mut self, duration: Duration, times: u64) {
        if let Some(histogram) = &mut self.0 {
            let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            histogram.saturating_record_n(nanoseconds.max(1), times);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        if let Some(histogram) = &mut self.0 {
            histogram.reset();
        }
    }

    /// Records what another histogram has recorded.
    pub(crate) fn add(&mut self, other: &Self) {
        if let (Some(histogram), Some(other)) = (&mut self.0, &other.0) {
            // It fails for durations out of range only, and both have the same range.
            let added = histogram.add(other);
            debug_assert!(added.is_ok(), "{added:?}");
        }
    }

    /// Whether nothing was recorded.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(Histogram::is_empty)
    }

    /// The histogram itself, in nanoseconds.
    pub(crate) fn histogram(&self) -> Option<&Histogram<u64>> {
        self.0.as_ref()
    }

    /// Count, mean, percentiles and maximum.
    pub(crate) fn summary(&self) -> LatencySummary {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return LatencySummary::default();
        };
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        LatencySummary {
            count: histogram.len(),
            mean_us: histogram.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            p99_99_us: at(0.9999),
            max_us: histogram.max() as f64 / 1e3,
        }
    }
}

/// Percentiles are told apart twice as finely with each halving of the distance to 100 %, so many for each halving.
pub(crate) const TICKS_PER_HALF_DISTANCE: u32 = 5;

impl Latencies {
    /// Latencies by percentile, as HdrHistogram tools print them: ascending, the last at 100 %.
    pub(crate) fn curve(&self) -> Vec<CurvePoint> {
        let Some(histogram) = &self.0 else { return Vec::new() };
        let points = histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE).map(|step| CurvePoint {
            percentile: step.quantile_iterated_to() * 100.0,
            us: step.value_iterated_to() as f64 / 1e3,
            count: histogram.count_between(0, step.value_iterated_to()),
        });
        points.collect()
    }
}

/// So many percent took at most so long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CurvePoint {
    /// 0 to 100.
    pub(crate) percentile: f64,
    /// Latency.
    pub(crate) us: f64,
    /// Operations up to it.
    pub(crate) count: u64,
}

/// A histogram in six numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LatencySummary {
    /// Durations recorded.
    pub(crate) count: u64,
    /// Mean in microseconds.
    pub(crate) mean_us: f64,
    /// Median in microseconds.
    pub(crate) p50_us: f64,
    /// 90th percentile in microseconds.
    pub(crate) p90_us: f64,
    /// 99th percentile in microseconds.
    pub(crate) p99_us: f64,
    /// 99.9th percentile in microseconds.
    pub(crate) p99_9_us: f64,
    /// 99.99th percentile in microseconds.
    pub(crate) p99_99_us: f64,
    /// Longest in microseconds.
    pub(crate) max_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.summary(), LatencySummary::default());
        (1..=10_000_u64).for_each(|us| latencies.record(Duration::from_micros(us)));
        let summary = latencies.summary();
        assert_eq!(summary.count, 10_000);
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 0.002;
        assert!(near(summary.p50_us, 5_000.0) && near(summary.p99_us, 9_900.0), "{summary:?}");
        assert!(near(summary.p99_9_us, 9_990.0) && near(summary.max_us, 10_000.0), "{summary:?}");
    }

    #[test]
    fn curves_rise_to_the_longest() {
        let mut latencies = Latencies::new();
        assert!(latencies.curve().is_empty());
        (1..=10_000_u64).for_each(|us| latencies.record(Duration::from_micros(us)));
        let curve = latencies.curve();
        assert!(curve.windows(2).all(|pair| pair[0].percentile <= pair[1].percentile), "{curve:?}");
        assert!(curve.windows(2).all(|pair| pair[0].us <= pair[1].us && pair[0].count <= pair[1].count));
        let (first, last) = (curve[0], curve[curve.len() - 1]);
        assert_eq!((first.count, last.count, last.percentile), (1, 10_000, 100.0));
        let median = curve.iter().find(|point| point.percentile >= 50.0).unwrap();
        assert!((median.us / 5_000.0 - 1.0).abs() < 0.002, "{median:?}");
    }

    #[test]
    fn histograms_add_up() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.record(Duration::from_micros(10));
        other.record(Duration::from_micros(30));
        one.add(&other);
        let summary = one.summary();
        assert!(summary.count == 2 && (summary.max_us - 30.0).abs() < 0.1, "{summary:?}");
    }

    #[test]
    fn durations_out_of_range_are_kept_at_the_bounds() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::MAX);
        assert_eq!(latencies.summary().count, 2);
    }
}
