//! From a measurement to the numbers of a round.

use std::time::Duration;

use super::live;
use super::stream::Plan;
use super::watch::Taken;
use crate::histogram::Latencies;
use crate::measure::machine::NOISY_CORES;
use crate::resources::resident_memory;
use crate::result::{
    Amplification, Curve, Interval, KindLatency, Memory, Recording, Round, Second, quotient,
};

/// An open loop has held its rate from this share on.
pub(crate) const HELD_SHARE: f64 = 0.98;

/// What a round needs to know beside what was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Counts from one.
    pub(crate) round: u32,
    /// Cores that do the work.
    pub(crate) cores: usize,
    /// Of the machine.
    pub(crate) cores_all: usize,
    /// Asked for in all.
    pub(crate) offered_ops_per_s: Option<f64>,
    /// Of live keys and values.
    pub(crate) data_bytes: u64,
    /// The machine for an hour.
    pub(crate) machine_usd_per_hour: f64,
}

/// The numbers of one measurement.
pub(crate) fn round(taken: &Taken, plan: &Plan, frame: Frame) -> Round {
    let meter = &taken.meter;
    let operations = meter.operations;
    let ops_per_s = operations as f64 / taken.seconds;
    let resident = resident_memory();
    let absent = quotient((meter.reads - meter.found.min(meter.reads)) as f64, meter.reads as f64);
    let counters = taken.counters;
    let moved = |of: fn(&super::arm::Counters) -> u64, by: u64| {
        counters.filter(|_| by > 0).and_then(|counters| quotient(of(&counters) as f64, by as f64))
    };
    let dollars = counters.map(|counters| {
        counters.usd / taken.seconds * 3_600.0 + counters.storage_usd_per_hour + frame.machine_usd_per_hour
    });
    Round {
        round: frame.round,
        began_unix_ms: taken.began_unix_ms,
        seconds: taken.seconds,
        operations,
        ops_per_s,
        ops_per_s_per_core: quotient(ops_per_s, frame.cores as f64),
        offered_ops_per_s: frame.offered_ops_per_s,
        latency: meter.response().summary(),
        service: frame.offered_ops_per_s.map(|_| meter.service().summary()),
        by_kind: meter
            .kinds()
            .map(|(kind, latencies)| KindLatency {
                kind: kind.name().to_owned(),
                latency: latencies.summary(),
            })
            .collect(),
        cpu_us_per_operation: quotient(taken.cpu.as_secs_f64() * 1e6, operations as f64),
        memory: Some(Memory { resident_bytes: resident.now_bytes, peak_bytes: resident.peak_bytes }),
        ssd: counters.map(|counters| counters.ssd),
        dfs: counters.map(|counters| counters.dfs),
        amplification: Amplification {
            write: moved(|moved| moved.ssd.written_bytes + moved.dfs.out_bytes, meter.written_bytes),
            read: moved(|moved| moved.ssd.read_bytes + moved.dfs.in_bytes, meter.read_bytes),
            space: moved(|moved| moved.stored_bytes, frame.data_bytes),
        },
        hits: counters.filter(|_| meter.reads > 0).and_then(|moved| moved.hits(absent.unwrap_or(0.0))),
        dollars_per_hour: dollars,
        others_cores: taken.others_cores,
        others_share: taken.others_cores / frame.cores_all.max(1) as f64,
        noisy: taken.others_cores > NOISY_CORES,
        answers_checked: meter.checked,
        answers_wrong: meter.mismatches,
        values: values(taken, plan, &frame, ops_per_s),
        // What ended after the end has a latency and is no throughput.
        series: taken
            .series
            .iter()
            .filter(|second| (second.index as f64) < taken.seconds)
            .map(|second| second_of(second, taken))
            .collect(),
    }
}

