//! How a store is shaped.

use super::fault::FaultRates;
use super::latency::LatencyProfile;

/// How a store is shaped on this side of the wire. The default leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShapeOptions {
    /// How long requests take on top.
    pub latency: LatencyProfile,
    /// Bytes per second, both ways and all requests together; 0 is no limit.
    pub bandwidth_bytes_per_s: u64,
    /// What goes wrong, and how often.
    pub faults: FaultRates,
}

impl ShapeOptions {
    /// True when nothing is shaped.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
