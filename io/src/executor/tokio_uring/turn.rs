//! One turn of the tokio-uring loop: run what is ready, then see that what it began reaches the kernel.
//!
//! tokio-uring submits in one place only: when its runtime is about to sleep. A thread that always has something
//! ready never sleeps, and its reads would wait in the ring for ever. So, after a turn that began operations and
//! left tasks ready:
//! ```text
//! hold all wakes ─> put a NOP on the ring ─> return "nothing ready" ─> the runtime goes to sleep: submits everything
//!      ^                                                                            │
//!      └───────────── go on <── the NOP is done already, so it wakes at once <──────┘
//! ```
//! It costs about two microseconds and at most once a turn (61 polls of tasks). An idle thread never comes here.
//!
//! Invariant: while wakes are held they are remembered, and after the hold everything is polled once.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::executor::context::Executor;
use crate::executor::handshake::Handshake;

/// Fewest completions of a turn, if there are more: an extra submission costs a round through epoll.
const COMPLETIONS_MIN: usize = 2;

/// Wakes the runtime, unless a turn is under way that will look for itself: the loop is away between turns.
struct Wakes {
    runtime: Waker,
    handshake: Handshake,
}

impl Wakes {
    fn remember(&self) {
        if self.handshake.wake() {
            self.runtime.wake_by_ref();
        }
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

/// A future run turn by turn as above: the root of a tokio-uring executor.
pub(crate) struct Turns<T> {
    executor: Rc<Executor>,
    root: Pin<Box<dyn Future<Output = T>>>,
    wakes: Option<(Arc<Wakes>, Waker)>,
    /// The NOP that is on its way, while wakes are held for it.
    submission: Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>,
}

impl<T> Turns<T> {
    pub(crate) fn new(executor: Rc<Executor>, root: impl Future<Output = T> + 'static) -> Self {
        Self { executor, root: Box::pin(root), wakes: None, submission: None }
    }
}

impl<T> Future for Turns<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        if let Some(submission) = &mut this.submission {
            // Its result says nothing: that it is done is what counts.
            if submission.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.submission = None;
            this.executor.unsubmitted.set(false);
        }
        let (wakes, waker) = this.wakes.get_or_insert_with(|| {
            let runtime = context.waker().clone();
            let wakes = Arc::new(Wakes { runtime, handshake: Handshake::new(false) });
            let waker = Waker::from(Arc::clone(&wakes));
            (wakes, waker)
        });
        let handshake = &wakes.handshake;
        handshake.come_back();
        this.executor.gate.open(this.executor.operations_in_flight(), COMPLETIONS_MIN);
        // All that is polled right after this need not be remembered.
        handshake.take();
        if let Poll::Ready(output) = this.root.as_mut().poll(&mut Context::from_waker(waker)) {
            return Poll::Ready(output);
        }
        let goes_on = handshake.is_woken() || this.executor.gate.has_waiting();
        if goes_on && this.executor.unsubmitted.get() {
            let mut submission = Box::pin(tokio_uring::no_op());
            // Puts it on the ring, which has one entry free for it. Wakes stay held until it is done.
            if submission.as_mut().poll(context).is_pending() {
                this.submission = Some(submission);
                return Poll::Pending;
            }
        }
        if !handshake.go_away() || goes_on {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
