//! What a server does to its clients, as its user says it.

use crate::shape::{FaultPlan, LatencyProfile};

/// What the server does to its clients. The default is nothing: it answers as fast as it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerShape {
    /// How long requests take at least.
    pub latency: LatencyProfile,
    /// What goes wrong, and how often. A stall lasts 30 s; a slow close comes 1 s after the answer.
    pub faults: FaultPlan,
    /// Bytes per second of all connections together, each way. 0: no limit.
    pub bandwidth_bytes_per_s: u64,
    /// Bytes per second of each connection, each way. 0: no limit.
    pub connection_bandwidth_bytes_per_s: u64,
    /// Of all draws.
    pub seed: u64,
}

impl ServerShape {
    /// True when it changes nothing: requests then go the straight way.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self { seed: self.seed, ..Self::default() }
    }
}
