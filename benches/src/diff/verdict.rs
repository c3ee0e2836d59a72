//! When a difference is one.
//!
//! Only quiet rounds count: those in which other processes kept at most 0.2 cores busy. On each side at least
//! [`ROUNDS_MIN`] of them are needed. The noise of a metric is the range of its values over the old rounds plus the range over
//! the new ones, by the old median, and never less than [`NOISE_MIN`]. A difference of the medians beyond that is told:
//! then no old round is as good, or as bad, as any new one, and both sides lie farther apart than they are wide. Of two sides
//! that are the same this is said of one metric in 80 with three rounds each, of one in 10,000 with five (simulated, for
//! values with a normal and a log-normal distribution).

use crate::measure::machine::NOISY_CORES;
use crate::measure::spread::Spread;
use crate::result::{Better, METRICS, Metric, Round, quotient, summary};

/// Fewer quiet rounds than this tell nothing.
pub(super) const ROUNDS_MIN: usize = 3;

/// Differences up to this are noise whatever the rounds say: machines drift that much from run to run.
pub(super) const NOISE_MIN: f64 = 0.02;

/// What is said of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Time went down, or operations a second up.
    Faster,
    /// The other way.
    Slower,
    /// Something else is better than before: less memory, fewer bytes.
    Better,
    /// The other way.
    Worse,
    /// Changed beyond the noise, and neither way is good.
    Changed,
    /// Not beyond the noise.
    Same,
    /// Too few quiet rounds on one of the sides.
    Unknown,
}

/// One metric on both sides.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) metric: String,
    pub(super) old: Spread,
    pub(super) new: Spread,
    /// The new median by the old one, less one; `None` where the old one is zero.
    pub(super) change: Option<f64>,
    /// How large a change is noise.
    pub(super) noise: Option<f64>,
    pub(super) verdict: Verdict,
}

/// Every metric that both sides have.
pub(super) fn changes(old: &[Round], new: &[Round]) -> Vec<Change> {
    let (old, old_enough) = quiet(old);
    let (new, new_enough) = quiet(new);
    let (old, new) = (summary(&old), summary(&new));
    let known = METRICS.iter().map(|metric| metric.name);
    let further = old.keys().map(String::as_str).filter(|name| Metric::named(name).is_none());
    let names = known.chain(further);
    let both = names.filter_map(|name| Some((name, *old.get(name)?, *new.get(name)?)));
    both.map(|(name, old, new)| change(name, old, new, old_enough && new_enough)).collect()
}

/// The quiet rounds, and whether they are enough; all rounds where they are not.
fn quiet(rounds: &[Round]) -> (Vec<Round>, bool) {
    let quiet = |round: &&Round| !round.noisy && round.others_cores <= NOISY_CORES;
    let found: Vec<Round> = rounds.iter().filter(quiet).cloned().collect();
    if found.len() >= ROUNDS_MIN { (found, true) } else { (rounds.to_vec(), false) }
}

fn change(name: &str, old: Spread, new: Spread, enough: bool) -> Change {
    let range = |spread: Spread| spread.max - spread.min;
    let change = quotient(new.median - old.median, old.median);
    let noise = quotient(range(old) + range(new), old.median.abs()).map(|noise| noise.max(NOISE_MIN));
    let is_beyond = match (change, noise) {
        (Some(change), Some(noise)) => change.abs() > noise,
        _ => (new.median - old.median).abs() > range(old) + range(new),
    };
    let verdict = if !enough {
        Verdict::Unknown
    } else if is_beyond {
        verdict(name, new.median > old.median)
    } else {
        Verdict::Same
    };
    Change { metric: name.to_owned(), old, new, change, noise, verdict }
}

fn verdict(name: &str, is_more: bool) -> Verdict {
    let is_good = match Metric::better(name) {
        Better::Higher => is_more,
        Better::Lower => !is_more,
        Better::Neither => return Verdict::Changed,
    };
    let speed = ["_per_s", "_per_s_per_core", "_us", "_ms", "_s", "cpu_us_per_operation"];
    match (speed.iter().any(|unit| name.ends_with(unit)), is_good) {
        (true, true) => Verdict::Faster,
        (true, false) => Verdict::Slower,
        (false, true) => Verdict::Better,
        (false, false) => Verdict::Worse,
    }
}

