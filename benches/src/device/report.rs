//! The report of the `device` command: one structure, shown as a table or written as JSON.
//!
//! JSON: `schema` grows by one when a field is renamed, removed or changes its meaning; new fields may come at any
//! time. Every number has its unit in its name; counts have none.

use serde::Serialize;

use super::idle::Idle;
use super::sample::Sample;
use super::shape::Shape;
use crate::measure::machine::{Machine, NOISY_CORES};
use crate::measure::spread::Spread;

/// Version of the JSON.
pub(super) const SCHEMA: u32 = 1;

/// Name of the yardstick among the engines.
pub(super) const FIO: &str = "fio";

/// See the module.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// Version of this structure.
    pub(super) schema: u32,
    /// Version of the program.
    pub(super) version: &'static str,
    /// Always `device`.
    pub(super) command: &'static str,
    /// `release` or `debug`; numbers of the latter say nothing about the backends.
    pub(super) build: &'static str,
    /// When it began, in milliseconds since 1970.
    pub(super) began_unix_ms: u64,
    /// What it ran on.
    pub(super) machine: Machine,
    /// Folder of the test file.
    pub(super) dir: String,
    /// Length of the test file.
    pub(super) file_bytes: u64,
    /// Whether the file system lets reads and writes go past the page cache.
    pub(super) direct: bool,
    /// Measured time of each sample.
    pub(super) measured_s: f64,
    /// Time before it that is not counted.
    pub(super) warm_up_s: f64,
    /// Rounds.
    pub(super) rounds: u32,
    /// fio's version, when it was used.
    pub(super) fio: Option<String>,
    /// Lines that say what could not be measured, and why.
    pub(super) notes: Vec<String>,
    /// Numbers: by shape, then by engine, fio first.
    pub(super) results: Vec<Measured>,
    /// Idle executors.
    pub(super) idle: Vec<Idle>,
    /// The whole run.
    pub(super) total_s: f64,
}

/// One shape through one engine, in all rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    /// Job file, without its ending.
    pub(super) profile: &'static str,
    /// Its section.
    pub(super) section: &'static str,
    /// Bytes of an operation.
    pub(super) block_bytes: u32,
    /// Operations in flight.
    pub(super) depth: u32,
    /// `fio` or the name of a backend.
    pub(super) engine: String,
    /// Over all rounds: operations a second.
    pub(super) iops: Spread,
    /// Over all rounds: bytes of these a second.
    pub(super) bytes_per_s: Spread,
    /// Over all rounds: median latency.
    pub(super) p50_us: Spread,
    /// Over all rounds: 99th percentile.
    pub(super) p99_us: Spread,
    /// Over all rounds: 99.9th percentile.
    pub(super) p99_9_us: Spread,
    /// Over all rounds: processor time, user and system.
    pub(super) cpu_us_per_operation: Spread,
    /// Its operations a second by those of fio in the same round, over all rounds; absent without fio.
    pub(super) share_of_fio: Option<Spread>,
    /// Rounds in which others kept more than a fifth of a core busy.
    pub(super) noisy_rounds: usize,
    /// Every round.
    pub(super) rounds: Vec<Round>,
}

/// One shape through one engine, once.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Round {
    /// Counts from one. A round is missing when fio failed in it.
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
    /// Sums rounds up; `None` when there are none.
    pub(super) fn new(shape: &Shape, engine: &str, rounds: &[Round], fio: &[Round]) -> Option<Self> {
        let of = |number: fn(&Sample) -> f64| Spread::of(rounds.iter().map(|round| number(&round.sample)));
        let shares = rounds.iter().filter_map(|round| {
            let beside = fio.iter().find(|beside| beside.round == round.round)?;
            Some(round.sample.iops / beside.sample.iops)
        });
        Some(Self {
            profile: shape.profile,
            section: shape.section,
            block_bytes: shape.block_bytes,
            depth: shape.depth,
            engine: engine.to_owned(),
            iops: of(|sample| sample.iops)?,
            bytes_per_s: of(|sample| sample.bytes_per_s)?,
            p50_us: of(|sample| sample.p50_us)?,
            p99_us: of(|sample| sample.p99_us)?,
            p99_9_us: of(|sample| sample.p99_9_us)?,
            cpu_us_per_operation: of(|sample| sample.cpu_us_per_operation)?,
            share_of_fio: if engine == FIO { None } else { Spread::of(shares) },
            noisy_rounds: rounds.iter().filter(|round| round.noisy).count(),
            rounds: rounds.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::SHAPES;
    use super::*;

    fn round(round: u32, iops: f64, others_cores: f64) -> Round {
        Round::new(round, others_cores, Sample { operations: 1, iops, ..Sample::default() })
    }

    #[test]
    fn shares_are_taken_within_a_round() {
        let fio = [round(1, 100.0, 0.0), round(2, 200.0, 0.0), round(3, 1000.0, 0.0)];
        let ours = [round(1, 90.0, 0.0), round(2, 200.0, 0.3), round(3, 800.0, 0.1)];
        let measured = Measured::new(&SHAPES[0], "threads", &ours, &fio).unwrap();
        assert_eq!(measured.share_of_fio, Some(Spread { median: 0.9, min: 0.8, max: 1.0 }));
        assert_eq!(measured.iops, Spread { median: 200.0, min: 90.0, max: 800.0 });
        assert_eq!(measured.noisy_rounds, 1);
        let share =
            |engine, fio: &[Round]| Measured::new(&SHAPES[0], engine, &ours, fio).unwrap().share_of_fio;
        assert_eq!(share(FIO, &fio), None);
        assert_eq!(share("threads", &[]), None);
        assert_eq!(share("threads", &fio[..1]).map(|share| share.max), Some(0.9), "fio failed later");
        assert!(Measured::new(&SHAPES[0], "threads", &[], &fio).is_none());
    }

    #[test]
    fn the_json_has_units() {
        let measured = Measured::new(&SHAPES[0], "threads", &[round(1, 90.0, 0.5)], &[]).unwrap();
        let json = serde_json::to_value(measured).unwrap();
        assert_eq!(json["iops"]["median"], 90.0);
        assert!(json["p99_9_us"]["max"].is_number() && json["share_of_fio"].is_null());
        assert_eq!(json["rounds"][0]["noisy"], true);
        assert_eq!(json["rounds"][0]["iops"], 90.0);
    }
}
