//! The highest rate whose p99 keeps to a limit: rates are tried until the answer is known to a twentieth.
//!
//! ```text
//! closed loop says what is possible at all: the first rate tried is half of it
//! too slow, or not held ─> the middle between it and the highest good one        good ─> the middle between it and the lowest bad one
//! ```
//! The middle is the geometric one. While no rate was good, the next is a quarter of the last.

use crate::failure::Failure;
use crate::result::{Sweep, SweepStep};

/// Most rates that are tried.
const STEPS_MAX: usize = 12;
/// The search ends when the lowest bad rate is at most this by the highest good one.
const CLOSE_ENOUGH: f64 = 1.05;
/// Lowest rate that is tried, in operations a second.
const RATE_MIN: f64 = 1.0;

/// Tries rates below about `possible_per_s` with `try_rate`, which also says whether the rate was held.
pub(crate) fn search(
    possible_per_s: f64,
    p99_us_max: f64,
    sweep: &mut Sweep,
    mut try_rate: impl FnMut(f64) -> Result<(SweepStep, bool), Failure>,
) -> Result<(), Failure> {
    *sweep = Sweep { p99_us_max, found_ops_per_s: None, steps: Vec::new() };
    let (mut good, mut bad): (Option<f64>, Option<f64>) = (None, None);
    let mut rate = (possible_per_s / 2.0).max(RATE_MIN);
    for _ in 0..STEPS_MAX {
        let (step, held) = try_rate(rate)?;
        sweep.steps.push(step);
        sweep.steps.sort_by(|one, other| one.offered_ops_per_s.total_cmp(&other.offered_ops_per_s));
        if held && step.p99_us <= p99_us_max {
            good = Some(good.map_or(rate, |good: f64| good.max(rate)));
        } else {
            bad = Some(bad.map_or(rate, |bad: f64| bad.min(rate)));
        }
        sweep.found_ops_per_s = good;
        rate = match (good, bad) {
            (Some(good), Some(bad)) if bad / good <= CLOSE_ENOUGH => break,
            (Some(good), Some(bad)) => (good * bad).sqrt(),
            (Some(good), None) => good * 1.5,
            (None, Some(bad)) if bad <= RATE_MIN => break,
            (None, Some(bad)) => (bad / 4.0).max(RATE_MIN),
            (None, None) => break,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue with one server: the sojourn time is exponential with the mean 1 / (capacity - rate).
    fn queue(capacity: f64) -> impl FnMut(f64) -> Result<(SweepStep, bool), Failure> {
        move |rate| {
            let held = rate < capacity;
            let mean_us = if held { 1e6 / (capacity - rate) } else { 1e6 };
            let step = SweepStep {
                offered_ops_per_s: rate,
                achieved_ops_per_s: rate.min(capacity),
                p50_us: mean_us * 2_f64.ln(),
                p99_us: mean_us * 100_f64.ln(),
                p99_9_us: mean_us * 1000_f64.ln(),
            };
            Ok((step, held))
        }
    }

    fn found(capacity: f64, possible: f64, p99_us_max: f64) -> Sweep {
        let mut sweep = Sweep::default();
        search(possible, p99_us_max, &mut sweep, queue(capacity)).unwrap();
        assert!(sweep.steps.len() <= STEPS_MAX);
        assert!(sweep.steps.is_sorted_by(|one, other| one.offered_ops_per_s <= other.offered_ops_per_s));
        sweep
    }

    #[test]
    fn the_answer_is_the_formula_s() {
        // p99 = ln(100) / (capacity - rate), so the rate is capacity - ln(100) / p99.
        for possible in [20_000.0, 100_000.0, 1_000_000.0] {
            let sweep = found(100_000.0, possible, 1_000.0);
            let rate = sweep.found_ops_per_s.unwrap();
            let exact = 100_000.0 - 100_f64.ln() * 1e3;
            assert!(rate <= exact && rate > exact * 0.9, "{rate} of {exact}, from {possible}");
        }
    }

    #[test]
    fn a_limit_that_nothing_keeps_gives_no_rate() {
        let sweep = found(1_000.0, 1_000.0, 10.0);
        assert_eq!(sweep.found_ops_per_s, None);
        assert!(sweep.steps.len() > 1, "it tried low ones too");
    }

    #[test]
    fn what_was_tried_before_a_failure_is_kept() {
        let mut sweep = Sweep::default();
        let mut left = 3;
        let mut queue = queue(1_000.0);
        let ended = search(1_000.0, 1e4, &mut sweep, |rate| {
            left -= 1;
            if left == 0 { Err(Failure::Interrupted) } else { queue(rate) }
        });
        assert!(matches!(ended, Err(Failure::Interrupted)));
        assert_eq!(sweep.steps.len(), 2);
    }
}
