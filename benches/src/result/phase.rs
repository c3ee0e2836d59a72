//! One phase of a run: what was done, its rounds, and the ceiling beside them.

use serde::{Deserialize, Serialize};

use super::division::quotient;
use super::metric::{Summary, summary};
use super::noise::Noise;
use super::round::Round;
use super::settings::Settings;
use crate::histogram::CurvePoint;
use crate::measure::spread::Spread;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Phase {
    /// Names it among the phases of the run: no other has the same.
    pub(crate) name: String,
    /// What is done and measured, in a sentence.
    pub(crate) what: String,
    /// Which tier answers, where that is the point of it.
    pub(crate) tier: Option<Tier>,
    /// Keys, values and operations.
    pub(crate) workload: Workload,
    /// Settings that differ from the header's.
    pub(crate) settings: Settings,
    /// Every round.
    pub(crate) rounds: Vec<Round>,
    /// Each metric over the rounds, by its name.
    pub(crate) summary: Summary,
    /// How quiet it was.
    pub(crate) noise: Noise,
    /// What bounds it, measured beside it.
    pub(crate) ceilings: Vec<Ceiling>,
    /// Latencies of all rounds together.
    pub(crate) curve: Curve,
    /// Throughput against latency, when rates were swept.
    pub(crate) sweep: Option<Sweep>,
    /// What the tool itself costs.
    pub(crate) tool: Option<ToolCost>,
    /// Lines that a reader must know.
    pub(crate) notes: Vec<String>,
}

/// Which tier answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tier {
    /// Everything is in memory.
    Memory,
    /// On the SSD.
    Ssd,
    /// On the DFS.
    Remote,
    /// Here and there.
    Mixed,
}

/// Keys, values and operations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Workload {
    /// As db_bench, YCSB or this tool name it.
    pub(crate) name: String,
    /// Kinds with their shares, as in `get:0.9,put:0.1`.
    pub(crate) operations: String,
    /// Which keys, as in `zipf:0.99`.
    pub(crate) distribution: String,
    /// Number of keys.
    pub(crate) keys: u64,
    /// Length of a key.
    pub(crate) key_bytes: u64,
    /// Length of a value: a number, or a distribution.
    pub(crate) value_bytes: String,
    /// Who asks: `client` or `shard`.
    pub(crate) from: String,
    /// Threads that ask.
    pub(crate) threads: u64,
    /// Operations in flight on each.
    pub(crate) in_flight: u64,
    /// Keys of one call.
    pub(crate) batch: u64,
}

/// What bounds a phase.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ceiling {
    /// What it is, as in `fio random-read-4k depth-32`.
    pub(crate) what: String,
    /// Of the two values.
    pub(crate) unit: String,
    /// What the resource gives.
    pub(crate) value: f64,
    /// What the phase got of it.
    pub(crate) reached: f64,
    /// One by the other, so that one is the ceiling; where less is better, the ceiling by what was reached.
    pub(crate) share: f64,
}

/// Latencies by percentile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Curve {
    /// Response times.
    pub(crate) response: Vec<CurvePoint>,
    /// Service times, in an open loop.
    pub(crate) service: Vec<CurvePoint>,
}

/// Rates offered one after the other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sweep {
    /// The 99th percentile that was allowed.
    pub(crate) p99_us_max: f64,
    /// The highest rate that kept to it; `None` when none did.
    pub(crate) found_ops_per_s: Option<f64>,
    /// In ascending order of the rate.
    pub(crate) steps: Vec<SweepStep>,
}

/// One rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SweepStep {
    /// Asked for.
    pub(crate) offered_ops_per_s: f64,
    /// Done.
    pub(crate) achieved_ops_per_s: f64,
    /// Median response time.
    pub(crate) p50_us: f64,
    /// 99th percentile.
    pub(crate) p99_us: f64,
    /// 99.9th percentile.
    pub(crate) p99_9_us: f64,
}

/// What the tool itself costs, measured on an engine that does nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ToolCost {
    /// Processor time for one operation.
    pub(crate) us_per_operation: f64,
    /// That by the processor time of an operation on the engine.
    pub(crate) share: Option<f64>,
}

impl Phase {
    /// Computes what follows from the rounds: the summary, the noise, the tool's share. To be called when they are complete.
    pub(crate) fn finish(&mut self) {
        self.summary = summary(&self.rounds);
        self.noise = Noise::of(&self.rounds);
        if let (Some(tool), Some(cpu)) = (&mut self.tool, self.summary.get("cpu_us_per_operation")) {
            tool.share = quotient(tool.us_per_operation, cpu.median);
        }
    }

    /// A metric over the rounds; `None` when it was not measured.
    pub(crate) fn metric(&self, name: &str) -> Option<Spread> {
        self.summary.get(name).copied()
    }

    /// Answers that were wrong, in all rounds.
    pub(crate) fn answers_wrong(&self) -> u64 {
        self.rounds.iter().map(|round| round.answers_wrong).sum()
    }
}

impl Ceiling {
    /// A ceiling of which more is better: operations or bytes a second.
    pub(crate) fn of_rate(what: &str, unit: &str, value: f64, reached: f64) -> Self {
        let share = quotient(reached, value).unwrap_or(0.0);
        Self { what: what.to_owned(), unit: unit.to_owned(), value, reached, share }
    }

    /// A floor, of which less is better: a latency.
    pub(crate) fn of_latency(what: &str, unit: &str, value: f64, reached: f64) -> Self {
        let share = quotient(value, reached).unwrap_or(0.0);
        Self { what: what.to_owned(), unit: unit.to_owned(), value, reached, share }
    }
}
