//! How often an operation is tried again below the retry wrapper, and how long it waits before that.

use std::time::Duration;

use aquifer_io::Backoff;
use tokio::time::{Instant, sleep};

use crate::options::RemoteOptions;

/// How often and how long an operation may be tried again.
#[derive(Debug)]
pub(crate) struct Repeats {
    made: usize,
    most: usize,
    until: Instant,
    backoff: Backoff,
}

impl Repeats {
    pub(crate) fn new(options: &RemoteOptions) -> Self {
        Self {
            made: 0,
            most: options.retries_max,
            until: Instant::now() + options.retry_time_max,
            backoff: Backoff::new(options.retry_pause, options.retry_pause_max),
        }
    }

    /// Waits before the next attempt; false when the operation has had its chances.
    pub(crate) async fn again(&mut self) -> bool {
        let pause = self.backoff.pause(self.made);
        let may = self.take(pause);
        if may {
            sleep(pause).await;
        }
        may
    }

    fn take(&mut self, pause: Duration) -> bool {
        let may = self.made < self.most && Instant::now() + pause <= self.until;
        self.made += usize::from(may);
        may
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
