//! Waiting for a condition between tasks of one shard's thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Wakes every local task that waits on it. Waiters are bounded by the shard's limits on operations in flight.
#[derive(Debug, Default)]
pub(crate) struct LocalNotify {
    waiters: RefCell<Vec<Waker>>,
}

impl LocalNotify {
    /// Lets every waiter look at its condition again.
    pub(crate) fn notify(&self) {
        let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Waits until `ready` gives a value; it is asked now and after each [`Self::notify`].
    pub(crate) async fn wait<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| match ready() {
            Some(value) => Poll::Ready(value),
            None => {
                let mut waiters = self.waiters.borrow_mut();
                if !waiters.iter().any(|waiter| waiter.will_wake(context.waker())) {
                    waiters.push(context.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }
}
