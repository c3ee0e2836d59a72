//! What one thread saw of one measurement.

use std::time::Duration;

use super::mix::Kind;
use crate::histogram::Latencies;

/// Latencies by kind of operation, and counts by second.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    kinds: Vec<(Kind, Latencies)>,
    /// Operations that ended in each second of the measurement.
    pub(crate) by_second: Vec<u64>,
    /// Answers that were wrong.
    pub(crate) mismatches: u64,
    /// Reads that found a value.
    pub(crate) found: u64,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let kinds = Kind::all().map(|kind| (kind, Latencies::new())).collect();
        Self { kinds, by_second: Vec::new(), mismatches: 0, found: 0 }
    }

    /// One operation that took so long and ended so long after the start of the measurement.
    pub(crate) fn record(&mut self, kind: Kind, took: Duration, ended: Duration) {
        if let Some((_, latencies)) = self.kinds.get_mut(kind.index()) {
            latencies.record(took);
        }
        let second = usize::try_from(ended.as_secs()).unwrap_or(usize::MAX).min(86_400);
        if second >= self.by_second.len() {
            self.by_second.resize(second + 1, 0);
        }
        if let Some(count) = self.by_second.get_mut(second) {
            *count += 1;
        }
    }

    /// Adds what another thread saw.
    pub(crate) fn add(&mut self, other: &Self) {
        for ((_, own), (_, others)) in self.kinds.iter_mut().zip(&other.kinds) {
            own.add(others);
        }
        self.by_second.resize(self.by_second.len().max(other.by_second.len()), 0);
        for (own, others) in self.by_second.iter_mut().zip(&other.by_second) {
            *own += others;
        }
        self.mismatches += other.mismatches;
        self.found += other.found;
    }

    /// Kinds that were seen, with their latencies.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (Kind, &Latencies)> {
        self.kinds
            .iter()
            .filter(|(_, latencies)| !latencies.is_empty())
            .map(|(kind, latencies)| (*kind, latencies))
    }

    /// All kinds together.
    pub(crate) fn all(&self) -> Latencies {
        let mut all = Latencies::new();
        for (_, latencies) in &self.kinds {
            all.add(latencies);
        }
        all
    }
}
