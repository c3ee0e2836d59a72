//! What an executor thread has done so far, counted where it happens.

use std::cell::Cell;

/// Counts of one executor thread since it started, and the state of its buffers now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoMetrics {
    /// Finished reads of files.
    pub reads: u64,
    /// Bytes that these reads brought.
    pub read_bytes: u64,
    /// Finished writes of files.
    pub writes: u64,
    /// Bytes that these writes took.
    pub written_bytes: u64,
    /// Operations with the kernel or the thread pool now, also those whose future was dropped.
    pub operations_in_flight: u64,
    /// Bytes of buffers handed out now, as allocated.
    pub buffer_bytes: u64,
    /// Bytes of buffers kept for reuse now.
    pub buffer_idle_bytes: u64,
    /// Hard limit on the two together.
    pub buffer_bytes_max: u64,
}

/// Counters that only grow.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) reads: Cell<u64>,
    pub(crate) read_bytes: Cell<u64>,
    pub(crate) writes: Cell<u64>,
    pub(crate) written_bytes: Cell<u64>,
}

pub(crate) fn add(counter: &Cell<u64>, amount: u64) {
    counter.set(counter.get().saturating_add(amount));
}
