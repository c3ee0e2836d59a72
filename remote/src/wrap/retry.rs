//! Repeats what failed in passing, ends what takes too long.
//!
//! ```text
//! call ─> attempt ─ fails in passing ─> pause (jitter) ─> attempt ─ .. ─> answer, or the last error
//!         └ at most attempt_timeout ┘                                    └ at most deadline ┘
//! ```
//!
//! | error | put, get, get_range, head, delete, list | put_if_absent |
//! |---|---|---|
//! | `Unavailable` | repeated | repeated: it says that nothing was applied |
//! | `Truncated` | repeated | repeated |
//! | `InDoubt` | - | never here: see `resolve.rs` |
//! | all others | never | never |
//!
//! Repeats are made here and nowhere below, so tries do not multiply: `object_store`'s own are switched off for the stores that
//! this crate opens. Here, because `object_store` repeats nothing that fails on a local disk or in an embedder's store, and because only
//! here they share one deadline, one seed and one count with all else. The exception are uploads, whose parts only the client below can
//! number: `object_store` repeats their requests, and this file none of them. For a store that knows better how to repeat (a read at
//! another data node), set `retries_max` to 0: its one attempt then has the whole deadline.
//!
//! Invariants:
//! * A server that asks to be left alone (`Retry-After`) is, for at most 30 s at a time; when that is longer than the time for repeats, the
//!   error is passed on, and `patience.rs` waits.
//! * At most `retries_max` repeats; none starts later than `retry_time_max` after the call; all ends by the deadline.
//! * An attempt that is given up is dropped, which cancels it. A put-if-absent given up is in doubt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aquifer_io::{Backoff, now};

use super::layer::{Layer, Request};
use super::operation::{Answer, Operation};
use super::patience::RETRY_AFTER_MAX;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::options::RemoteOptions;
use crate::store::RemoteFuture;
use crate::timer::{Timers, within};

#[derive(Debug)]
pub(crate) struct Retry {
    options: RemoteOptions,
    timers: Timers,
    backoff: Backoff,
    repeats: Arc<AtomicU64>,
}

impl Retry {
    /// Counts its repeats in `repeats`.
    pub(crate) fn new(options: &RemoteOptions, backoff: Backoff, repeats: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self { options: options.clone(), timers: options.timers, backoff, repeats })
    }

    fn deadline(&self, request: &Request) -> Duration {
        match request.operation {
            Operation::List => self.options.deadline,
            _ => self.options.deadline_of(request.moved_bytes_max()),
        }
    }

    /// An eighth more than an HTTP client waits, which can say better what was missing.
    fn attempt_limit(&self, request: &Request, repeats: usize) -> Duration {
        let timeout = self.options.attempt_timeout;
        let limit = timeout + timeout / 8 + self.options.transfer_time(request.moved_bytes_max());
        match request.operation {
            // Repeated below.
            Operation::Upload => self.deadline(request),
            // The only attempt: a store that repeats by itself has the time for it.
            _ if self.options.retries_max == 0 => self.deadline(request),
            // A page of a directory is a walk through all of it: who was too slow once gets longer.
            Operation::List => limit.saturating_mul(1 << repeats.min(8)),
            _ => limit,
        }
    }

    /// How long to wait before the next attempt; none when this error is the last.
    fn next_pause(
        &self,
        operation: Operation,
        error: &RemoteError,
        repeats: usize,
        elapsed: Duration,
    ) -> Option<Duration> {
        let passing = matches!(error.kind(), RemoteErrorKind::Unavailable | RemoteErrorKind::Truncated)
            && operation != Operation::Upload;
        if !passing || repeats >= self.options.retries_max {
            return None;
        }
        let asked = error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
        let pause = self.backoff.pause(repeats).max(asked);
        let mut time_max = self.options.retry_time_max;
        if operation == Operation::Get {
            // How long the object is shows in the attempt, whose deadline is its own: it must end by ours if nothing comes.
            let attempt = self.options.attempt_timeout.min(self.options.deadline / 2);
            time_max = time_max.min(self.options.deadline - attempt);
        }
        (elapsed + pause < time_max).then_some(pause)
    }
}

impl Layer for Retry {
    fn run<T: Answer>(
        self: &Arc<Self>,
        request: Request,
        send: impl Fn() -> RemoteFuture<T> + Send + 'static,
    ) -> RemoteFuture<T> {
        let begun = now();
        let mut attempt = send();
        let retry = Arc::clone(self);
        Box::pin(async move {
            let mut repeats = 0;
            loop {
                let left = retry.deadline(&request).saturating_sub(begun.elapsed());
                let limit = retry.attempt_limit(&request, repeats).min(left);
                let late = || {
                    let cause = format!("no answer within {:.1} s", limit.as_secs_f64());
                    request.error(request.kind_of_doubt(), cause)
                };
                let error = match within(retry.timers, limit, attempt, late).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                let Some(pause) = retry.next_pause(request.operation, &error, repeats, begun.elapsed())
                else {
                    return Err(error);
                };
                retry.timers.wait(pause).await;
                repeats += 1;
                retry.repeats.fetch_add(1, Ordering::Relaxed);
                attempt = send();
            }
        })
    }
}
