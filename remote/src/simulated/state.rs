//! The state of a simulated file system: its objects, what is drawn for its requests, its trace.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aquifer_io::{Instant, now};

use super::objects::Objects;
use crate::shape::{FaultPlan, LatencyProfile, Pace};

/// Longest text of the trace, in bytes.
const TRACE_BYTES_MAX: usize = 16 << 20;

/// What all handles to a file system share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
}

/// See the module.
pub(super) struct State {
    pub(super) objects: Objects,
    pub(super) chance: fastrand::Rng,
    pub(super) latency: LatencyProfile,
    pub(super) plan: FaultPlan,
    pub(super) bandwidth_bytes_per_s: u64,
    pub(super) pace: Pace,
    /// The latest virtual time seen.
    pub(super) time: Instant,
    pub(super) requests: u64,
    pub(super) trace: String,
    pub(super) trace_hash: u64,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long from now until so many bytes have passed.
    pub(super) fn carry(&mut self, bytes: u64) -> Duration {
        let now = now();
        if now < self.time {
            // Another world, whose time began anew.
            self.pace = Pace::new(self.bandwidth_bytes_per_s);
        }
        self.time = now;
        self.pace.send(now, bytes)
    }

    pub(super) fn note(&mut self, event: fmt::Arguments<'_>) {
        let line = format!("{} {event}\n", now().as_nanos());
        for byte in line.bytes() {
            self.trace_hash = (self.trace_hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.trace.len() + line.len() <= TRACE_BYTES_MAX {
            self.trace.push_str(&line);
        }
    }
}
