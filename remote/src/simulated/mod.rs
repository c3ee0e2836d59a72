//! A distributed file system for simulated worlds: virtual time, seeded latency and faults, and objects that outlive a machine.
//!
//! ```text
//! World (aquifer_io::simulated), crashes and starts anew
//!   executor ── Remote ── request ─ half the latency ─┬─ applied ─ other half ─> answer
//!                                     (local task)    │
//! SimulatedDfs, kept by the test: objects ────────────┘   one seed: latencies, faults, what a crash leaves
//! ```
//!
//! It is used on executors of a world alone, so that the order of its requests, and with it everything drawn, follows from the seeds
//! of the world and of the store. Give the same [`SimulatedDfs`] to the next world after a crash: what was applied is there.
//!
//! Invariants:
//! * A request that was applied stays applied. One whose caller is gone (a dropped future, a crashed machine) is on the wire:
//!   the seed decides whether it is still applied, once.
//! * Faults are those of [`shape`](crate::shape); a reset leaves a put-if-absent `InDoubt`.
//! * Every request and what became of it is in the trace, with virtual times: the same seeds, the same bytes.
//!
//! It is a bare store. [`wrap`](fn@crate::wrap) with [`Timers::Executor`](crate::Timers::Executor) puts the wrappers around it, in
//! virtual time too.

mod objects;
mod state;
mod request;
mod upload;
mod store;

use std::fmt;
use std::sync::{Arc, Mutex};

use aquifer_io::now;
use bytes::Bytes;

use self::objects::Objects;
use self::state::{Shared, State};
use self::store::SimulatedStore;
use crate::name::ObjectName;
use crate::shape::options::ShapeOptions;
use crate::shape::{FaultPlan, FaultRates, LatencyProfile, Pace};
use crate::store::Remote;

/// The file system of a simulated world. Clones are the same one.
#[derive(Clone)]
pub struct SimulatedDfs {
    shared: Arc<Shared>,
}

impl fmt::Debug for SimulatedDfs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimulatedDfs").finish_non_exhaustive()
    }
}

impl SimulatedDfs {
    /// An empty one. All that is drawn follows from the seed.
    #[must_use]
    pub fn new(seed: u64, shape: &ShapeOptions) -> Self {
        let state = State {
            objects: Objects::default(),
            chance: fastrand::Rng::with_seed(seed),
            latency: shape.latency,
            plan: FaultPlan::new(shape.faults),
            bandwidth_bytes_per_s: shape.bandwidth_bytes_per_s,
            pace: Pace::new(shape.bandwidth_bytes_per_s),
            time: now(),
            requests: 0,
            trace: String::new(),
            trace_hash: 0xcbf2_9ce4_8422_2325,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state) }) }
    }

    /// The store, without wrappers. Its methods give kind `Invalid` on a thread that is no executor.
    #[must_use]
    pub fn remote(&self) -> Arc<dyn Remote> {
        Arc::new(SimulatedStore::new(Arc::clone(&self.shared)))
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, rates: FaultRates) {
        self.shared.state().plan = FaultPlan::new(rates);
    }

    /// Sets how long requests take from now on.
    pub fn set_latency(&self, latency: LatencyProfile) {
        self.shared.state().latency = latency;
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.state().requests
    }

    /// All objects, by name.
    #[must_use]
    pub fn objects(&self) -> Vec<(ObjectName, Bytes)> {
        self.shared.state().objects.all()
    }

    /// What happened, one line an event: virtual time in ns, number of the request, what. Its first 16 MiB.
    #[must_use]
    pub fn trace(&self) -> String {
        self.shared.state().trace.clone()
    }

    /// A hash of all events, also of those that the text has no room for.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.shared.state().trace_hash
    }
}