impl Verdict {
    /// Whether it is for the better.
    pub(super) fn is_better(self) -> bool {
        matches!(self, Self::Faster | Self::Better)
    }

    /// Whether it is for the worse.
    pub(super) fn is_worse(self) -> bool {
        matches!(self, Self::Slower | Self::Worse)
    }

    /// In words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "SLOWER",
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::Changed => "changed",
            Self::Same => "no difference beyond the noise",
            Self::Unknown => "unknown: fewer than 3 quiet rounds",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(ops_per_s: &[f64], others_cores: &[f64]) -> Vec<Round> {
        let pairs = ops_per_s.iter().zip(others_cores.iter().chain(std::iter::repeat(&0.0)));
        let round = |(ops_per_s, others_cores): (&f64, &f64)| Round {
            ops_per_s: *ops_per_s,
            others_cores: *others_cores,
            ..Round::default()
        };
        pairs.map(round).collect()
    }

    fn throughput(old: &[Round], new: &[Round]) -> Change {
        changes(old, new).into_iter().find(|change| change.metric == "ops_per_s").unwrap()
    }

    #[test]
    fn a_difference_counts_beyond_the_ranges_of_both_sides() {
        let old = rounds(&[98.0, 100.0, 102.0], &[]);
        let verdict = |new: &[f64]| throughput(&old, &rounds(new, &[])).verdict;
        assert_eq!(verdict(&[100.0, 101.0, 102.0]), Verdict::Same);
        assert_eq!(verdict(&[104.0, 105.0, 106.0]), Verdict::Same, "apart, but by less than both ranges");
        assert_eq!(verdict(&[104.0, 106.0, 108.0]), Verdict::Same, "noise is 8 %");
        assert_eq!(verdict(&[108.0, 109.0, 110.0]), Verdict::Faster);
        assert_eq!(verdict(&[90.0, 91.0, 92.0]), Verdict::Slower);
        let still = rounds(&[100.0; 3], &[]);
        assert_eq!(throughput(&still, &rounds(&[101.9; 3], &[])).verdict, Verdict::Same, "machines drift");
        assert_eq!(throughput(&still, &rounds(&[102.1; 3], &[])).verdict, Verdict::Faster);
    }

    #[test]
    fn noisy_rounds_do_not_count_and_too_few_tell_nothing() {
        let old = rounds(&[99.0, 100.0, 101.0], &[]);
        let new = rounds(&[20.0, 150.0, 151.0, 152.0], &[0.9]);
        let change = throughput(&old, &new);
        assert_eq!((change.verdict, change.new.min), (Verdict::Faster, 150.0));
        assert_eq!(throughput(&old, &new[..3]).verdict, Verdict::Unknown);
        assert_eq!(throughput(&old[..1], &new).verdict, Verdict::Unknown);
    }

    #[test]
    fn words_fit_the_metric() {
        let spread = |median| Spread { median, min: median, max: median };
        let words = |name, new| change(name, spread(100.0), spread(new), true).verdict;
        assert_eq!(words("p99_us", 50.0), Verdict::Faster);
        assert_eq!(words("cpu_us_per_operation", 150.0), Verdict::Slower);
        assert_eq!(words("resident_bytes", 150.0), Verdict::Worse);
        assert_eq!(words("write_amplification", 50.0), Verdict::Better);
        assert_eq!(words("ssd_reads", 50.0), Verdict::Changed);
        assert_eq!(words("checkpoint_ms", 150.0), Verdict::Slower);
    }

    #[test]
    fn from_nothing_to_something_is_a_change_without_a_percentage() {
        let change = |new: f64| {
            change(
                "dfs_requests_per_operation",
                Spread::default(),
                Spread { median: new, min: new, max: new },
                true,
            )
        };
        assert_eq!((change(0.0).verdict, change(0.0).change), (Verdict::Same, None));
        assert_eq!((change(1.0).verdict, change(1.0).change), (Verdict::Worse, None));
    }
}
