//! A future that runs beside others on its executor's thread, and the handle to its result.
//!
//! Invariant: a task that ends without a result (it panicked, or its executor ended) says so to the one who waits;
//! with nobody waiting, a panic is noted and comes out of [`ExecutorThread::join`](super::ExecutorThread::join). The panic of a
//! vital task is heard at once, by whoever waits for [`vital_panic`].

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;

use super::context::{self, Host};
use super::simulated::machine::Class;

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
    is_vital: bool,
}

impl<T> Delivery<T> {
    fn deliver(&mut self, result: Result<T, TaskLost>) {
        let Some(shared) = self.shared.take() else { return };
        if let Err(TaskLost::Panicked(message)) = &result
            && let Some(executor) = context::try_current()
        {
            if self.is_vital {
                executor.note_vital_panic(message);
            }
            if Rc::strong_count(&shared) == 1 {
                executor.note_panic(message);
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
    is_vital: bool,
) -> (impl Future<Output = ()> + 'static, Task<T>) {
    let shared = Rc::new(RefCell::new(Shared { result: None, waker: None }));
    let mut delivery = Delivery { shared: Some(Rc::clone(&shared)), is_vital };
    let running = async move {
        // Unwind safe: what the future owned is dropped with it, and nothing here looks at it again.
        let result = AssertUnwindSafe(future).catch_unwind().await;
        delivery.deliver(result.map_err(|payload| TaskLost::Panicked(panic_message(payload.as_ref()))));
    };
    (running, Task { shared })
}

/// The text of a panic.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// Runs the future beside all others of this executor thread, starting at its next turn.
///
/// Tasks share the thread by waiting: one that computes for long calls [`yield_now`](crate::yield_now).
/// A task still alive when the executor's `main` ends is not polled again, and dropped.
///
/// # Panics
/// On a thread that is no executor.
pub fn spawn_local<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    spawn_counted(future, false)
}

/// As [`spawn_local`], for a task that the rest of the thread cannot do without: if it panics, [`vital_panic`] says so.
///
/// # Panics
/// On a thread that is no executor.
pub fn spawn_vital<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    spawn_counted(future, true)
}

/// Waits until a vital task of this thread has panicked: the message of the first one that did. One waits at a time; of several the last
/// one is woken. Elsewhere than on an executor it waits for ever.
pub async fn vital_panic() -> String {
    let executor = context::try_current();
    std::future::poll_fn(|context| match &executor {
        Some(executor) => executor.poll_vital_panic(context),
        None => Poll::Pending,
    })
    .await
}

fn spawn_counted<T: 'static>(future: impl Future<Output = T> + 'static, is_vital: bool) -> Task<T> {
    let executor = context::try_current();
    let counted = async move {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            if let Some(executor) = &executor {
                executor.count_poll();
            }
            future.as_mut().poll(context)
        })
        .await
    };
    spawn_on_thread(counted, is_vital)
}

/// As [`spawn_local`], for a task whose polls do not keep background work away.
pub(crate) fn spawn_uncounted<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    spawn_on_thread(future, false)
}

fn spawn_on_thread<T: 'static>(future: impl Future<Output = T> + 'static, is_vital: bool) -> Task<T> {
    let (running, task) = task_pair(future, is_vital);
    let executor = context::try_current();
    if let Some(Host::Simulated(seat)) = executor.as_deref().map(|executor| &executor.host) {
        if !executor.as_ref().is_some_and(|executor| executor.main_ended()) {
            seat.spawn(Class::Local, Box::pin(running));
        }
        return task;
    }
    let running = async move {
        let mut running = pin!(running);
        std::future::poll_fn(|context| match &executor {
            // It is dropped in a moment, with this waker.
            Some(executor) if executor.main_ended() => Poll::Pending,
            _ => running.as_mut().poll(context),
        })
        .await;
    };
    // Unconstrained: tokio would otherwise make a task yield after 128 ready results of its own primitives, in the
    // way that keeps the tokio-uring loop from submitting (see `tokio_uring/turn.rs`).
    drop(tokio::task::spawn_local(tokio::task::unconstrained(running)));
    task
}
