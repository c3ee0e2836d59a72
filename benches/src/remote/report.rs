//! The report of the `remote` command: one structure, shown as a table or written as JSON.
//!
//! JSON: `schema` grows by one when a field is renamed, removed or changes its meaning; new fields may come at any
//! time. Every number has its unit in its name; `rate` has it in `unit`.

use serde::Serialize;

use super::contender::{By, Goal, Group};
use super::sample::Sample;
use crate::measure::machine::{Machine, NOISY_CORES};
use crate::measure::spread::Spread;

/// Version of the JSON.
pub(super) const SCHEMA: u32 = 1;

/// See the module.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// Version of this structure.
    pub(super) schema: u32,
    /// Version of the program.
    pub(super) version: &'static str,
    /// Always `remote`.
    pub(super) command: &'static str,
    /// `release` or `debug`; numbers of the latter say nothing.
    pub(super) build: &'static str,
    /// When it began, in milliseconds since 1970.
    pub(super) began_unix_ms: u64,
    /// What it ran on.
    pub(super) machine: Machine,
    /// The store, without secrets.
    pub(super) store: String,
    /// Measured time of each sample of requests.
    pub(super) measured_s: f64,
    /// Rounds.
    pub(super) rounds: u32,
    /// Lines that say what could not be measured, and why.
    pub(super) notes: Vec<String>,
    /// Numbers, by group and contender.
    pub(super) results: Vec<Measured>,
    /// The whole run.
    pub(super) total_s: f64,
}

/// One contender of one group, in all rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    /// What was done.
    pub(super) what: String,
    /// By whom.
    pub(super) by: &'static str,
    /// Of `rate`.
    pub(super) unit: &'static str,
    /// Over all rounds: requests or MiB a second.
    pub(super) rate: Option<Spread>,
    /// Over all rounds: median latency.
    pub(super) p50_us: Option<Spread>,
    /// Over all rounds: 99th percentile.
    pub(super) p99_us: Option<Spread>,
    /// Over all rounds: 99.9th percentile.
    pub(super) p99_9_us: Option<Spread>,
    /// Over all rounds: processor time of the client's process per request or MiB.
    pub(super) client_cpu_us: Option<Spread>,
    /// Over all rounds: processor time of the server's process per request or MiB.
    pub(super) server_cpu_us: Option<Spread>,
    /// Over all rounds: requests beyond one for each read.
    pub(super) extra_requests_percent: Option<Spread>,
    /// Its rate (or 99.9th percentile, see `share_by`) by that of the yardstick in the same round, over all rounds.
    pub(super) share: Option<Spread>,
    /// `rate` or `p99_9_us`.
    pub(super) share_by: &'static str,
    /// The yardstick.
    pub(super) share_of: &'static str,
    /// What the share must be: at least by rate, at most by latency.
    pub(super) share_goal: Option<f64>,
    /// Whether the medians reach every goal; absent where there is none, or nothing to compare with.
    pub(super) goal_reached: Option<bool>,
    /// Rounds in which others kept more than a fifth of a core busy.
    pub(super) noisy_rounds: usize,
    /// Every round.
    pub(super) rounds: Vec<Round>,
}

/// One contender, once.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Round {
    /// Counts from one. A round is missing when a tool failed in it.
    pub(super) round: u32,
    /// Cores that others kept busy meanwhile.
    pub(super) others_cores: f64,
    /// Whether that is too much.
    pub(super) noisy: bool,
    /// The numbers.
    #[serde(flatten)]
    pub(super) sample: Sample,
}

impl Round {
    pub(super) fn new(round: u32, others_cores: f64, sample: Sample) -> Self {
        Self { round, others_cores, noisy: others_cores > NOISY_CORES, sample }
    }
}

impl Measured {
    /// Sums a group's rounds up; contenders without a round are left out.
    pub(super) fn of_group(group: &Group<'_>, numbers: &[Vec<Round>]) -> Vec<Self> {
        let contenders = || group.contenders.iter().zip(numbers);
        let yardstick = contenders().find(|(contender, _)| contender.name == group.yardstick);
        let yardstick = yardstick.map_or(&[][..], |(_, rounds)| rounds);
        let own = contenders().filter(|(_, rounds)| !rounds.is_empty());
        own.map(|(contender, rounds)| Self::new(group, contender.name, rounds, yardstick)).collect()
    }

