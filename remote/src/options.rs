//! How a store is opened and how its requests are made.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use object_store::{BackoffConfig, RetryConfig};

use crate::error::{RemoteError, RemoteErrorKind};
use crate::hedge_options::HedgeOptions;
use crate::on_wait::OnWait;
use crate::prices::Prices;
use crate::shape::options::ShapeOptions;
use crate::timer::Timers;

/// A day is the same as for ever and keeps timers, and sums of times, within their range.
const TIME_MAX: Duration = Duration::from_secs(86_400);

/// How requests are made. Plain data; the defaults bring a dead server to light within ten seconds.
#[derive(Clone)]
pub struct RemoteOptions {
    /// Threads of the store's own runtime. Default 1.
    pub http_threads: usize,
    /// Requests (and so connections) at once that somebody waits for; more wait in line. Default 256.
    pub requests_in_flight_max: usize,
    /// Bytes of them at once; more wait in line. Default 256 MiB.
    pub bytes_in_flight_max: u64,
    /// Requests of the background at once, besides those. Default 32.
    pub background_requests_in_flight_max: usize,
    /// Bytes of them at once. Default 128 MiB.
    pub background_bytes_in_flight_max: u64,
    /// Longest wait for a connection. Default 3 s.
    pub connect_timeout: Duration,
    /// Longest wait of one attempt for the first byte of the answer, and for each next one; with the time to move its bytes,
    /// the longest life of one attempt. Default 4 s.
    pub attempt_timeout: Duration,
    /// Repeats of one request. Default 5.
    pub retries_max: usize,
    /// No repeat starts later than this after the request did. Default 6 s.
    pub retry_time_max: Duration,
    /// The first pause before a repeat is drawn from 0 to this; the span doubles with each. Default 50 ms.
    pub retry_pause: Duration,
    /// Longest pause before a repeat. Default 1 s.
    pub retry_pause_max: Duration,
    /// Longest life of one request with its repeats, without the time to move its bytes. Default 9.5 s.
    pub deadline: Duration,
    /// Longest time that a request is repeated while the store, which has worked before, answers that it cannot now (500, 503
    /// `SlowDown`, 429, a standby namenode). 0 for none. Default 5 min, as a stream had better wait than end; reads that must
    /// answer sooner are given a deadline by their caller.
    pub patience: Duration,
    /// The same while it does not answer at all: no connection, a reset one, silence. Default 0: `retry_time_max` and `deadline`
    /// alone, as a store that is gone should be told soon.
    pub patience_silent: Duration,
    /// The caller has seen this store work: patience from the first request on. Default false.
    pub has_worked: bool,
    /// Who is told that requests wait. Default nobody.
    pub on_wait: OnWait,
    /// Slowest transfer that is waited for, in bytes per second: lengthens deadlines of large objects. Default 256 KiB/s.
    pub transfer_bytes_per_s_min: u64,
    /// Second requests for slow reads; none switches them off. Default on, at most 5 % more reads.
    pub hedge: Option<HedgeOptions>,
    /// Read back also after a put-if-absent that plainly found the name taken. Only for a store that repeats by itself below the
    /// wrappers, and so may take its own success for another writer's. Default false.
    pub exists_read_back: bool,
    /// What requests and bytes cost. Default nothing.
    pub prices: Prices,
    /// Latency, bandwidth and faults added on this side of the wire. Default none.
    pub shape: ShapeOptions,
    /// Who keeps the time of repeats, deadlines, second requests and shaping. Default a thread of the process.
    pub timers: Timers,
    /// The seed of shaping; none takes a random one. Pauses follow the chance of the thread that waits.
    pub seed: Option<u64>,
    /// Settings by the names of the variables of the URL's kind of store (`AWS_*`, `GOOGLE_*`, `AZURE_*`, `AQUIFER_*`), which
    /// they override. Values are never shown.
    pub settings: BTreeMap<String, String>,
    /// Take these variables of the process too. Default true.
    pub environment: bool,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            http_threads: 1,
            requests_in_flight_max: 256,
            bytes_in_flight_max: 256 << 20,
            background_requests_in_flight_max: 32,
            background_bytes_in_flight_max: 128 << 20,
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(4),
            retries_max: 5,
            retry_time_max: Duration::from_secs(6),
            retry_pause: Duration::from_millis(50),
            retry_pause_max: Duration::from_secs(1),
            deadline: Duration::from_millis(9_500),
            patience: Duration::from_secs(300),
            patience_silent: Duration::ZERO,
            has_worked: false,
            on_wait: OnWait::default(),
            transfer_bytes_per_s_min: 256 << 10,
            hedge: Some(HedgeOptions::default()),
            exists_read_back: false,
            prices: Prices::NONE,
            shape: ShapeOptions::default(),
            timers: Timers::Thread,
            seed: None,
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
            .field("bytes_in_flight_max", &self.bytes_in_flight_max)
            .field("background_requests_in_flight_max", &self.background_requests_in_flight_max)
            .field("background_bytes_in_flight_max", &self.background_bytes_in_flight_max)
            .field("connect_timeout", &self.connect_timeout)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("retries_max", &self.retries_max)
            .field("retry_time_max", &self.retry_time_max)
            .field("retry_pause", &self.retry_pause)
            .field("retry_pause_max", &self.retry_pause_max)
            .field("deadline", &self.deadline)
            .field("patience", &self.patience)
            .field("patience_silent", &self.patience_silent)
            .field("has_worked", &self.has_worked)
            .field("on_wait", &self.on_wait)
            .field("transfer_bytes_per_s_min", &self.transfer_bytes_per_s_min)
            .field("hedge", &self.hedge)
            .field("exists_read_back", &self.exists_read_back)
            .field("prices", &self.prices)
            .field("shape", &self.shape)
            .field("timers", &self.timers)
            .field("seed", &self.seed)
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
        let background = self.background_requests_in_flight_max;
        if background == 0 || background > 65_536 {
            return wrong("background_requests_in_flight_max is not within 1..=65536");
        }
        if self.bytes_in_flight_max == 0 || self.background_bytes_in_flight_max == 0 {
            return wrong("a limit of bytes in flight is 0");
        }
        if self.retries_max > 100 {
            return wrong("retries_max is above 100");
        }
        if self.hedge.is_some_and(|hedge| hedge.percent_max > 100) {
            return wrong("hedge.percent_max is above 100");
        }
        if self.shape.faults.sum() > u64::from(crate::shape::RATE_UNIT) {
            return wrong("the fault rates together are more than every request");
        }
        if self.patience.max(self.patience_silent) > Duration::from_secs(7 * 86_400) {
            return wrong("patience or patience_silent is above a week");
        }
        if self.transfer_bytes_per_s_min == 0 {
            return wrong("transfer_bytes_per_s_min is 0");
        }
        if self.connect_timeout.is_zero() || self.attempt_timeout.is_zero() || self.deadline.is_zero() {
            return wrong("a timeout is 0");
        }
        let times = [
            self.connect_timeout,
            self.attempt_timeout,
            self.deadline,
            self.retry_time_max,
            self.retry_pause,
            self.retry_pause_max,
        ];
        if times.into_iter().any(|time| time > TIME_MAX) {
            return wrong("a timeout or pause is above a day, which is the same as for ever");
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
        self.deadline.saturating_add(self.transfer_time(bytes)).min(TIME_MAX)
    }

