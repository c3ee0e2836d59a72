//! How long to measure, and the spread of a number over rounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Runs before, not counted.
    pub(crate) warm_up: Duration,
    /// Counted.
    pub(crate) measured: Duration,
}

impl Times {
    /// A measured time with the warm-up that goes with it: a quarter of it, at most half a second.
    pub(crate) fn new(measured: Duration) -> Self {
        Self { warm_up: (measured / 4).min(Duration::from_millis(500)), measured }
    }
}

/// A number over rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Spread {
    /// Half of the rounds are below.
    pub(crate) median: f64,
    /// The lowest.
    pub(crate) min: f64,
    /// The highest.
    pub(crate) max: f64,
}

impl Spread {
    /// Of these numbers; `None` of none.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let (upper, lower) = (*sorted.get(half)?, *sorted.get(half.saturating_sub(1))?);
        let median = if sorted.len().is_multiple_of(2) { f64::midpoint(lower, upper) } else { upper };
        Some(Self { median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0]), Some(Spread { median: 3.0, min: 3.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 9.0]), Some(Spread { median: 4.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 9.0, 2.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
    }

    #[test]
    fn the_warm_up_is_short() {
        assert_eq!(Times::new(Duration::from_secs(10)).warm_up, Duration::from_millis(500));
        assert_eq!(Times::new(Duration::from_millis(200)).warm_up, Duration::from_millis(50));
    }
}
