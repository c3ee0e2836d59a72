//! Tells tasks of the same thread that something moved: a chunk was written, a region emptied, the tier stopped.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A count of what moved, and who waits for it to change.
#[derive(Default)]
pub(super) struct Progress {
    moved: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Progress {
    pub(super) fn notify(&self) {
        self.moved.set(self.moved.get().wrapping_add(1));
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Now; [`Progress::since`] waits for what comes after it.
    pub(super) fn now(&self) -> u64 {
        self.moved.get()
    }

    /// Until something has moved since `seen`. Look at the state, take [`Progress::now`] before, and wait after.
    pub(super) async fn since(&self, seen: u64) {
        poll_fn(|cx| {
            if self.moved.get() != seen {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}
