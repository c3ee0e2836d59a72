//! A future that runs beside others on its executor's thread, and the handle to its result.
//!
//! Invariant: a task that ends without a result (it panicked, or its executor ended) says so to the one who waits;
//! with nobody waiting, a panic is noted and comes out of [`ExecutorThread::join`](crate::ExecutorThread::join). The panic of a
//! vital task is heard at once, by whoever waits for [`vital_panic`](crate::vital_panic).

use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;

use super::panics::{Panics, panic_message};

/// The task ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskLost {
    /// It panicked: a bug. The message is the panic's.
    #[error("local task panicked: {0}")]
    Panicked(String),
    /// Its executor ended first.
    #[error("the executor ended before the local task")]
    ExecutorEnded,
}

/// The result of a local task, once it has one. Dropping it lets the task run on alone.
#[derive(Debug)]
#[must_use = "a result nobody waits for; say `drop(..)` to detach the task"]
pub struct Task<T> {
    shared: Rc<RefCell<Shared<T>>>,
}

#[derive(Debug)]
struct Shared<T> {
    result: Option<Result<T, TaskLost>>,
    waker: Option<Waker>,
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskLost>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = self.shared.borrow_mut();
        match shared.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                match &mut shared.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

/// The running end of a task: delivers its result, or on drop the news that there will be none.
struct Delivery<T> {
    shared: Option<Rc<RefCell<Shared<T>>>>,
    /// Those of its executor, if it has one.
    panics: Option<Rc<Panics>>,
    is_vital: bool,
}

impl<T> Delivery<T> {
    fn deliver(&mut self, result: Result<T, TaskLost>) {
        let Some(shared) = self.shared.take() else { return };
        if let Err(TaskLost::Panicked(message)) = &result
            && let Some(panics) = &self.panics
        {
            if self.is_vital {
                panics.note_vital(message);
            }
            if Rc::strong_count(&shared) == 1 {
                panics.note(message);
            }
        }
        let waker = {
            let mut shared = shared.borrow_mut();
            shared.result = Some(result);
            shared.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        self.deliver(Err(TaskLost::ExecutorEnded));
    }
}

/// A future to be run somewhere on this thread, and the handle to its result.
pub(super) fn task_pair<T: 'static>(
    future: impl Future<Output = T> + 'static,
    panics: Option<Rc<Panics>>,
    is_vital: bool,
) -> (impl Future<Output = ()> + 'static, Task<T>) {
    let shared = Rc::new(RefCell::new(Shared { result: None, waker: None }));
    let mut delivery = Delivery { shared: Some(Rc::clone(&shared)), panics, is_vital };
    let running = async move {
        // Unwind safe: what the future owned is dropped with it, and nothing here looks at it again.
        let result = AssertUnwindSafe(future).catch_unwind().await;
        delivery.deliver(result.map_err(|payload| TaskLost::Panicked(panic_message(payload.as_ref()))));
    };
    (running, Task { shared })
}
