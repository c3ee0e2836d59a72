//! Waiting on an executor thread: for a time, for a future with a deadline, for one turn of the loop.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::context;
#[cfg(feature = "glommio")]
use super::glommio;
use crate::backend::Backend;
use crate::simulated_machine::sleep::Sleep;

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadline passed")]
pub struct Elapsed;

/// Resolves after this time; the grain is one millisecond at most, rounded up. Dropping it cancels it.
///
/// # Panics
/// On a thread that is no executor.
pub async fn sleep(duration: Duration) {
    let executor = context::try_current();
    if let Some(Ok(ring)) = executor.as_ref().map(|executor| executor.ring()) {
        return ring.sleep(duration).await;
    }
    match executor.map(|executor| executor.backend) {
        #[cfg(feature = "glommio")]
        Some(Backend::Glommio) => glommio::sleep(duration).await,
        Some(Backend::Simulated) => match context::machine() {
            Some(machine) => Sleep::new(&machine, duration).await,
            // Its world is over, and nobody is left to see it end.
            None => std::future::pending().await,
        },
        _ => tokio::time::sleep(duration).await,
    }
}

/// The future's output, unless the time passes first; the future is then dropped.
///
/// # Errors
/// [`Elapsed`] when the time passed first.
///
/// # Panics
/// On a thread that is no executor.
pub async fn timeout<T>(duration: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let (mut future, mut deadline) = (pin!(future), pin!(sleep(duration)));
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        deadline.as_mut().poll(context).map(|()| Err(Elapsed))
    })
    .await
}

/// Lets every other task that is ready run once. Long computations on an executor thread call it about every
/// 100 microseconds, or they hold up all others and their I/O.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        // Back of the run queue by an ordinary wake. tokio's own `yield_now` defers the wake in a way that keeps
        // the tokio-uring loop from submitting (see `executor/tokio_uring/turn.rs`).
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
