//! The numbers of a round by name, so that summaries, tables, ratios and `diff` all speak of the same ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::division::quotient;
use super::round::Round;
use crate::byte_size::human_bytes;
use crate::measure::spread::Spread;
use crate::numbers::{count, number as number_text};

/// Each metric over the rounds, by its name. Metrics that no round has are absent.
pub(crate) type Summary = BTreeMap<String, Spread>;

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    /// More is.
    Higher,
    /// Less is.
    Lower,
    /// Neither: it says what happened.
    Neither,
}

/// One number of a round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    /// In summaries, ratios and goals.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    /// For people.
    pub(crate) unit: &'static str,
    /// Which way is good.
    pub(crate) better: Better,
    /// Takes it from a round.
    pub(crate) of: fn(&Round) -> Option<f64>,
}

const fn metric(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    better: Better,
    of: fn(&Round) -> Option<f64>,
) -> Metric {
    Metric { name, title, unit, better, of }
}

use Better::{Higher, Lower, Neither};

/// All of them, in the order in which they are shown.
pub(crate) const METRICS: [Metric; 35] = [
    metric("ops_per_s", "throughput", "ops/s", Higher, |round| some(round.ops_per_s)),
    metric("ops_per_s_per_core", "throughput per core", "ops/s", Higher, |round| round.ops_per_s_per_core),
    metric("offered_ops_per_s", "offered", "ops/s", Neither, |round| round.offered_ops_per_s),
    metric("p50_us", "p50", "µs", Lower, |round| latency(round, |latency| latency.p50_us)),
    metric("p90_us", "p90", "µs", Lower, |round| latency(round, |latency| latency.p90_us)),
    metric("p99_us", "p99", "µs", Lower, |round| latency(round, |latency| latency.p99_us)),
    metric("p99_9_us", "p99.9", "µs", Lower, |round| latency(round, |latency| latency.p99_9_us)),
    metric("p99_99_us", "p99.99", "µs", Lower, |round| latency(round, |latency| latency.p99_99_us)),
    metric("max_us", "max", "µs", Lower, |round| latency(round, |latency| latency.max_us)),
    metric("service_p50_us", "service p50", "µs", Lower, |round| Some(round.service?.p50_us)),
    metric("service_p99_us", "service p99", "µs", Lower, |round| Some(round.service?.p99_us)),
    metric("cpu_us_per_operation", "CPU per operation", "µs", Lower, |round| round.cpu_us_per_operation),
    metric("resident_bytes", "resident memory", "B", Lower, |round| bytes(round.memory?.resident_bytes)),
    metric("peak_bytes", "peak memory", "B", Lower, |round| bytes(round.memory?.peak_bytes)),
    metric("ssd_reads", "SSD reads", "", Neither, |round| bytes(round.ssd?.reads)),
    metric("ssd_read_bytes", "SSD bytes read", "B", Neither, |round| bytes(round.ssd?.read_bytes)),
    metric("ssd_writes", "SSD writes", "", Neither, |round| bytes(round.ssd?.writes)),
    metric("ssd_written_bytes", "SSD bytes written", "B", Neither, |round| bytes(round.ssd?.written_bytes)),
    metric("ssd_reads_per_operation", "SSD reads per operation", "", Lower, |round| {
        per_operation(round, round.ssd?.reads)
    }),
    metric("ssd_read_bytes_per_operation", "SSD bytes read per operation", "B", Lower, |round| {
        per_operation(round, round.ssd?.read_bytes)
    }),
    metric("ssd_written_bytes_per_operation", "SSD bytes written per operation", "B", Lower, |round| {
        per_operation(round, round.ssd?.written_bytes)
    }),
    metric("dfs_requests", "DFS requests", "", Neither, |round| bytes(round.dfs?.requests())),
    metric("dfs_in_bytes", "DFS bytes in", "B", Neither, |round| bytes(round.dfs?.in_bytes)),
    metric("dfs_out_bytes", "DFS bytes out", "B", Neither, |round| bytes(round.dfs?.out_bytes)),
    metric("dfs_requests_per_operation", "DFS requests per operation", "", Lower, |round| {
        per_operation(round, round.dfs?.requests())
    }),
    metric("dfs_in_bytes_per_operation", "DFS bytes in per operation", "B", Lower, |round| {
        per_operation(round, round.dfs?.in_bytes)
    }),
    metric("dfs_out_bytes_per_operation", "DFS bytes out per operation", "B", Lower, |round| {
        per_operation(round, round.dfs?.out_bytes)
    }),
    metric("write_amplification", "write amplification", "", Lower, |round| round.amplification.write),
    metric("read_amplification", "read amplification", "", Lower, |round| round.amplification.read),
    metric("space_amplification", "space amplification", "", Lower, |round| round.amplification.space),
    metric("hit_memory_share", "reads from memory", "", Neither, |round| Some(round.hits?.memory)),
    metric("hit_ssd_share", "reads from the SSD", "", Neither, |round| Some(round.hits?.ssd)),
    metric("hit_remote_share", "reads from the DFS", "", Neither, |round| Some(round.hits?.remote)),
    metric("hit_absent_share", "reads of what is not there", "", Neither, |round| Some(round.hits?.absent)),
    metric("dollars_per_hour", "price", "$/h", Lower, |round| round.dollars_per_hour),
];

