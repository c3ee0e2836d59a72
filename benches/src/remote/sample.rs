//! The numbers of one contender in one round.

use serde::Serialize;

use crate::histogram::LatencySummary;
use crate::measure::meter::Meter;

/// See the module. What was not measured is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Requests a second, or MiB a second.
    pub(super) rate: Option<f64>,
    /// Median latency.
    pub(super) p50_us: Option<f64>,
    /// 99th percentile.
    pub(super) p99_us: Option<f64>,
    /// 99.9th percentile.
    pub(super) p99_9_us: Option<f64>,
    /// Processor time of the client's process per request, or per MiB.
    pub(super) client_cpu_us: Option<f64>,
    /// The same of the server's process.
    pub(super) server_cpu_us: Option<f64>,
    /// Requests beyond one for each read, in percent of the reads.
    pub(super) extra_requests_percent: Option<f64>,
}

impl Sample {
    /// What a meter has read; nothing when it was not ended.
    pub(super) fn of_meter(meter: &Meter, with_server: bool) -> Self {
        let Some(reading) = meter.reading() else { return Self::default() };
        Self {
            rate: Some(reading.per_s),
            client_cpu_us: Some(reading.cpu_us_per_operation),
            server_cpu_us: with_server.then_some(reading.beside_cpu_us_per_operation),
            ..Self::of_latencies(reading.latency)
        }
    }

    /// Latencies alone.
    pub(super) fn of_latencies(latency: LatencySummary) -> Self {
        Self {
            p50_us: Some(latency.p50_us),
            p99_us: Some(latency.p99_us),
            p99_9_us: Some(latency.p99_9_us),
            ..Self::default()
        }
    }
}
