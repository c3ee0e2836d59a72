//! Hedged reads: a read that takes longer than most is asked for a second time, and the first answer counts.
//!
//! ```text
//! read ──────────────────────────────> slow one dropped
//!        └ P95 of its kind and size ┘─ second request ─> answer
//! ```
//!
//! Idea of J. Dean and L. Barroso, "The Tail at Scale" (2013): a tail of single requests goes for few more requests.
//!
//! Invariants:
//! * Second requests are at most `percent_max` % of the reads of the last minute (`budget.rs`), exactly.
//! * None while the store as a whole is slow (`latency.rs`), and none that the limits of the foreground have no room for.
//! * The loser is dropped, which cancels it. An error of one waits for the other; of two errors the first request's counts.
//! * The P95 is that of first requests: one that lost is taken as having lasted until then, which is past the P95 anyway.

mod budget;
mod latency;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aquifer_io::{Instant, now};
use futures_util::future::{Either, select};

use self::budget::Budget;
use self::latency::Latencies;
use super::layer::{Layer, Request};
use super::limit::Gate;
use super::operation::{Answer, Operation, SizeClass};
use crate::error::RemoteError;
use crate::hedge_options::HedgeOptions;
use crate::store::RemoteFuture;
use crate::timer::Timers;

/// What hedging did so far.
#[derive(Debug, Default)]
pub struct HedgeCounters {
    reads: AtomicU64,
    hedges: AtomicU64,
    wins: AtomicU64,
    refused: AtomicU64,
}

impl HedgeCounters {
    /// Reads seen.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Second requests made.
    #[must_use]
    pub fn hedges(&self) -> u64 {
        self.hedges.load(Ordering::Relaxed)
    }

    /// Second requests that answered first.
    #[must_use]
    pub fn wins(&self) -> u64 {
        self.wins.load(Ordering::Relaxed)
    }

    /// Reads past the threshold without a second request: budget, limits, or a store slow as a whole.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Reads that take about as long: one for each kind and size.
const CLASSES: usize = 2 * SizeClass::ALL.len();

#[derive(Debug)]
struct State {
    budget: Budget,
    classes: [Latencies; CLASSES],
}

/// The layer.
#[derive(Debug)]
pub(crate) struct Hedge {
    options: HedgeOptions,
    timers: Timers,
    /// Second requests need a permit too.
    gate: Arc<Gate>,
    state: Mutex<State>,
    counters: Arc<HedgeCounters>,
}

impl Hedge {
    pub(super) fn new(
        options: HedgeOptions,
        timers: Timers,
        gate: Arc<Gate>,
        counters: Arc<HedgeCounters>,
    ) -> Arc<Self> {
        let state = State { budget: Budget::new(options.percent_max), classes: Default::default() };
        Arc::new(Self { options, timers, gate, state: Mutex::new(state), counters })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a read; how long to wait for it before it is asked for again.
    fn begin(&self, class: usize, begun: Instant) -> Option<Duration> {
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.budget.read(begun);
        let p95_us = state.classes.get(class)?.p95_us()?;
        // A 32nd on top for the error of the measurement: else about half of the time a little more than 5 % pass, and the
        // budget is used up before the slowest come.
        let delay_us = u64::from(p95_us) + u64::from(p95_us / 32);
        Some(Duration::from_micros(delay_us).max(self.options.delay_min))
    }

    fn end(&self, class: usize, begun: Instant, passed: bool, is_ok: bool) {
        let latency_us = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        if let Some(latencies) = self.state().classes.get_mut(class) {
            if !passed {
                latencies.mark(false);
            }
            if is_ok {
                latencies.record(latency_us);
            }
        }
    }

    /// A read has passed its threshold: whether a second request is allowed, if there is room for it.
    fn allow(&self, class: usize, has_room: bool) -> bool {
        let mut state = self.state();
        let is_slow = state.classes.get_mut(class).is_none_or(|latencies| {
            latencies.mark(true);
            latencies.is_slow()
        });
        // The budget last: nothing is taken from it in vain.
        !is_slow && has_room && state.budget.take(now())
    }

    /// The second request and the first, until one has an answer.
    async fn race<T: Answer>(
        &self,
        first: RemoteFuture<T>,
        second: RemoteFuture<T>,
    ) -> Result<T, RemoteError> {
        let (outcome, other, second_first) = match select(first, second).await {
            Either::Left((outcome, second)) => (outcome, second, false),
            Either::Right((outcome, first)) => (outcome, first, true),
        };
        let error = match outcome {
            Ok(answer) => {
                self.counters.wins.fetch_add(u64::from(second_first), Ordering::Relaxed);
                return Ok(answer);
            }
            Err(error) => error,
        };
        match other.await {
            Ok(answer) => {
                self.counters.wins.fetch_add(u64::from(!second_first), Ordering::Relaxed);
                Ok(answer)
            }
            Err(other) => Err(if second_first { other } else { error }),
        }
    }
}

fn class_of(request: &Request) -> usize {
    let kind = if request.operation == Operation::Get { 0 } else { SizeClass::ALL.len() };
    kind + SizeClass::of(request.fetched_bytes_max).index()
}

impl Layer for Hedge {
    fn run<T: Answer>(
        self: &Arc<Self>,
        request: Request,
        send: impl Fn() -> RemoteFuture<T> + Send + 'static,
    ) -> RemoteFuture<T> {
        let first = send();
        if !request.operation.is_read() {
            return first;
        }
        let (hedge, class, begun) = (Arc::clone(self), class_of(&request), now());
        let delay = self.begin(class, begun);
        Box::pin(async move {
            let Some(delay) = delay else {
                let outcome = first.await;
                hedge.end(class, begun, false, outcome.is_ok());
                return outcome;
            };
            let wait = hedge.timers.wait(delay.saturating_sub(begun.elapsed()));
            let first = match select(first, wait).await {
                Either::Left((outcome, _)) => {
                    hedge.end(class, begun, false, outcome.is_ok());
                    return outcome;
                }
                Either::Right(((), first)) => first,
            };
            let mut permit = hedge.gate.try_pass(request.fetched_bytes_max);
            let outcome = if hedge.allow(class, permit.is_some()) {
                hedge.counters.hedges.fetch_add(1, Ordering::Relaxed);
                hedge.race(first, send()).await
            } else {
                drop(permit.take());
                hedge.counters.refused.fetch_add(1, Ordering::Relaxed);
                first.await
            };
            drop(permit);
            hedge.end(class, begun, true, outcome.is_ok());
            outcome
        })
    }
}
