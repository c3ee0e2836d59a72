//! What a shard counts.

use std::cell::Cell;

/// What only counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) reads_immediate: Cell<u64>,
    pub(crate) reads_waited: Cell<u64>,
    pub(crate) writes: Cell<u64>,
    pub(crate) write_stalls: Cell<u64>,
    pub(crate) flushes: Cell<u64>,
    pub(crate) flushed_bytes: Cell<u64>,
    pub(crate) compactions: Cell<u64>,
    pub(crate) compacted_bytes: Cell<u64>,
    pub(crate) copied_bytes: Cell<u64>,
    pub(crate) compaction_errors: Cell<u64>,
}

pub(crate) fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}
