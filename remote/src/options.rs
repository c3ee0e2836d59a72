//! How a store is opened and how its requests are made.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use object_store::{BackoffConfig, RetryConfig};

use crate::error::{RemoteError, RemoteErrorKind};

/// How requests are made. Plain data; the defaults bring a dead server to light within ten seconds.
#[derive(Clone)]
pub struct RemoteOptions {
    /// Threads of the store's own runtime. Default 1.
    pub http_threads: usize,
    /// Requests (and so connections) at once; more wait in line. Default 256.
    pub requests_in_flight_max: usize,
    /// Longest wait for a connection. Default 3 s.
    pub connect_timeout: Duration,
    /// Longest wait of one attempt for the first byte of the answer, and for each next one. Default 4 s.
    pub attempt_timeout: Duration,
    /// Repeats of one request. Default 5.
    pub retries_max: usize,
    /// No repeat starts later than this after the request did. Default 6 s.
    pub retry_time_max: Duration,
    /// Longest life of one request with its repeats, without the time to move its bytes. Default 9.5 s.
    pub deadline: Duration,
    /// Slowest transfer that is waited for, in bytes per second: lengthens deadlines of large objects. Default 256 KiB/s.
    pub transfer_bytes_per_s_min: u64,
    /// Settings by the names of the `AWS_*` variables, which they override. Values are never shown.
    pub settings: BTreeMap<String, String>,
    /// Take the `AWS_*` variables of the process. Default true.
    pub environment: bool,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            http_threads: 1,
            requests_in_flight_max: 256,
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(4),
            retries_max: 5,
            retry_time_max: Duration::from_secs(6),
            deadline: Duration::from_millis(9_500),
            transfer_bytes_per_s_min: 256 << 10,
            settings: BTreeMap::new(),
            environment: true,
        }
    }
}

impl fmt::Debug for RemoteOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RemoteOptions")
            .field("http_threads", &self.http_threads)
            .field("requests_in_flight_max", &self.requests_in_flight_max)
            .field("connect_timeout", &self.connect_timeout)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("retries_max", &self.retries_max)
            .field("retry_time_max", &self.retry_time_max)
            .field("deadline", &self.deadline)
            .field("transfer_bytes_per_s_min", &self.transfer_bytes_per_s_min)
            .field("settings", &self.settings.keys())
            .field("environment", &self.environment)
            .finish()
    }
}

impl RemoteOptions {
    /// Checks the numbers.
    ///
    /// # Errors
    /// Kind `Invalid` that names the option.
    pub fn validate(&self) -> Result<(), RemoteError> {
        let wrong = |what: &str| Err(RemoteError::new(RemoteErrorKind::Invalid, "open").with_cause(what));
        if self.http_threads == 0 || self.http_threads > 64 {
            return wrong("http_threads is not within 1..=64");
        }
        if self.requests_in_flight_max == 0 || self.requests_in_flight_max > 65_536 {
            return wrong("requests_in_flight_max is not within 1..=65536");
        }
        if self.transfer_bytes_per_s_min == 0 {
            return wrong("transfer_bytes_per_s_min is 0");
        }
        if self.connect_timeout.is_zero() || self.attempt_timeout.is_zero() || self.deadline.is_zero() {
            return wrong("a timeout is 0");
        }
        Ok(())
    }

    /// Time to move that many bytes at the slowest speed waited for.
    pub(crate) fn transfer_time(&self, bytes: u64) -> Duration {
        Duration::from_millis(
            bytes.saturating_mul(1_000).checked_div(self.transfer_bytes_per_s_min).unwrap_or(0),
        )
    }

    pub(crate) fn deadline_of(&self, bytes: u64) -> Duration {
        // A day is the same as for ever and keeps timers within their range.
        (self.deadline + self.transfer_time(bytes)).min(Duration::from_secs(86_400))
    }

    /// A page may take several requests, as a store lists at most 1,000 names in one.
    pub(crate) fn deadline_of_list(&self) -> Duration {
        self.deadline * 3
    }

    pub(crate) fn retry(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(1),
                base: 2.0,
            },
            max_retries: self.retries_max,
            retry_timeout: self.retry_time_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_deadlines_do_not_overflow() {
        let options = RemoteOptions::default();
        assert_eq!(options.deadline_of(0), options.deadline);
        assert_eq!(options.deadline_of(u64::MAX), Duration::from_secs(86_400));
    }
}
