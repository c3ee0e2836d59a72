//! The comparison of several engines: rows of a suite, in each the arms, their ratios, and whether the goals are reached.

use serde::{Deserialize, Serialize};

use super::division::quotient;
use super::header::Header;
use super::metric::{METRICS, Metric, Summary, number, summary};
use super::noise::Noise;
use super::phase::{Curve, Tier, Workload};
use super::round::Round;
use super::schema::{Kind, SCHEMA};
use super::settings::Settings;
use crate::measure::spread::Spread;
use crate::numbers::share;

/// What `compare` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// Version of the document.
    pub(crate) schema: String,
    /// Always `compare`.
    pub(crate) kind: Kind,
    /// Machine, versions, command, noise.
    pub(crate) header: Header,
    /// Name of the suite; `None` when rows were named one by one.
    #[serde(default)]
    pub(crate) suite: Option<String>,
    /// The rows that were measured.
    #[serde(default)]
    pub(crate) rows: Vec<Row>,
    /// Lines that a reader must know.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// One thing that all arms did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    /// Names it among the rows: no other has the same.
    pub(crate) name: String,
    /// What is done and measured, in a sentence.
    pub(crate) what: String,
    /// Which tier answers, where that is the point of it.
    pub(crate) tier: Option<Tier>,
    /// Keys, values and operations: the same for all arms.
    pub(crate) workload: Workload,
    /// Ours first, then those it is held against.
    pub(crate) arms: Vec<Arm>,
    /// The first arm by each other one, in the order of the arms.
    pub(crate) ratios: Vec<Ratio>,
    /// What is to be reached.
    pub(crate) goals: Vec<Goal>,
    /// How quiet it was: the worst of the arms.
    pub(crate) noise: Noise,
    /// Lines that a reader must know.
    pub(crate) notes: Vec<String>,
}

/// One engine in one shape.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Arm {
    /// As in `aquifer`, `rocksdb multi-get 64`.
    pub(crate) name: String,
    /// Version of the engine.
    pub(crate) version: String,
    /// Its settings for this row.
    pub(crate) settings: Settings,
    /// Every round; rounds of several arms with one number ran side by side in time.
    pub(crate) rounds: Vec<Round>,
    /// Each metric over the rounds, by its name.
    pub(crate) summary: Summary,
    /// Latencies of all rounds together.
    pub(crate) curve: Curve,
    /// Lines that a reader must know.
    pub(crate) notes: Vec<String>,
}

/// The first arm by another one: each metric taken round by round, then over the rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ratio {
    /// Name of the other arm.
    pub(crate) against: String,
    /// Rounds that both arms have.
    pub(crate) rounds: u64,
    /// By name of the metric. Above one the first arm has more of it, whether that is good or not.
    pub(crate) metrics: Summary,
}

/// A ratio to reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Goal {
    /// Name of the metric.
    pub(crate) metric: String,
    /// Name of the other arm; empty: the number of the first arm itself is held against the goal, and `ratio` is that number.
    pub(crate) against: String,
    /// The median ratio is to be at least this.
    pub(crate) at_least: Option<f64>,
    /// The median ratio is to be at most this.
    pub(crate) at_most: Option<f64>,
    /// The ratio that was found; `None` when one of the arms has no such number.
    pub(crate) ratio: Option<Spread>,
    /// Whether it was reached; `None` without a ratio.
    pub(crate) reached: Option<bool>,
}

impl Comparison {
    /// Nothing compared yet.
    pub(crate) fn begin(header: Header, suite: Option<String>) -> Self {
        let (rows, notes) = (Vec::new(), Vec::new());
        Self { schema: SCHEMA.to_owned(), kind: Kind::Compare, header, suite, rows, notes }
    }

    /// Computes what follows from the rounds of all rows, and sets the end. To be called when they are complete.
    pub(crate) fn finish(&mut self) {
        self.rows.iter_mut().for_each(Row::finish);
        self.header.noise = Noise::worst(self.rows.iter().map(|row| row.noise));
        self.header.ended_unix_ms = aquifer_io::unix_time_ms();
    }

    /// Answers that were wrong, of all arms.
    pub(crate) fn answers_wrong(&self) -> u64 {
        let arms = self.rows.iter().flat_map(|row| &row.arms);
        arms.flat_map(|arm| &arm.rounds).map(|round| round.answers_wrong).sum()
    }
}

impl Row {
    /// Computes summaries, ratios and goals from the rounds.
    pub(crate) fn finish(&mut self) {
        self.arms.iter_mut().for_each(|arm| arm.summary = summary(&arm.rounds));
        self.noise = Noise::worst(self.arms.iter().map(|arm| Noise::of(&arm.rounds)));
        let Some((first, others)) = self.arms.split_first() else { return };
        self.ratios = others.iter().map(|other| Ratio::of(first, other)).collect();
        for goal in &mut self.goals {
            let metrics = match goal.against.as_str() {
                "" => Some(&first.summary),
                against => {
                    let ratio = self.ratios.iter().find(|ratio| ratio.against == against);
                    ratio.map(|ratio| &ratio.metrics)
                }
            };
            goal.judge(metrics);
        }
    }
}

