//! How often an operation is tried again below the retry wrapper, and how long it waits before that.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::options::RemoteOptions;

/// First wait before a repeat; each next one is twice as long.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// Longest wait before a repeat.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// How often and how long an operation may be tried again.
#[derive(Debug)]
pub(crate) struct Repeats {
    left: usize,
    until: Instant,
    backoff: Duration,
}

impl Repeats {
    pub(crate) fn new(options: &RemoteOptions) -> Self {
        Self {
            left: options.retries_max,
            until: Instant::now() + options.retry_time_max,
            backoff: BACKOFF_FIRST,
        }
    }

    /// Waits, exponentially longer each time, with full jitter (see `wrap/backoff.rs`); false when the operation has had its chances.
    pub(crate) async fn again(&mut self) -> bool {
        let longest = u64::try_from(self.backoff.as_micros()).unwrap_or(u64::MAX).max(1);
        let wait = Duration::from_micros(aquifer_io::random_u64() % longest);
        if !self.take(wait) {
            return false;
        }
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        sleep(wait).await;
        true
    }

    fn take(&mut self, wait: Duration) -> bool {
        if self.left == 0 || Instant::now() + wait > self.until {
            return false;
        }
        self.left -= 1;
        true
    }
}

/// What our own protocols need besides.
#[cfg(any(feature = "webdav", feature = "webhdfs"))]
impl Repeats {
    /// Repeats an attempt while its trouble is passing and there are chances left; the last result.
    pub(crate) async fn steadily<T, E, F: Future<Output = Result<T, E>>>(
        mut self,
        is_passing: impl Fn(&E) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, E> {
        loop {
            match attempt().await {
                Err(trouble) if is_passing(&trouble) => {
                    if !self.again().await {
                        return Err(trouble);
                    }
                }
                done => return done,
            }
        }
    }

    /// Takes one of the chances without a wait.
    #[cfg(feature = "webhdfs")]
    pub(crate) fn at_once(&mut self) -> bool {
        self.take(Duration::ZERO)
    }
}
