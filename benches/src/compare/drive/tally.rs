//! What one measurement counted; threads add up.

use std::time::Duration;

use crate::histogram::Latencies;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Keys read or written in the measured time.
    pub(crate) operations: u64,
    /// The same with those of the warm-up.
    pub(crate) done: u64,
    /// These a second, summed over the threads.
    pub(crate) per_s: f64,
    /// How long it was measured.
    pub(crate) measured: Duration,
    /// Of calls.
    pub(crate) latency: Latencies,
    /// Of calls, from when they really began, in an open loop.
    pub(crate) service: Option<Latencies>,
    pub(crate) checked: u64,
    pub(crate) wrong: u64,
    /// `io_uring` instances that were open in this process at the end, those of the arm alone.
    pub(crate) rings: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            operations: 0,
            done: 0,
            per_s: 0.0,
            measured: Duration::ZERO,
            latency: Latencies::new(),
            service: None,
            checked: 0,
            wrong: 0,
            rings: 0,
        }
    }

    /// Adds what another thread counted at the same time.
    pub(crate) fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.done += other.done;
        self.per_s += other.per_s;
        self.measured = self.measured.max(other.measured);
        self.latency.add(&other.latency);
        if let Some(service) = &other.service {
            self.service.get_or_insert_with(Latencies::new).add(service);
        }
        self.checked += other.checked;
        self.wrong += other.wrong;
        self.rings = self.rings.max(other.rings);
    }

    /// Checks one answer.
    pub(crate) fn check(&mut self, number: u64, found: Option<&[u8]>) {
        self.checked += 1;
        let right = found.is_some_and(|value| crate::load::record::version_of(value, number).is_some());
        self.wrong += u64::from(!right);
    }
}

/// `io_uring` instances of this process.
pub(crate) fn rings_open() -> u64 {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let is_ring = |path: std::path::PathBuf| path.as_os_str() == "anon_inode:[io_uring]";
    entries
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter(|path| is_ring(path.clone()))
        .count() as u64
}
