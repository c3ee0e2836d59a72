//! What one thread saw of one measurement.
//!
//! ```text
//! |-- warm-up --|------------- measured -------------|
//!      o    o      o    o   o    o   o    o   o    o    o <- ended late: its latency counts, it does not count as done in time
//! ```
//! Latencies go into a histogram of the running second, which is added to those of the whole when the second is over: one record an
//! operation.

use std::sync::Arc;
use std::time::Duration;

use super::live::Live;
use crate::histogram::Latencies;
use crate::load::mix::Kind;

const SECOND: Duration = Duration::from_secs(1);

/// Numbers of a measurement; threads add up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    kinds: Vec<(Kind, KindMeter)>,
    /// Operations that ended in the measured time; a batch counts as many as it has keys.
    pub(crate) operations: u64,
    /// Ages of the operations of an open loop that were due and that nobody had time to begin.
    unstarted_ages: Option<Latencies>,
    /// How many these are.
    pub(crate) unstarted: u64,
    /// Answers that were wrong.
    pub(crate) mismatches: u64,
    /// Answers that were compared with what was written.
    pub(crate) checked: u64,
    /// Reads.
    pub(crate) reads: u64,
    /// Reads that found a value.
    pub(crate) found: u64,
    /// Keys and values read, in bytes.
    pub(crate) read_bytes: u64,
    /// Keys and values written, in bytes.
    pub(crate) written_bytes: u64,
}

/// One kind's latencies.
#[derive(Clone, Debug)]
struct KindMeter {
    /// From when it was due.
    response: Latencies,
    /// From when it began; in a closed loop that is the same, and nothing is here.
    service: Latencies,
}

impl Meter {
    fn kind_mut(&mut self, kind: Kind) -> &mut KindMeter {
        let at = self.kinds.iter().position(|(known, _)| *known == kind).unwrap_or(self.kinds.len());
        if at == self.kinds.len() {
            self.kinds.push((kind, KindMeter { response: Latencies::new(), service: Latencies::new() }));
        }
        let last = self.kinds.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was just found or pushed")]
        &mut self.kinds[at.min(last)].1
    }

    /// Adds what another thread saw.
    pub(crate) fn add(&mut self, other: &Self) {
        for (kind, others) in &other.kinds {
            let own = self.kind_mut(*kind);
            own.response.add(&others.response);
            own.service.add(&others.service);
        }
        if let Some(ages) = &other.unstarted_ages {
            self.unstarted_ages.get_or_insert_with(Latencies::new).add(ages);
        }
        self.operations += other.operations;
        self.unstarted += other.unstarted;
        self.mismatches += other.mismatches;
        self.checked += other.checked;
        self.reads += other.reads;
        self.found += other.found;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
    }

    /// Records operations that never began.
    pub(crate) fn add_unstarted(&mut self, many: u64, ages: &Latencies) {
        self.unstarted += many;
        self.unstarted_ages.get_or_insert_with(Latencies::new).add(ages);
    }

    /// Kinds that were seen, with the latencies that their callers saw.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (Kind, &Latencies)> {
        let seen = self.kinds.iter().filter(|(_, meter)| !meter.response.is_empty());
        seen.map(|(kind, meter)| (*kind, &meter.response))
    }

    /// What callers saw: all kinds together, those that never began with their age.
    pub(crate) fn response(&self) -> Latencies {
        let mut all = self.unstarted_ages.clone().unwrap_or_else(Latencies::new);
        self.kinds.iter().for_each(|(_, meter)| all.add(&meter.response));
        all
    }

    /// What the store took for them, without the wait for a free lane.
    pub(crate) fn service(&self) -> Latencies {
        let mut all = Latencies::new();
        for (_, meter) in &self.kinds {
            all.add(if meter.service.is_empty() { &meter.response } else { &meter.service });
        }
        all
    }
}

/// Fills a meter of one thread.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) meter: Meter,
    live: Arc<Live>,
    warm_up: Duration,
    measured: Duration,
    /// The running second's, by the place of each kind.
    running: Vec<Option<Latencies>>,
    running_operations: u64,
    /// Which second runs, from the start of the measured time.
    second: u64,
    /// When it ends, from the start of the thread.
    roll_at: Duration,
    is_warm: bool,
}

