//! Wrappers: each takes a store and is one. One fixed order, from the caller to the store:
//!
//! ```text
//! meter ── what the caller waits for: latency, bytes, errors
//!   resolve ── a put-if-absent in doubt reads back who won
//!    patience ── waits for a store that has worked and answers that it cannot now
//!     limit ── requests and bytes in flight; line; one gate for the foreground, one for the background
//!       retry ── attempts, their time limits, the deadline of all
//!         hedge ── a second request for the slowest reads (foreground only)
//!           cost ── every request that goes out
//!             shape ── latency, bandwidth and faults added on this side (tests, simulations)
//!               store
//! ```
//!
//! Why this order:
//! * The limit is outside of retry and hedge, so waiting in line is no slowness of the store: it neither runs into the time limit
//!   of an attempt nor calls for a second request. A pause between attempts keeps its permit, which is what holds a
//!   crowd back from a store that fails. A second request needs a permit of its own.
//! * Retry is outside of hedge, so what failed is repeated after a pause and not by a hedge without one.
//! * Patience is outside of limit: who waits for minutes holds no place that others, or the background, could use.
//! * Resolve is outside of all: its reads are requests like any other, and patient ones.
//! * Cost sees what the provider sees.
//!
//! Without shaping and with nothing to repeat, a request passes all of them at the call and starts there.

pub(crate) mod operation;
pub(crate) mod read_only;
pub(crate) mod layer;
pub(crate) mod patience;
pub(crate) mod shape;
pub(crate) mod retry;
pub(crate) mod resolve;
pub(crate) mod meter;
pub(crate) mod limit;
pub(crate) mod hedge;
pub(crate) mod cost;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aquifer_io::Backoff;

use self::cost::{Cost, priced};
use self::hedge::{Hedge, HedgeCounters};
use self::layer::layered;
use self::limit::{ClassLimit, Limits};
use self::meter::{RemoteMetrics, metered};
use self::patience::Patience;
use self::resolve::resolved;
use self::retry::Retry;
use self::shape::Shape;
use crate::error::RemoteError;
use crate::options::RemoteOptions;
use crate::store::Remote;

/// A store with all its wrappers, and what they know.
#[derive(Clone, Debug)]
pub struct Stack {
    /// For requests that somebody waits for.
    pub foreground: Arc<dyn Remote>,
    /// For work that can wait: its own limits, no second requests. The same objects.
    pub background: Arc<dyn Remote>,
    /// What callers of the foreground saw.
    pub foreground_metrics: Arc<RemoteMetrics>,
    /// What callers of the background saw.
    pub background_metrics: Arc<RemoteMetrics>,
    /// What went out to the store, and what it costs.
    pub cost: Arc<Cost>,
    /// What is in flight.
    pub limits: Arc<Limits>,
    /// What hedging did.
    pub hedges: Arc<HedgeCounters>,
    repeats: Arc<AtomicU64>,
}

impl Stack {
    /// Attempts that were made because an earlier one had failed.
    #[must_use]
    pub fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }
}

/// Puts all wrappers around a store, as the options say; [`open_url`](crate::open_url) does it for the stores that it opens.
///
/// For an embedder's own store: one that repeats by itself should have that switched off, or tries multiply; if that
/// cannot be, set `exists_read_back` (it may take its own success for another writer's).
///
/// # Errors
/// Kind `Invalid` that names the option; `Other` when the timer thread cannot start.
pub fn wrap(remote: Arc<dyn Remote>, options: &RemoteOptions) -> Result<Stack, RemoteError> {
    options.validate()?;
    options.timers.check()?;
    let backoff = Backoff::new(options.retry_pause, options.retry_pause_max);
    let repeats = Arc::new(AtomicU64::new(0));
    let hedges = Arc::new(HedgeCounters::default());
    let limits = Limits::new(
        ClassLimit { requests_max: options.requests_in_flight_max, bytes_max: options.bytes_in_flight_max },
        ClassLimit {
            requests_max: options.background_requests_in_flight_max,
            bytes_max: options.background_bytes_in_flight_max,
        },
    )?;
    let shaped = if options.shape.is_none() {
        remote
    } else {
        let seed = options.seed.unwrap_or_else(aquifer_io::random_u64);
        layered(remote, Shape::new(&options.shape, options.timers, seed))
    };
    let (base, cost) = priced(shaped, options.prices);
    let hedged = match options.hedge {
        Some(hedge) => {
            let gate = limits.foreground_gate();
            let hedge = Hedge::new(hedge, options.timers, gate, Arc::clone(&hedges));
            layered(Arc::clone(&base), hedge)
        }
        None => Arc::clone(&base),
    };
    let retry = Retry::new(options, backoff, Arc::clone(&repeats));
    let patience = Patience::new(options, base.describe());
    let class = |limited| {
        let patient = layered(limited, Arc::clone(&patience));
        metered(resolved(patient, options, backoff, Arc::clone(&patience)))
    };
    let (foreground, foreground_metrics) = class(limits.foreground(layered(hedged, Arc::clone(&retry))));
    let (background, background_metrics) = class(limits.background(layered(base, retry)));
    Ok(Stack {
        foreground,
        background,
        foreground_metrics,
        background_metrics,
        cost,
        limits,
        hedges,
        repeats,
    })
}
