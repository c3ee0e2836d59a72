//! Makes a store slower and worse, from a seed: for tests and simulations without a server that does it.
//!
//! ```text
//! request ─ latency drawn ─┬─ 503, reset before ───────────────> error, nothing applied
//!                          └─> store ─┬─ reset after, truncated > error, applied
//!                                     ├─ stall ─────────────────> no answer ever (half of the time applied before)
//!                                     └─ bandwidth ─ slow close > answer
//! ```
//!
//! Invariants:
//! * What happens to a request is drawn when it is made, in the order of the calls: one seed and one order, one course.
//! * A reset leaves a put-if-absent `InDoubt`, whether it was applied or not: the caller of a real store knows no more.
//!
//! Waits have the grain of their [`Timers`]: 1 ms on the thread, exact in virtual time. Of uploads the start is shaped as any
//! request; parts, finish and abort, which are sent at the call, can lose their answer alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aquifer_io::now;

use super::layer::{Layer, Request};
use super::operation::{Answer, Operation};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::shape::options::ShapeOptions;
use crate::shape::{Fault, FaultPlan, LatencyProfile, Pace};
use crate::store::RemoteFuture;
use crate::timer::Timers;

/// The layer.
#[derive(Debug)]
pub(crate) struct Shape {
    latency: LatencyProfile,
    plan: FaultPlan,
    timers: Timers,
    dice: Mutex<Dice>,
    faults: AtomicU64,
}

#[derive(Debug)]
struct Dice {
    chance: fastrand::Rng,
    pace: Pace,
}

/// What happens to one request.
struct Course {
    latency: Duration,
    fault: Option<Fault>,
    is_applied_in_stall: bool,
}

impl Shape {
    pub(super) fn new(options: &ShapeOptions, timers: Timers, seed: u64) -> Arc<Self> {
        let chance = fastrand::Rng::with_seed(seed);
        Arc::new(Self {
            latency: options.latency,
            plan: FaultPlan::new(options.faults),
            timers,
            dice: Mutex::new(Dice { chance, pace: Pace::new(options.bandwidth_bytes_per_s) }),
            faults: AtomicU64::new(0),
        })
    }

    fn draw(&self) -> Course {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = self.latency.sample(&mut dice.chance);
        let fault = self.plan.next(&mut dice.chance);
        self.faults.fetch_add(u64::from(fault.is_some()), Ordering::Relaxed);
        Course { latency, fault, is_applied_in_stall: dice.chance.bool() }
    }

    async fn wait(&self, duration: Duration) {
        if !duration.is_zero() {
            self.timers.wait(duration).await;
        }
    }

    async fn carry(&self, bytes: u64) {
        let passes = {
            let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
            dice.pace.send(now(), bytes)
        };
        self.wait(passes).await;
    }

    /// The way back, once the store has answered.
    async fn back<T: Answer>(
        &self,
        request: &Request,
        course: &Course,
        outcome: Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let fetched_bytes = outcome.as_ref().map_or(0, Answer::bytes);
        self.carry(request.sent_bytes.saturating_add(fetched_bytes)).await;
        match course.fault {
            Some(Fault::ResetAfter) => Err(request.error(request.kind_of_doubt(), "connection reset")),
            Some(Fault::Truncated) if fetched_bytes > 0 => {
                let error = request.error(RemoteErrorKind::Truncated, "the body ended early");
                Err(error.with_bytes(fetched_bytes, fetched_bytes / 2))
            }
            Some(Fault::SlowClose) => {
                self.wait(course.latency.max(Duration::from_millis(1))).await;
                outcome
            }
            Some(Fault::Stall) => std::future::pending().await,
            _ => outcome,
        }
    }
}

impl Layer for Shape {
    fn run<T: Answer>(
        self: &Arc<Self>,
        request: Request,
        send: impl Fn() -> RemoteFuture<T> + Send + 'static,
    ) -> RemoteFuture<T> {
        let course = self.draw();
        // Nothing in the way: the request starts at the call.
        let passes = course.latency.is_zero() && course.fault.is_none();
        let sent = passes.then(&send);
        let shape = Arc::clone(self);
        Box::pin(async move {
            let sent = match sent {
                Some(sent) => sent,
                None => {
                    shape.wait(course.latency).await;
                    match course.fault {
                        Some(Fault::Unavailable) => {
                            return Err(request
                                .error(RemoteErrorKind::Unavailable, "the server answered 503")
                                .with_status(503, None));
                        }
                        Some(Fault::ResetBefore) => {
                            return Err(request.error(request.kind_of_doubt(), "connection reset"));
                        }
                        Some(Fault::Stall) if !course.is_applied_in_stall => std::future::pending().await,
                        _ => send(),
                    }
                }
            };
            let outcome = sent.await;
            shape.back(&request, &course, outcome).await
        })
    }

    fn run_once<T: Answer>(self: &Arc<Self>, request: Request, sent: RemoteFuture<T>) -> RemoteFuture<T> {
        let course = self.draw();
        let shape = Arc::clone(self);
        Box::pin(async move {
            shape.wait(course.latency).await;
            let outcome = sent.await;
            let is_over = request.operation == Operation::Abort;
            match course.fault {
                Some(Fault::Unavailable | Fault::ResetBefore | Fault::Stall) if !is_over => {
                    Err(request.error(RemoteErrorKind::Unavailable, "connection reset"))
                }
                _ => shape.back(&request, &course, outcome).await,
            }
        })
    }
}
