//! Beginning tasks on an executor's thread, and hearing when one that it cannot do without has panicked.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::context::{self, Host};
use super::task::{Task, task_pair};
use crate::simulated_machine::machine::Class;

/// Runs the future beside all others of this executor thread, starting at its next turn.
///
/// Tasks share the thread by waiting: one that computes for long calls [`yield_now`](crate::yield_now).
/// A task still alive when the executor's `main` ends is not polled again, and dropped.
///
/// # Panics
/// On a thread that is no executor.
pub fn spawn_local<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    spawn_on_thread(future, false)
}

/// As [`spawn_local`], for a task that the rest of the thread cannot do without: if it panics, [`vital_panic`] says so.
///
/// # Panics
/// On a thread that is no executor.
pub fn spawn_vital<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    spawn_on_thread(future, true)
}

/// Waits until a vital task of this thread has panicked: the message of the first one that did. One waits at a time; of several the last
/// one is woken. Elsewhere than on an executor it waits for ever.
pub async fn vital_panic() -> String {
    let executor = context::try_current();
    std::future::poll_fn(|context| match &executor {
        Some(executor) => executor.panics.poll_vital(context),
        None => Poll::Pending,
    })
    .await
}

fn spawn_on_thread<T: 'static>(future: impl Future<Output = T> + 'static, is_vital: bool) -> Task<T> {
    let executor = context::try_current();
    let panics = executor.as_ref().map(|executor| Rc::clone(&executor.panics));
    let (running, task) = task_pair(future, panics, is_vital);
    if let Some(Host::Simulated(ticket)) = executor.as_deref().map(|executor| &executor.host) {
        if !executor.as_ref().is_some_and(|executor| executor.main_ended()) {
            ticket.spawn(Class::Local, Box::pin(running));
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
