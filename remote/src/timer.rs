//! How wrappers wait: futures that are `Send`, wake any executor, and keep to virtual time in a simulated world.
//!
//! ```text
//! Timers::Thread    tokio's timers, turned by one thread "aquifer-timer" of the process; grain 1 ms
//! Timers::Executor  aquifer_io::sleep in a local task of the calling executor: virtual time in a simulated world
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::error::{RemoteError, RemoteErrorKind};
use crate::store::RemoteFuture;

/// Who keeps the time of a store's wrappers (repeats, deadlines, hedges, shaping).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timers {
    /// One thread of the process, for all stores: futures may be awaited anywhere.
    #[default]
    Thread,
    /// The `aquifer-io` executor that calls: for simulated worlds, where time is virtual. The store must then be used on executors
    /// only; elsewhere its waits end at once.
    Executor,
}

/// A wait under way. Dropping it ends it.
pub(crate) type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

static THREAD: OnceLock<Option<Runtime>> = OnceLock::new();

fn thread() -> Option<&'static Runtime> {
    let start = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(1).thread_name("aquifer-timer").enable_time();
        builder.build().ok()
    };
    THREAD.get_or_init(start).as_ref()
}

impl Timers {
    /// Finds out whether waiting will work.
    pub(crate) fn check(self) -> Result<(), RemoteError> {
        if self == Self::Thread && thread().is_none() {
            return Err(RemoteError::new(RemoteErrorKind::Other, "open")
                .with_cause("cannot start the timer thread: raise the limit of threads"));
        }
        Ok(())
    }

    /// Waits so long from now.
    pub(crate) fn wait(self, duration: Duration) -> Wait {
        match self {
            Self::Thread => match thread() {
                Some(runtime) => {
                    let _entered = runtime.enter();
                    Box::pin(tokio::time::sleep(duration))
                }
                // Ruled out by `check`.
                None => Box::pin(std::future::ready(())),
            },
            Self::Executor => wait_on_executor(duration),
        }
    }
}

/// A request's outcome, unless the time passes first: then what `late` says, and the request is dropped.
///
/// The time counts from the first poll, and a result that is there counts however late it is looked at.
pub(crate) async fn within<T>(
    timers: Timers,
    limit: Duration,
    mut request: RemoteFuture<T>,
    late: impl FnOnce() -> RemoteError,
) -> Result<T, RemoteError> {
    let first = std::future::poll_fn(|context| Poll::Ready(request.as_mut().poll(context)));
    if let Poll::Ready(outcome) = first.await {
        return outcome;
    }
    match select(request, timers.wait(limit)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), _)) => Err(late()),
    }
}

/// True on a thread of an `aquifer-io` executor.
pub(crate) fn on_executor() -> bool {
    match aquifer_io::try_acquire_buffer(aquifer_io::SECTOR_BYTES) {
        Ok(_) => true,
        Err(error) => error.kind() != aquifer_io::IoErrorKind::Unsupported,
    }
}

fn wait_on_executor(duration: Duration) -> Wait {
    if !on_executor() {
        return Box::pin(std::future::ready(()));
    }
    let (mut over, is_over) = oneshot::channel::<()>();
    drop(aquifer_io::spawn_local(async move {
        let slept = std::pin::pin!(aquifer_io::sleep(duration));
        let dropped = std::pin::pin!(over.closed());
        select(slept, dropped).await;
    }));
    // The other end is dropped when the time is over, or the executor.
    Box::pin(async move { drop(is_over.await) })
}