/// Numbers that only some rounds have.
fn values(
    taken: &Taken,
    plan: &Plan,
    frame: &Frame,
    ops_per_s: f64,
) -> std::collections::BTreeMap<String, f64> {
    let mut values = std::collections::BTreeMap::new();
    if let Some(share) = frame.offered_ops_per_s.and_then(|offered| quotient(ops_per_s, offered)) {
        values.insert("rate_held_share".to_owned(), share);
        values.insert("operations_never_begun".to_owned(), taken.meter.unstarted as f64);
    }
    if let Some(counters) = &taken.counters {
        values.extend(counters.plan.values());
    }
    if taken.cut_short {
        values.insert("asked_for_s".to_owned(), plan.measured.as_secs_f64());
    }
    values
}

fn second_of(second: &live::Second, taken: &Taken) -> Second {
    let seen = |us: f64| (second.latency.count > 0).then_some(us);
    let hits = usize::try_from(second.index).ok().and_then(|index| taken.hits.get(index)).copied();
    Second {
        at_s: ((second.index + 1) as f64).min(taken.seconds),
        operations: second.operations,
        p50_us: seen(second.latency.p50_us),
        p99_us: seen(second.latency.p99_us),
        max_us: seen(second.latency.max_us),
        hits: hits.flatten(),
    }
}

/// In words, when an open loop did not hold its rate.
pub(crate) fn rate_note(round: &Round) -> Option<String> {
    let offered = round.offered_ops_per_s?;
    let share = quotient(round.ops_per_s, offered).filter(|share| *share < HELD_SHARE)?;
    let never = round.values.get("operations_never_begun").copied().unwrap_or(0.0);
    Some(format!(
        "round {}: could not hold the rate (achieved {share:.2} of {offered:.0} operations/s; {never:.0} that were due never began)",
        round.round
    ))
}

/// Latencies of all rounds of a phase, for its curve and for HdrHistogram logs.
#[derive(Debug)]
pub(crate) struct PhaseLatencies {
    response: Latencies,
    service: Latencies,
    open_loop: bool,
    pub(crate) recordings: Vec<Recording>,
}

impl PhaseLatencies {
    pub(crate) fn new(open_loop: bool) -> Self {
        let (response, service) = (Latencies::new(), Latencies::new());
        Self { response, service, open_loop, recordings: Vec::new() }
    }

    /// Adds a round.
    pub(crate) fn add(&mut self, phase: &str, round: u32, taken: &Taken, plan: &Plan) {
        self.response.add(&taken.meter.response());
        if self.open_loop {
            self.service.add(&taken.meter.service());
        }
        if !plan.live.keeps_intervals() {
            return;
        }
        let whole = |what: String, latencies: Latencies| Recording {
            name: phase.to_owned(),
            round,
            what,
            intervals: vec![Interval {
                began_unix_ms: taken.began_unix_ms,
                length: Duration::from_secs_f64(taken.seconds),
                latencies,
            }],
        };
        let seconds = plan.live.intervals().into_iter().map(|(index, latencies)| Interval {
            began_unix_ms: taken.began_unix_ms.saturating_add(index.saturating_mul(1_000)),
            length: Duration::from_secs(1),
            latencies,
        });
        let response = Recording {
            name: phase.to_owned(),
            round,
            what: "response".to_owned(),
            intervals: seconds.collect(),
        };
        self.recordings.push(response);
        if self.open_loop {
            self.recordings.push(whole("service".to_owned(), taken.meter.service()));
        }
        for (kind, latencies) in taken.meter.kinds() {
            self.recordings.push(whole(format!("response-{}", kind.name()), latencies.clone()));
        }
    }

    /// By percentile.
    pub(crate) fn curve(&self) -> Curve {
        let service = if self.open_loop { self.service.curve() } else { Vec::new() };
        Curve { response: self.response.curve(), service }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_was_not_held_is_said_plainly() {
        let round = |done: f64| Round {
            round: 2,
            ops_per_s: done,
            offered_ops_per_s: Some(100.0),
            ..Round::default()
        };
        assert_eq!(rate_note(&round(99.0)), None);
        let note = rate_note(&round(83.0)).unwrap();
        assert!(note.contains("could not hold the rate (achieved 0.83 of 100"), "{note}");
        assert_eq!(rate_note(&Round::default()), None);
    }
}
