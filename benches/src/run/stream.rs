//! What a measurement does: the plan that all threads have in common, each thread's stream of operations, and what a lane uses for one.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aquifer_io::Instant;

use super::live::Live;
use super::meter::Recorder;
use super::pace::Schedule;
use crate::load::distribution::Chooser;
use crate::load::length::Length;
use crate::load::mix::Kind;
use crate::load::rng::Rng;
use crate::load::workload::Workload;

/// What all threads of one measurement have in common.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    /// Keys there are: loaded, and inserted since.
    pub(crate) keys: AtomicU64,
    /// Keys written so far, of a workload that fills.
    pub(crate) filled: AtomicU64,
    /// Keys may be gone: a read that finds nothing is no fault.
    pub(crate) keys_may_be_gone: bool,
    pub(crate) key_bytes: usize,
    pub(crate) value_bytes: Length,
    pub(crate) in_flight: usize,
    /// Keys of one multi-get.
    pub(crate) batch: usize,
    /// Between two operations of one thread, in an open loop.
    pub(crate) interval: Option<Duration>,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) live: Arc<Live>,
}

impl Plan {
    /// How much of a workload that fills is done, from 0 to 1.
    pub(crate) fn filled_share(&self) -> f64 {
        let keys = self.keys.load(Ordering::Relaxed).max(1);
        (self.filled.load(Ordering::Relaxed).min(keys) as f64) / keys as f64
    }

    /// From the start of a thread to the end of the measured time.
    pub(super) fn length(&self) -> Duration {
        self.warm_up + self.measured
    }
}

/// One thread's part. Its stream of operations is a function of the seed.
pub(super) struct Stream {
    pub(super) plan: Arc<Plan>,
    pub(super) rng: RefCell<Rng>,
    pub(super) chooser: RefCell<Chooser>,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) begun: Cell<u64>,
    /// Turns of a workload that fills, where each thread looks for its own keys among all.
    pub(super) filled: Cell<u64>,
    pub(super) schedule: Option<Schedule>,
    pub(super) start: Instant,
}

/// One operation to do.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) version: u64,
    pub(super) value_bytes: u64,
}

/// What a lane uses again for each operation.
#[derive(Default)]
pub(super) struct LaneBuffers {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) shaped: Shaped,
    /// Of a batch.
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) numbers: Vec<u64>,
}

/// What a lane remembers of what it has written.
#[derive(Debug, Default)]
pub(super) struct Shaped {
    /// The last counter, list or entry of a map.
    pub(super) last: Option<u64>,
    /// The window that it fills, and how many events that has.
    pub(super) window: Option<(u64, u64)>,
}

impl Stream {
    /// An answer was compared.
    pub(super) fn checked(&self, right: bool, found: bool, read_bytes: usize) {
        let mut recorder = self.recorder.borrow_mut();
        recorder.meter.checked += 1;
        recorder.meter.reads += 1;
        recorder.meter.found += u64::from(found);
        recorder.meter.mismatches += u64::from(!right);
        recorder.meter.read_bytes += read_bytes as u64;
    }
}