impl Metric {
    /// The one with this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.name == name)
    }

    /// The name for people of a metric or further value, with its unit where [`Metric::text`] writes none.
    pub(crate) fn title(name: &str) -> String {
        match Self::named(name) {
            Some(metric) if ["", "B", "$/h"].contains(&metric.unit) => metric.title.to_owned(),
            Some(metric) => format!("{}, {}", metric.title, metric.unit),
            None => name.strip_suffix("_bytes").unwrap_or(name).replace('_', " "),
        }
    }

    /// A value of it for people.
    pub(crate) fn text(name: &str, value: f64) -> String {
        let unit = Self::named(name).map_or("", |metric| metric.unit);
        match unit {
            "ops/s" => count(value),
            "$/h" => format!("{value:.4} $/h"),
            "B" => human_bytes(whole(value)),
            _ if name.ends_with("_bytes") => human_bytes(whole(value)),
            _ if name.ends_with("_share") => format!("{:.1} %", value * 100.0),
            _ => number_text(value),
        }
    }

    /// Which way is good for a number of this name. Further values of a phase are told by their units: less time and fewer
    /// bytes are better, more of anything a second is.
    pub(crate) fn better(name: &str) -> Better {
        match Self::named(name) {
            Some(metric) => metric.better,
            None if name.contains("_per_s") => Higher,
            None if ["_us", "_ms", "_s", "_bytes"].iter().any(|unit| name.ends_with(unit)) => Lower,
            None => Neither,
        }
    }
}

/// Every metric over these rounds, the further values of the phase among them.
pub(crate) fn summary(rounds: &[Round]) -> Summary {
    let named = METRICS.iter().map(|metric| (metric.name.to_owned(), rounds.iter().filter_map(metric.of)));
    let mut numbers: BTreeMap<String, Vec<f64>> =
        named.map(|(name, found)| (name, found.collect())).collect();
    for (name, value) in rounds.iter().flat_map(|round| &round.values) {
        if Metric::named(name).is_none() {
            numbers.entry(name.clone()).or_default().push(*value);
        }
    }
    let spreads = numbers.into_iter().filter_map(|(name, found)| Some((name, Spread::of(found)?)));
    spreads.collect()
}

/// One number of a round by name, the further values of the phase among them.
pub(crate) fn number(round: &Round, name: &str) -> Option<f64> {
    match Metric::named(name) {
        Some(metric) => (metric.of)(round),
        None => round.values.get(name).copied(),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from a float it saturates")]
pub(crate) fn whole(value: f64) -> u64 {
    value.round() as u64
}

fn some(number: f64) -> Option<f64> {
    Some(number)
}

fn bytes(count: u64) -> Option<f64> {
    Some(count as f64)
}

fn latency(round: &Round, of: fn(&crate::histogram::LatencySummary) -> f64) -> Option<f64> {
    (round.latency.count > 0).then(|| of(&round.latency))
}

fn per_operation(round: &Round, count: u64) -> Option<f64> {
    quotient(count as f64, round.operations as f64)
}

#[cfg(test)]
mod tests {
    use super::super::{Dfs, Ssd};
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }

    #[test]
    fn a_summary_has_what_was_measured_and_nothing_else() {
        let mut round = Round { operations: 10, ops_per_s: 5.0, ..Round::default() };
        round.ssd = Some(Ssd { reads: 20, ..Ssd::default() });
        round.values.insert("restore_ms".to_owned(), 12.0);
        let other = Round { ops_per_s: 7.0, ..Round::default() };
        let summary = summary(&[round.clone(), other]);
        assert_eq!(summary["ops_per_s"], Spread { median: 6.0, min: 5.0, max: 7.0 });
        assert_eq!(summary["ssd_reads_per_operation"].median, 2.0);
        assert_eq!(summary["restore_ms"].median, 12.0);
        assert!(!summary.contains_key("p99_us") && !summary.contains_key("dfs_requests"), "{summary:?}");
        assert_eq!(number(&round, "restore_ms"), Some(12.0));
        assert_eq!(number(&round, "dfs_requests"), None);
        round.dfs = Some(Dfs { gets: 1, lists: 2, ..Dfs::default() });
        assert_eq!(number(&round, "dfs_requests"), Some(3.0));
    }

    #[test]
    fn values_have_a_unit_that_fits() {
        for (name, value, title, text) in [
            ("ops_per_s", 172_000.4, "throughput, ops/s", "172,000"),
            ("p99_us", 1.5, "p99, µs", "1.50"),
            ("resident_bytes", 1_048_576.0, "resident memory", "1 MiB"),
            ("hit_ssd_share", 0.25, "reads from the SSD", "25.0 %"),
            ("checkpoint_uploaded_bytes", 2048.0, "checkpoint uploaded", "2 KiB"),
            ("restore_ms", 12.0, "restore ms", "12.0"),
            ("dollars_per_hour", 0.083, "price", "0.0830 $/h"),
        ] {
            assert_eq!((Metric::title(name), Metric::text(name, value)), (title.to_owned(), text.to_owned()));
        }
    }

    #[test]
    fn units_say_which_way_is_good() {
        for (name, better) in [
            ("ops_per_s", Higher),
            ("p99_us", Lower),
            ("ssd_reads", Neither),
            ("restore_first_answer_ms", Lower),
            ("scanned_bytes_per_s", Higher),
            ("checkpoints", Neither),
        ] {
            assert_eq!(Metric::better(name), better, "{name}");
        }
    }
}
