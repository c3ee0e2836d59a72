//! How reads that take long are asked for a second time: what `wrap/hedge` does.

use std::time::Duration;

/// When reads are asked for twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeOptions {
    /// Second requests, in percent of the reads of the last minute: 0 to 100. Default 5.
    pub percent_max: u32,
    /// No second request earlier than this after the first, however quick the store. Default 2 ms: sooner, timers and
    /// wakes cost more than the tail.
    pub delay_min: Duration,
}

impl Default for HedgeOptions {
    fn default() -> Self {
        Self { percent_max: 5, delay_min: Duration::from_millis(2) }
    }
}
