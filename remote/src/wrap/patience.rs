//! Waits for a store that has worked and now answers that it cannot.
//!
//! ```text
//! request ─> attempt with its repeats and deadline (retry.rs) ─ answered 500, 503 SlowDown, 429 … ─> pause ─> attempt ─> ..
//!                                                             └ anything else: passed on                └ at most `patience` ┘
//! ```
//!
//! A server that says "not now" is there, and will be well again: whoever streams wants to wait. A server that says nothing may be gone,
//! or the address wrong: that is told soon, unless `patience_silent` says otherwise. And a store that never answered well is no store
//! to wait for: who opens one wants to know within seconds.
//!
//! Invariants:
//! * Nothing is repeated that may have been applied and must not be applied twice: a put-if-absent in doubt is passed on (`resolve.rs`).
//! * No place in the line (`limit.rs`) is held during a pause.
//! * Whoever waits is told: at once, and again every ten seconds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aquifer_io::{Backoff, Instant, now};

use super::layer::{Layer, Request};
use super::operation::{Answer, Operation};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::on_wait::OnWait;
use crate::options::RemoteOptions;
use crate::store::RemoteFuture;
use crate::timer::Timers;

/// The span from which the first pause is drawn; it doubles with each.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// A server may ask to be left alone, but not for longer than this at a time.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// How often it is told that somebody waits.
const NOTICE_EVERY: Duration = Duration::from_secs(10);

/// See the module. One for all requests of a store.
#[derive(Debug)]
pub(crate) struct Patience {
    answered_max: Duration,
    silent_max: Duration,
    timers: Timers,
    backoff: Backoff,
    has_worked: AtomicBool,
    store: String,
    on_wait: OnWait,
    outage: Mutex<Option<Outage>>,
}

/// The time since the store has not answered well.
#[derive(Debug)]
struct Outage {
    began: Instant,
    told: Instant,
}

impl Patience {
    pub(crate) fn new(options: &RemoteOptions, store: String) -> Arc<Self> {
        Arc::new(Self {
            answered_max: options.patience,
            silent_max: options.patience_silent,
            timers: options.timers,
            backoff: Backoff::new(PAUSE, PAUSE_MAX),
            has_worked: AtomicBool::new(options.has_worked),
            store,
            on_wait: options.on_wait.clone(),
            outage: Mutex::new(None),
        })
    }

    /// How long a request that ended with this error is repeated, counted from its beginning.
    pub(crate) fn limit(&self, operation: Operation, error: &RemoteError) -> Duration {
        let passing = error.kind() == RemoteErrorKind::Unavailable && operation != Operation::Upload;
        match error.status() {
            _ if !passing || !self.has_worked.load(Ordering::Relaxed) => Duration::ZERO,
            Some(_) => self.answered_max,
            None => self.silent_max,
        }
    }

    /// The same of a put-if-absent that is in doubt.
    pub(crate) fn limit_of_doubt(&self, lost: &RemoteError) -> Duration {
        self.limit(Operation::PutIfAbsent, &lost.clone().with_kind(RemoteErrorKind::Unavailable))
    }

    /// The pause before the next attempt.
    fn pause(&self, repeats: usize, error: &RemoteError) -> Duration {
        let asked = error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
        self.backoff.pause(repeats).max(asked)
    }

    fn outage(&self) -> std::sync::MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store has answered well.
    fn works(&self) {
        if !self.has_worked.load(Ordering::Relaxed) {
            self.has_worked.store(true, Ordering::Relaxed);
        }
    }

    fn tell_waiting(&self, error: &RemoteError, since: Instant, limit: Duration) {
        let elapsed = {
            let mut outage = self.outage();
            let now = now();
            match &mut *outage {
                Some(outage) if now.duration_since(outage.told) < NOTICE_EVERY => return,
                Some(outage) => {
                    outage.told = now;
                    now.duration_since(outage.began)
                }
                none => {
                    *none = Some(Outage { began: since, told: now });
                    now.duration_since(since)
                }
            }
        };
        if let Some(tell) = self.on_wait.listener() {
            let cause = if error.cause().is_empty() { "it does not answer" } else { error.cause() };
            let option = if error.status().is_some() { "patience" } else { "patience_silent" };
            tell(&format!(
                "the store at {}: {cause}, since {:.0} s; waiting, at most {:.0} s (option {option})",
                self.store,
                elapsed.as_secs_f64(),
                limit.as_secs_f64(),
            ));
        }
    }

    fn tell_over(&self) {
        let outage = self.outage().take();
        if let (Some(outage), Some(tell)) = (outage, self.on_wait.listener()) {
            tell(&format!(
                "the store at {} answers again after {:.0} s",
                self.store,
                outage.began.elapsed().as_secs_f64()
            ));
        }
    }
}

/// True when the answer shows a store at work, whatever it says of this request.
fn is_answer(error: &RemoteError) -> bool {
    use RemoteErrorKind::{BadRange, NotFound, TooLarge};
    matches!(error.kind(), NotFound | TooLarge | BadRange)
}

impl Layer for Patience {
    fn run<T: Answer>(
        self: &Arc<Self>,
        request: Request,
        send: impl Fn() -> RemoteFuture<T> + Send + 'static,
    ) -> RemoteFuture<T> {
        let begun = now();
        let mut attempt = send();
        let patience = Arc::clone(self);
        Box::pin(async move {
            let mut repeats = 0;
            loop {
                let outcome = attempt.await;
                let error = match outcome {
                    Err(error) if !is_answer(&error) => error,
                    answered => {
                        patience.works();
                        if repeats > 0 {
                            patience.tell_over();
                        }
                        return answered;
                    }
                };
                let limit = patience.limit(request.operation, &error);
                let pause = patience.pause(repeats, &error);
                if begun.elapsed() + pause >= limit {
                    return Err(error);
                }
                patience.tell_waiting(&error, begun, limit);
                patience.timers.wait(pause).await;
                repeats += 1;
                attempt = send();
            }
        })
    }
}