impl Recorder {
    pub(crate) fn new(live: Arc<Live>, warm_up: Duration, measured: Duration) -> Self {
        let is_warm = warm_up.is_zero();
        let running = Kind::all().map(|_| None).collect();
        Self {
            meter: Meter::default(),
            live,
            warm_up,
            measured,
            running,
            running_operations: 0,
            second: 0,
            roll_at: if is_warm { SECOND } else { warm_up.min(SECOND) },
            is_warm,
        }
    }

    /// Operations of one kind that took so long, from when they were due and, if that is another moment, from when they began, and ended so
    /// long after the thread's start.
    pub(crate) fn record(
        &mut self,
        kind: Kind,
        many: u64,
        response: Duration,
        service: Option<Duration>,
        ended: Duration,
    ) {
        if ended >= self.roll_at {
            self.roll(ended);
        }
        if let Some(running) = self.running.get_mut(kind.index()) {
            running.get_or_insert_with(Latencies::new).record_many(response, many);
        }
        self.running_operations += many;
        if self.is_warm {
            if ended < self.warm_up + self.measured {
                self.meter.operations += many;
            }
            if let Some(service) = service {
                self.meter.kind_mut(kind).service.record_many(service, many);
            }
        }
    }

    /// Ends the running second.
    fn roll(&mut self, now: Duration) {
        self.flush();
        if !self.is_warm {
            // Counters of the store are read from here on too. Wrong answers count from the start.
            self.meter.reads = 0;
            self.meter.found = 0;
            self.meter.read_bytes = 0;
            self.meter.written_bytes = 0;
        }
        self.is_warm = now >= self.warm_up;
        if !self.is_warm {
            self.roll_at = self.warm_up.min(Duration::from_secs(now.as_secs() + 1));
            return;
        }
        let since = now.saturating_sub(self.warm_up);
        self.second = since.as_secs();
        self.roll_at = self.warm_up + Duration::from_secs(self.second + 1);
    }

    fn flush(&mut self) {
        let mut all: Option<Latencies> = None;
        for (index, running) in self.running.iter_mut().enumerate() {
            let Some(latencies) = running.as_mut().filter(|latencies| !latencies.is_empty()) else {
                continue;
            };
            if self.is_warm {
                if let Some(kind) = Kind::all().nth(index) {
                    self.meter.kind_mut(kind).response.add(latencies);
                }
                all.get_or_insert_with(Latencies::new).add(latencies);
            }
            latencies.clear();
        }
        match all {
            Some(all) => self.live.add(self.second, self.running_operations, &all),
            None => self.live.add_warm_up(self.running_operations),
        }
        self.running_operations = 0;
    }

    /// The whole.
    pub(crate) fn finish(mut self) -> Meter {
        self.flush();
        self.meter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn seconds_warm_up_and_late_ends() {
        let live = Arc::new(Live::default());
        let mut recorder = Recorder::new(Arc::clone(&live), 500 * MS, 1500 * MS);
        for (ended_ms, took_ms) in [(100, 100), (499, 1), (500, 10), (1499, 20), (1500, 30), (2100, 900)] {
            recorder.record(Kind::Get, 1, took_ms * MS, None, ended_ms * MS);
        }
        let meter = recorder.finish();
        assert_eq!(meter.operations, 3, "the last one ended late");
        assert_eq!(meter.response().summary().count, 4, "but has a latency");
        assert!((meter.response().summary().max_us / 900_000.0 - 1.0).abs() < 0.01);
        assert_eq!(meter.service().summary().count, 4);
        let seconds: Vec<_> = live.seconds().iter().map(|second| (second.index, second.operations)).collect();
        assert_eq!(seconds, [(0, 2), (1, 2)]);
    }

    #[test]
    fn response_and_service_are_kept_apart_and_threads_add_up() {
        let live = Arc::new(Live::default());
        let one = |many| {
            let mut recorder = Recorder::new(Arc::clone(&live), Duration::ZERO, 1000 * MS);
            recorder.record(Kind::Put, many, 50 * MS, Some(MS), 60 * MS);
            recorder.finish()
        };
        let mut all = one(1);
        all.add(&one(9));
        assert_eq!((all.operations, all.kinds().count()), (10, 1));
        assert!((all.response().summary().p50_us / 50_000.0 - 1.0).abs() < 0.01);
        assert!((all.service().summary().p50_us / 1_000.0 - 1.0).abs() < 0.01);
    }
}
