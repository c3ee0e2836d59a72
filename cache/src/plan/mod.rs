//! The read plan: all blocks that anybody waits for, as few and well-placed reads.
//!
//! ```text
//! get_or_load ──> wants ──┐   once per turn of the loop, after all who were ready
//! get_or_load ──> wants ──┤
//! Gather      ──> wants ──┴─> locate ─┬─ in the file: sort, merge ──> extents ──> one submission ───────┐
//!                                     └─ else, by object: sort, merge ──> extents ──> ranged GETs ──────┤
//!                    waiters <── verify, decode, keep, offer to the SSD <── each block of an extent <───┘
//! ```
//! One task a cache, woken by the first want of a turn; as wakes queue up, it runs after the tasks that were ready then, and finds
//! what all of them want. There is no timer: what comes while the allowed number of reads is in flight fills the next batch.
//!
//! Invariants:
//! * One flight a block: who asks for a block in flight waits on it, and a block that lies within a read in flight joins that read.
//! * Each class of readers has limits of its own, of requests and bytes in flight, and none uses another's: a foreground read never waits
//!   in line behind one of the background, and the background goes on under any load.
//! * A want is served, or its flight ends with an error: whatever becomes of the task, nobody waits for ever.
//! * Reads of the file are operations of their own, though they leave together: a slow one holds up no other.

pub(crate) mod estimate;
mod extents;
mod queue;
mod turn;
mod want;

use crate::cache::{Cached, Inner};
use crate::key::{ReadClass, Tier};
use crate::stats::{PlanStats, ReadStats};
use aquifer_io::Instant;
use estimate::Estimate;
use queue::Limit;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use turn::Turn;
pub use want::{Ask, ObjectRead, ObjectReader};
pub(crate) use want::{Decode, SPAN_BYTES_MAX, Want};

/// Requests in flight of each class, in the order of [`ReadClass::ALL`]: reads of the file, and of objects. What a foreground read may
/// find before it on the device or on the wire is the sum of the others.
const SSD_REQUESTS_MAX: [usize; 4] = [128, 32, 8, 8];
const REMOTE_REQUESTS_MAX: [usize; 4] = [64, 16, 4, 4];
/// Bytes in flight of each class, as parts of the whole.
const BYTES_PARTS: [u64; 4] = [8, 4, 2, 2];
/// Bytes of objects in flight at once, all classes together: a sixteenth of the memory tier, within these.
const REMOTE_BYTES: (u64, u64) = (1 << 20, 32 << 20);

/// What wants are filed with, and what tells of the plan.
pub(crate) struct Plan<V: Cached> {
    filed: RefCell<Vec<Want<V>>>,
    /// When the first of them was filed.
    filed_at: Cell<Option<Instant>>,
    waker: RefCell<Option<Waker>>,
    is_woken: Cell<bool>,
    is_running: Cell<bool>,
    /// No more wants will come.
    is_closed: Cell<bool>,
    remote_bytes: u64,
    pub(crate) stats: RefCell<PlanStats>,
    pub(crate) ssd: Cell<Estimate>,
    pub(crate) remote: Cell<Estimate>,
}

impl<V: Cached> Plan<V> {
    pub(crate) fn new(memory_bytes: usize) -> Self {
        let remote_bytes = (memory_bytes as u64 / 16).clamp(REMOTE_BYTES.0, REMOTE_BYTES.1);
        Self {
            filed: RefCell::default(),
            filed_at: Cell::new(None),
            waker: RefCell::default(),
            is_woken: Cell::new(false),
            is_running: Cell::new(false),
            is_closed: Cell::new(false),
            remote_bytes,
            stats: RefCell::default(),
            ssd: Cell::new(Estimate::new(estimate::SSD)),
            remote: Cell::new(Estimate::new(estimate::REMOTE)),
        }
    }

    /// The moment that wants of this turn are filed at. One look at the clock a turn.
    pub(crate) fn filing_time(&self) -> Instant {
        match self.filed_at.get() {
            Some(at) => at,
            None => {
                let at = aquifer_io::now();
                self.filed_at.set(Some(at));
                at
            }
        }
    }

    fn wake(&self) {
        if self.is_woken.replace(true) {
            return;
        }
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The task ends when all is done.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    fn note_waker(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        let before = match &*waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => waker.replace(cx.waker().clone()),
        };
        drop(waker);
        drop(before);
    }

    pub(crate) fn estimate(&self, tier: Tier) -> Estimate {
        match tier {
            Tier::Memory | Tier::Ssd => self.ssd.get(),
            Tier::Remote => self.remote.get(),
        }
    }

    fn count(&self, tier: Tier, reads: ReadClass, change: impl FnOnce(&mut ReadStats)) {
        change(self.stats.borrow_mut().class_mut(tier, reads));
    }

    pub(crate) fn stats(&self) -> PlanStats {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and below a century"
        )]
        let request_ns = |estimate: Estimate| estimate.request_ns() as u64;
        let (ssd, remote) = (self.ssd.get(), self.remote.get());
        PlanStats {
            ssd_request_ns: request_ns(ssd),
            ssd_request_bytes: ssd.request_bytes(),
            remote_request_ns: request_ns(remote),
            remote_request_bytes: remote.request_bytes(),
            ..*self.stats.borrow()
        }
    }

    pub(crate) fn span_bytes_max(&self) -> u64 {
        let in_flight = self.limit(Tier::Remote, ReadClass::Foreground).bytes_max;
        self.remote.get().request_bytes().min(in_flight / 2).min(SPAN_BYTES_MAX)
    }

    fn limit(&self, tier: Tier, reads: ReadClass) -> Limit {
        let (requests, bytes) = match tier {
            Tier::Remote => (REMOTE_REQUESTS_MAX, self.remote_bytes),
            Tier::Memory | Tier::Ssd => (SSD_REQUESTS_MAX, aquifer_io::metrics().buffer_bytes_max / 2),
        };
        let of = |from: &[usize; 4]| from.get(reads as usize).copied().unwrap_or(1);
        let part = BYTES_PARTS.get(reads as usize).copied().unwrap_or(1);
        let parts: u64 = BYTES_PARTS.iter().sum();
        Limit { requests_max: of(&requests), bytes_max: bytes / parts * part }
    }
}

/// Files a want; the plan's task finds it when all that is ready now has run.
pub(crate) fn file<V: Cached>(inner: &Rc<Inner<V>>, want: Want<V>) {
    let plan = &inner.plan;
    plan.filed.borrow_mut().push(want);
    if plan.is_running.replace(true) {
        plan.wake();
    } else {
        drop(aquifer_io::spawn_vital(run(Rc::clone(inner))));
    }
}

async fn run<V: Cached>(inner: Rc<Inner<V>>) {
    let _running = Running(&inner);
    let mut turn = Turn::new(&inner);
    std::future::poll_fn(|cx| turn.poll(cx)).await;
}

/// The task lives. When it ends, what was filed and not looked at ends with it: nobody waits for a plan that is not there.
struct Running<'a, V: Cached>(&'a Rc<Inner<V>>);

impl<V: Cached> Drop for Running<'_, V> {
    fn drop(&mut self) {
        let plan = &self.0.plan;
        plan.is_running.set(false);
        plan.is_woken.set(false);
        plan.waker.take();
        // After the borrow: their waiters are told.
        drop(plan.filed.take());
    }
}