    fn new(group: &Group<'_>, by: &'static str, rounds: &[Round], yardstick: &[Round]) -> Self {
        let of = |number: fn(&Sample) -> Option<f64>| {
            Spread::of(rounds.iter().filter_map(|round| number(&round.sample)))
        };
        let number = match group.by {
            By::Rate => |sample: &Sample| sample.rate,
            By::P99_9 => |sample: &Sample| sample.p99_9_us,
        };
        let shares = rounds.iter().filter_map(|round| {
            let beside = yardstick.iter().find(|beside| beside.round == round.round)?;
            Some(number(&round.sample)? / number(&beside.sample)?)
        });
        let is_yardstick = by == group.yardstick;
        let share = if is_yardstick { None } else { Spread::of(shares) };
        let extra = of(|sample| sample.extra_requests_percent);
        let goal = group.goal.filter(|_| !is_yardstick);
        Self {
            what: group.what.clone(),
            by,
            unit: group.unit,
            rate: of(|sample| sample.rate),
            p50_us: of(|sample| sample.p50_us),
            p99_us: of(|sample| sample.p99_us),
            p99_9_us: of(|sample| sample.p99_9_us),
            client_cpu_us: of(|sample| sample.client_cpu_us),
            server_cpu_us: of(|sample| sample.server_cpu_us),
            extra_requests_percent: extra,
            share,
            share_by: match group.by {
                By::Rate => "rate",
                By::P99_9 => "p99_9_us",
            },
            share_of: group.yardstick,
            share_goal: goal.map(|goal| goal.share),
            goal_reached: goal.zip(share).map(|(goal, share)| reached(group.by, goal, share, extra)),
            noisy_rounds: rounds.iter().filter(|round| round.noisy).count(),
            rounds: rounds.to_vec(),
        }
    }
}

fn reached(by: By, goal: Goal, share: Spread, extra: Option<Spread>) -> bool {
    let share_holds = match by {
        By::Rate => share.median >= goal.share,
        By::P99_9 => share.median <= goal.share,
    };
    let most = goal.extra_percent_max;
    share_holds && most.is_none_or(|most| extra.is_some_and(|extra| extra.median < most))
}

#[cfg(test)]
mod tests {
    use super::super::contender::{Contender, ours};
    use super::*;

    fn round(round: u32, rate: f64, p99_9_us: f64, extra: f64) -> Round {
        let sample = Sample {
            rate: Some(rate),
            p99_9_us: Some(p99_9_us),
            extra_requests_percent: Some(extra),
            ..Sample::default()
        };
        Round::new(round, 0.0, sample)
    }

    fn group(by: By, goal: Goal) -> Group<'static> {
        let contender = |name| -> Contender<'static> { ours(name, || Ok(Sample::default())) };
        Group {
            what: "reads".to_owned(),
            unit: "requests/s",
            by,
            yardstick: "wrk",
            goal: Some(goal),
            contenders: vec![contender("aquifer"), contender("wrk")],
        }
    }

    #[test]
    fn shares_are_taken_within_a_round_and_held_against_the_goal() {
        let ours = vec![round(1, 70.0, 40.0, 1.0), round(2, 160.0, 60.0, 2.0), round(3, 90.0, 50.0, 9.0)];
        let wrk = vec![round(1, 100.0, 100.0, 0.0), round(2, 200.0, 100.0, 0.0), round(3, 100.0, 100.0, 0.0)];
        let numbers = [ours, wrk];
        let reached = |by, share, extra_percent_max| {
            let measured = Measured::of_group(&group(by, Goal { share, extra_percent_max }), &numbers);
            assert_eq!((measured.len(), measured[1].share, measured[1].goal_reached), (2, None, None));
            (measured[0].share.unwrap().median, measured[0].goal_reached.unwrap())
        };
        assert_eq!(reached(By::Rate, 0.8, None), (0.8, true));
        assert_eq!(reached(By::Rate, 0.81, None), (0.8, false));
        assert_eq!(reached(By::P99_9, 0.5, Some(5.0)), (0.5, true));
        assert_eq!(reached(By::P99_9, 0.49, Some(5.0)), (0.5, false));
        assert_eq!(reached(By::P99_9, 0.5, Some(2.0)), (0.5, false), "under, not at");
    }

    #[test]
    fn without_the_yardstick_there_is_no_share() {
        let numbers = [vec![round(1, 70.0, 40.0, 1.0)], Vec::new()];
        let measured =
            Measured::of_group(&group(By::Rate, Goal { share: 0.7, extra_percent_max: None }), &numbers);
        assert_eq!((measured.len(), measured[0].share, measured[0].goal_reached), (1, None, None));
        let json = serde_json::to_value(&measured[0]).unwrap();
        assert_eq!((&json["by"], &json["rate"]["median"]), (&"aquifer".into(), &70.0.into()));
        assert_eq!(json["rounds"][0]["rate"], 70.0);
    }
}
