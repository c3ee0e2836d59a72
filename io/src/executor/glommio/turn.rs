//! One turn of the glommio loop: run what is ready, then let the loop look at its rings; and wakes from elsewhere.
//!
//! glommio looks at its rings when no task of its own is ready, else every 100 ms. All of ours are one of its tasks, so
//! a thread that always has something ready would submit and reap ten times a second. So, after a turn that began
//! operations, or after a few that did not, while tasks are ready:
//! ```text
//! hold all wakes ─> arm a timer of 1 us ─> return "nothing ready" ─> glommio submits, reaps, finds the timer due
//!      ^                                                                              │
//!      └───────────────────────────── go on <─────────────────────────────────────────┘
//! ```
//!
//! glommio's own wakers count their references in 16 bits, and one that another thread drops while the executor
//! ends may touch a task already freed. So no other thread ever has one: what we give out is a [`Wakes`], which
//! keeps glommio's behind a lock and forgets it, on its own thread, before the executor ends.
//!
//! Invariants:
//! * While wakes are held they are remembered, and after the hold everything is polled once.
//! * At most one wake of ours is in glommio's queue at a time; when the root is done, none is.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use glommio::timer::Timer;

use crate::executor::context::Executor;
use crate::executor::handshake::Handshake;

/// Most turns in a row (61 polls of tasks each) without a look at the rings.
const TURNS_MAX: u32 = 4;

/// Long enough not to be due when it is armed, short enough to be due when the loop comes round.
const NUDGE: Duration = Duration::from_micros(1);

/// Fewest completions of a turn, if there are more: an extra submission costs a round through its three rings.
const COMPLETIONS_MIN: usize = 4;

/// Wakes the root task, from any thread and at any time, also after its executor.
struct Wakes {
    /// glommio's waker, as long as its executor runs. Its last reference on this side is dropped on its own thread.
    root: Mutex<Option<Waker>>,
    /// The loop is away while no turn is under way that will look for itself.
    handshake: Handshake,
}

impl Wakes {
    fn remember(&self) {
        if self.handshake.wake() {
            let root = self.root.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(waker) = &*root {
                waker.wake_by_ref();
            }
        }
    }

    /// No wake reaches glommio after this.
    fn retire(&self) {
        let root = self.root.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(root);
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.remember();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.remember();
    }
}

/// A future run turn by turn as above: the root of a glommio executor.
pub(crate) struct Turns<T> {
    executor: Rc<Executor>,
    root: Pin<Box<dyn Future<Output = T>>>,
    wakes: Option<(Arc<Wakes>, Waker)>,
    turns: u32,
    /// While wakes are held for the loop to come round.
    nudge: Option<Timer>,
    /// The root's, kept while the loop comes round a last time: for wakes already in its queue, and for files that
    /// were dropped and that it closes then.
    output: Option<T>,
}

impl<T> Turns<T> {
    pub(crate) fn new(executor: Rc<Executor>, root: impl Future<Output = T> + 'static) -> Self {
        Self { executor, root: Box::pin(root), wakes: None, turns: 0, nudge: None, output: None }
    }

    fn arm_nudge(&mut self, context: &mut Context<'_>) {
        let mut after = NUDGE;
        loop {
            self.nudge = Some(Timer::new(after));
            if self.poll_nudge(context) {
                return;
            }
            // Due already: the thread was away just now.
            after *= 2;
        }
    }

    /// Whether the loop is still to come round.
    fn poll_nudge(&mut self, context: &mut Context<'_>) -> bool {
        let pending = self.nudge.as_mut().is_some_and(|nudge| Pin::new(nudge).poll(context).is_pending());
        if !pending {
            self.nudge = None;
        }
        pending
    }
}

/// Nothing here is pinned but what is in its own box.
impl<T> Unpin for Turns<T> {}

impl<T> Future for Turns<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        if this.poll_nudge(context) {
            return Poll::Pending;
        }
        if let Some(output) = this.output.take() {
            return Poll::Ready(output);
        }
        let (wakes, waker) = this.wakes.get_or_insert_with(|| {
            let wakes = Arc::new(Wakes {
                root: Mutex::new(Some(context.waker().clone())),
                handshake: Handshake::new(false),
            });
            let waker = Waker::from(Arc::clone(&wakes));
            (wakes, waker)
        });
        wakes.handshake.come_back();
        this.executor.gate.open(this.executor.operations_in_flight(), COMPLETIONS_MIN);
        // All that is polled right after this need not be remembered.
        wakes.handshake.take();
        match this.root.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(output) => {
                wakes.retire();
                this.output = Some(output);
            }
            Poll::Pending if wakes.handshake.is_woken() || this.executor.gate.has_waiting() => {
                this.turns += 1;
                if !this.executor.unsubmitted.get() && this.turns < TURNS_MAX {
                    // One wake at most is under way: of this thread, or already in the queue.
                    wakes.handshake.go_away();
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            Poll::Pending => {
                if !wakes.handshake.go_away() {
                    context.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
        this.turns = 0;
        this.executor.unsubmitted.set(false);
        this.arm_nudge(context);
        Poll::Pending
    }
}
