//! The numbers of one measurement.

use serde::Serialize;

use super::shape::Shape;
use crate::measure::meter::Reading;

/// One shape, measured once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// Operations measured.
    pub(crate) operations: u64,
    /// Operations a second.
    pub(crate) iops: f64,
    /// Bytes of these a second.
    pub(crate) bytes_per_s: f64,
    /// Median latency, from the call to the result.
    pub(crate) p50_us: f64,
    /// 99th percentile.
    pub(crate) p99_us: f64,
    /// 99.9th percentile.
    pub(crate) p99_9_us: f64,
    /// Processor time, user and system, of all threads that took part, per operation.
    pub(crate) cpu_us_per_operation: f64,
}

impl Sample {
    /// What a meter has read; zeros when it has not.
    pub(super) fn new(reading: Option<Reading>, shape: &Shape) -> Self {
        let Some(reading) = reading else { return Self::default() };
        Self {
            operations: reading.operations,
            iops: reading.per_s,
            bytes_per_s: reading.per_s * f64::from(shape.block_bytes),
            p50_us: reading.latency.p50_us,
            p99_us: reading.latency.p99_us,
            p99_9_us: reading.latency.p99_9_us,
            cpu_us_per_operation: reading.cpu_us_per_operation,
        }
    }
}
