//! How quiet a measurement was.
//!
//! A round is noisy when other processes kept more than a fifth of a core busy. A phase is noisy when one of its rounds
//! is, or when its throughput differs from round to round by more than a tenth of the median.

use serde::{Deserialize, Serialize};

use super::division::quotient;
use super::round::Round;
use crate::measure::machine::NOISY_CORES;
use crate::measure::spread::Spread;

/// Above this relative spread of throughput over the rounds, a phase is noisy.
pub(crate) const NOISY_SPREAD: f64 = 0.1;

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Noise {
    /// Whether to distrust the numbers.
    pub(crate) noisy: bool,
    /// Throughput of the fastest round less that of the slowest, by the median; `None` of fewer than two rounds.
    pub(crate) spread: Option<f64>,
    /// The most cores that other processes kept busy during one round.
    pub(crate) others_cores_max: f64,
    /// Rounds in which that was too much.
    pub(crate) noisy_rounds: u64,
}

impl Noise {
    /// Of the rounds of one phase or arm.
    pub(crate) fn of(rounds: &[Round]) -> Self {
        let spread = Spread::of(rounds.iter().map(|round| round.ops_per_s));
        let spread = spread.filter(|_| rounds.len() > 1);
        let spread = spread.and_then(|spread| quotient(spread.max - spread.min, spread.median));
        let noisy = |round: &&Round| round.noisy || round.others_cores > NOISY_CORES;
        let noisy_rounds = rounds.iter().filter(noisy).count() as u64;
        Self {
            noisy: noisy_rounds > 0 || spread.is_some_and(|spread| spread > NOISY_SPREAD),
            spread,
            others_cores_max: rounds.iter().map(|round| round.others_cores).fold(0.0, f64::max),
            noisy_rounds,
        }
    }

    /// The worst of several.
    pub(crate) fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), |worst, next| Self {
            noisy: worst.noisy || next.noisy,
            spread: [worst.spread, next.spread].into_iter().flatten().reduce(f64::max),
            others_cores_max: worst.others_cores_max.max(next.others_cores_max),
            noisy_rounds: worst.noisy_rounds + next.noisy_rounds,
        })
    }

    /// In one word. One round tells nothing of the spread.
    pub(crate) fn word(&self) -> &'static str {
        match (self.noisy, self.spread) {
            (true, _) => "NOISY",
            (false, Some(_)) => "quiet",
            (false, None) => "unknown",
        }
    }

    /// In words, with the numbers.
    pub(crate) fn text(&self) -> String {
        let spread = match self.spread {
            Some(spread) => format!("spread of rounds at most {:.1} %", spread * 100.0),
            None => "spread of rounds not known".to_owned(),
        };
        let others = format!("others used at most {:.2} cores", self.others_cores_max);
        let rounds = match self.noisy_rounds {
            0 => String::new(),
            1 => " (1 noisy round)".to_owned(),
            more => format!(" ({more} noisy rounds)"),
        };
        format!("{}: {spread}, {others}{rounds}", self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(ops_per_s: f64, others_cores: f64) -> Round {
        Round { ops_per_s, others_cores, ..Round::default() }
    }

    #[test]
    fn other_processes_and_spread_are_noise() {
        assert_eq!(Noise::of(&[]), Noise::default());
        let one = Noise::of(&[round(100.0, 0.1)]);
        assert!(!one.noisy && one.spread.is_none());
        let quiet = Noise::of(&[round(100.0, 0.1), round(105.0, 0.0)]);
        assert!(!quiet.noisy && (quiet.spread.unwrap() - 5.0 / 102.5).abs() < 1e-9);
        assert!(Noise::of(&[round(100.0, 0.1), round(120.0, 0.0)]).noisy);
        let busy = Noise::of(&[round(100.0, 0.3), round(100.0, 0.0)]);
        assert_eq!((busy.noisy, busy.noisy_rounds), (true, 1));
        let worst = Noise::worst([one, quiet, busy]);
        assert!(worst.noisy && worst.spread == quiet.spread && worst.others_cores_max > 0.2);
        assert_eq!(
            worst.text(),
            "NOISY: spread of rounds at most 4.9 %, others used at most 0.30 cores (1 noisy round)"
        );
    }
}