    /// A page may take several requests, as a store lists at most 1,000 names in one: after this time what was found is handed out,
    /// and the caller asks for the rest.
    pub(crate) fn list_time(&self) -> Duration {
        self.attempt_timeout.min(self.deadline / 2)
    }

    /// Repeats of the HTTP client: none, as the retry wrapper makes them (see `wrap/retry.rs`).
    pub(crate) fn retry(&self) -> RetryConfig {
        RetryConfig { max_retries: 0, ..self.upload_retry() }
    }

    /// Repeats of the HTTP client for parts of uploads, which it alone can number.
    pub(crate) fn upload_retry(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: self.retry_pause,
                max_backoff: self.retry_pause_max,
                base: 2.0,
            },
            max_retries: self.retries_max,
            retry_timeout: self.retry_time_max,
        }
    }

    /// Requests at once on the wire, of all classes.
    pub(crate) fn requests_in_all_max(&self) -> usize {
        self.requests_in_flight_max.saturating_add(self.background_requests_in_flight_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_deadlines_do_not_overflow() {
        for set in [
            |options: &mut RemoteOptions| options.deadline = Duration::MAX,
            |options: &mut RemoteOptions| options.attempt_timeout = Duration::MAX,
            |options: &mut RemoteOptions| options.retry_pause_max = Duration::MAX,
        ] {
            let mut options = RemoteOptions::default();
            set(&mut options);
            assert!(options.validate().unwrap_err().to_string().contains("above a day"));
        }
        let options = RemoteOptions::default();
        assert_eq!(options.deadline_of(0), options.deadline);
        assert_eq!(options.deadline_of(u64::MAX), Duration::from_secs(86_400));
    }
}
