//! Latencies as they were recorded, interval by interval: what goes into HdrHistogram logs and not into the JSON.

use std::time::Duration;

use crate::histogram::Latencies;

/// The latencies of one round of a phase, or of an arm of a row.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    /// Name of the phase; for an arm, of the row and the arm.
    pub(crate) name: String,
    /// Counts from one.
    pub(crate) round: u32,
    /// Which latencies, as in `response`, `service`, `response-get`.
    pub(crate) what: String,
    /// In order of time.
    pub(crate) intervals: Vec<Interval>,
}

/// What was recorded in one stretch of time.
#[derive(Debug, Clone)]
pub(crate) struct Interval {
    /// Its beginning, in milliseconds since 1970.
    pub(crate) began_unix_ms: u64,
    /// Its length.
    pub(crate) length: Duration,
    /// Latencies of the operations that ended in it.
    pub(crate) latencies: Latencies,
}