impl Ratio {
    /// The ratio of two arms.
    pub(crate) fn of(first: &Arm, other: &Arm) -> Self {
        let pairs = first.rounds.iter().filter_map(|ours| {
            let theirs = other.rounds.iter().find(|theirs| theirs.round == ours.round)?;
            Some((ours, theirs))
        });
        let pairs: Vec<(&Round, &Round)> = pairs.collect();
        let values = first.rounds.iter().flat_map(|round| round.values.keys().map(String::as_str));
        let names = METRICS.iter().map(|metric| metric.name).chain(values);
        let metrics = names.filter_map(|name| {
            let ratios = pairs
                .iter()
                .filter_map(|(ours, theirs)| quotient(number(ours, name)?, number(theirs, name)?));
            Some((name.to_owned(), Spread::of(ratios)?))
        });
        Self { against: other.name.clone(), rounds: pairs.len() as u64, metrics: metrics.collect() }
    }
}

impl Goal {
    /// A ratio of at least this.
    pub(crate) fn at_least(metric: &str, against: &str, ratio: f64) -> Self {
        let (metric, against) = (metric.to_owned(), against.to_owned());
        Self { metric, against, at_least: Some(ratio), ..Self::default() }
    }

    /// A ratio of at most this.
    pub(crate) fn at_most(metric: &str, against: &str, ratio: f64) -> Self {
        let (metric, against) = (metric.to_owned(), against.to_owned());
        Self { metric, against, at_most: Some(ratio), ..Self::default() }
    }

    /// A number of the first arm itself of at most this.
    pub(crate) fn itself_at_most(metric: &str, most: f64) -> Self {
        Self::at_most(metric, "", most)
    }

    /// Whether a number of the first arm is held against the goal, and no ratio.
    pub(crate) fn is_of_itself(&self) -> bool {
        self.against.is_empty()
    }

    /// What was found, with its extremes; a dash without.
    pub(crate) fn found_text(&self) -> String {
        match self.ratio {
            None => "–".to_owned(),
            Some(found) if self.is_of_itself() => {
                let [median, min, max] =
                    [found.median, found.min, found.max].map(|number| Metric::text(&self.metric, number));
                format!("{median} ({min}–{max})")
            }
            Some(found) => share(found),
        }
    }

    /// What is to be reached, in signs.
    pub(crate) fn text(&self) -> String {
        let number = |bound: f64| match self.is_of_itself() {
            true => Metric::text(&self.metric, bound),
            false => bound.to_string(),
        };
        let sides = [
            self.at_least.map(|least| format!("≥ {}", number(least))),
            self.at_most.map(|most| format!("≤ {}", number(most))),
        ];
        sides.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }

    /// Whether it was reached, in words; a noisy row says so.
    pub(crate) fn verdict(&self, noisy: bool) -> String {
        let noisy = if noisy { ", noisy" } else { "" };
        match self.reached {
            Some(true) => format!("reached{noisy}"),
            Some(false) => format!("MISSED{noisy}"),
            None => "not measured".to_owned(),
        }
    }

    fn judge(&mut self, metrics: Option<&Summary>) {
        self.ratio = metrics.and_then(|metrics| metrics.get(&self.metric).copied());
        self.reached = self.ratio.map(|ratio| {
            self.at_least.is_none_or(|least| ratio.median >= least)
                && self.at_most.is_none_or(|most| ratio.median <= most)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(name: &str, ops_per_s: &[(u32, f64)]) -> Arm {
        let round = |&(round, ops_per_s)| Round { round, ops_per_s, ..Round::default() };
        Arm { name: name.to_owned(), rounds: ops_per_s.iter().map(round).collect(), ..Arm::default() }
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_held_against_the_goals() {
        let mut row = Row {
            arms: vec![
                arm("aquifer", &[(1, 150.0), (2, 400.0), (3, 150.0)]),
                arm("get", &[(1, 100.0), (2, 200.0), (4, 1.0)]),
                arm("multi-get", &[(3, 0.0)]),
            ],
            goals: vec![
                Goal::at_least("ops_per_s", "get", 1.75),
                Goal::at_least("ops_per_s", "get", 1.76),
                Goal::at_most("ops_per_s", "get", 1.75),
                Goal::at_least("p99_us", "get", 1.0),
                Goal::at_least("ops_per_s", "multi-get", 1.0),
                Goal::at_least("ops_per_s", "scan", 1.0),
                Goal::itself_at_most("ops_per_s", 150.0),
                Goal::itself_at_most("ops_per_s", 149.0),
                Goal::itself_at_most("p99_us", 149.0),
            ],
            ..Row::default()
        };
        row.finish();
        assert_eq!(row.ratios[0].metrics["ops_per_s"], Spread { median: 1.75, min: 1.5, max: 2.0 });
        assert_eq!((row.ratios[0].rounds, row.ratios[1].rounds), (2, 1));
        let reached: Vec<_> = row.goals.iter().map(|goal| goal.reached).collect();
        let of_ratios = [Some(true), Some(false), Some(true), None, None, None];
        let of_numbers = [Some(true), Some(false), None];
        assert_eq!(reached, [&of_ratios[..], &of_numbers].concat());
    }
}
