//! What is measured while events are applied.

use std::time::Duration;

use crate::histogram::Latencies;

/// Gathered over all legs of a run.
#[derive(Debug)]
pub(crate) struct Measures {
    /// One read through the client: from asking to the answer.
    pub(crate) get: Latencies,
    /// One whole update: read, change, write back, acknowledged.
    pub(crate) update: Latencies,
    /// From the barrier to the committed checkpoint.
    pub(crate) checkpoint: Latencies,
    /// Longest time a shard stood still for a barrier, per checkpoint.
    pub(crate) barrier: Latencies,
    /// Time in which no event was issued because those before a barrier had to be applied first.
    pub(crate) drain: Latencies,
    /// Bytes that checkpoints uploaded, before metadata.
    pub(crate) checkpoint_bytes: u64,
    /// Events applied, the replayed ones twice.
    pub(crate) events_applied: u64,
    /// Time spent on applying them.
    pub(crate) applying: Duration,
    /// Most bytes seen in the engine's local folder.
    pub(crate) local_disk_bytes_max: u64,
}

impl Measures {
    /// Nothing measured yet.
    pub(crate) fn new() -> Self {
        Self {
            get: Latencies::new(),
            update: Latencies::new(),
            checkpoint: Latencies::new(),
            barrier: Latencies::new(),
            drain: Latencies::new(),
            checkpoint_bytes: 0,
            events_applied: 0,
            applying: Duration::ZERO,
            local_disk_bytes_max: 0,
        }
    }

    /// A leg has applied this many events in this time.
    pub(crate) fn note_applied(&mut self, events: u64, time: Duration) {
        self.events_applied = self.events_applied.saturating_add(events);
        self.applying = self.applying.saturating_add(time);
    }
}
