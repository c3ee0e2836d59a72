//! The small tokio runtime on which all HTTP, TLS and file requests of a store run, away from the shards' cores.
//!
//! ```text
//! any thread ── run(request) ──> worker thread "aquifer-http" ── result + wake ──> whoever awaits
//! ```
//!
//! Invariants:
//! * Never more requests than the limits of foreground and background allow together at once; the others wait, first come first served.
//! * Every request ends by its deadline.
//! * Dropping the future aborts the task. The runtime lives as long as a store or a future of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::error::{RemoteError, RemoteErrorKind};
use crate::options::RemoteOptions;
use crate::store::RemoteFuture;

/// Threads for blocking file calls of `file://` stores.
const FILE_THREADS_MAX: usize = 16;

/// The runtime and the limit of one store.
#[derive(Debug)]
pub(crate) struct HttpRuntime {
    runtime: Option<Runtime>,
    handle: Handle,
    in_flight: Arc<Semaphore>,
}

impl HttpRuntime {
    /// Starts the worker threads.
    pub(crate) fn start(options: &RemoteOptions) -> Result<Arc<Self>, RemoteError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.http_threads)
            .max_blocking_threads(FILE_THREADS_MAX)
            .thread_name("aquifer-http")
            .enable_all()
            .build()
            .map_err(|error| {
                RemoteError::new(RemoteErrorKind::Other, "open")
                    .with_cause(format!("cannot start the HTTP threads: {error}"))
            })?;
        let handle = runtime.handle().clone();
        let in_flight = Arc::new(Semaphore::new(options.requests_in_all_max()));
        Ok(Arc::new(Self { runtime: Some(runtime), handle, in_flight }))
    }

    /// Starts a request and returns its result to come. `on_late` makes the error when the deadline passes first.
    pub(crate) fn run<T, F, L>(
        self: &Arc<Self>,
        deadline: Duration,
        request: F,
        on_late: L,
    ) -> RemoteFuture<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RemoteError>> + Send + 'static,
        L: FnOnce() -> RemoteError + Send + 'static,
    {
        let in_flight = Arc::clone(&self.in_flight);
        let task = self.handle.spawn(async move {
            // The semaphore is never closed, so the permit is always given.
            let _permit = in_flight.acquire_owned().await.ok();
            tokio::time::timeout(deadline, request).await.unwrap_or_else(|_| Err(on_late()))
        });
        Box::pin(Running { task, _runtime: Arc::clone(self) })
    }

    /// Starts a request that may move up to `bytes_max` bytes, which nobody knows before: those that come ([`moved`]) lengthen its
    /// deadline, so that a server which sends none gets no time for them.
    pub(crate) fn run_moving<T, F, L>(
        self: &Arc<Self>,
        options: &RemoteOptions,
        bytes_max: u64,
        request: F,
        on_late: L,
    ) -> RemoteFuture<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RemoteError>> + Send + 'static,
        L: FnOnce(Duration) -> RemoteError + Send + 'static,
    {
        let (in_flight, options) = (Arc::clone(&self.in_flight), options.clone());
        let task = self.handle.spawn(async move {
            let _permit = in_flight.acquire_owned().await.ok();
            let (began, bytes) = (Instant::now(), Arc::new(AtomicU64::new(0)));
            let mut request = std::pin::pin!(MOVED.scope(Arc::clone(&bytes), request));
            let mut deadline = options.deadline_of(0);
            loop {
                if let Ok(done) = timeout_at(began + deadline, &mut request).await {
                    return done;
                }
                match options.deadline_of(bytes.load(Ordering::Relaxed).min(bytes_max)) {
                    later if later > deadline => deadline = later,
                    _ => return Err(on_late(deadline)),
                }
            }
        });
        Box::pin(Running { task, _runtime: Arc::clone(self) })
    }

    /// Starts work that only waits and makes requests of its own through [`HttpRuntime::run`]: it takes no place in the line.
    #[cfg(any(feature = "webdav", feature = "webhdfs"))]
    pub(crate) fn spawn<T, F>(self: &Arc<Self>, work: F) -> RemoteFuture<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RemoteError>> + Send + 'static,
    {
        Box::pin(Running { task: self.handle.spawn(work), _runtime: Arc::clone(self) })
    }

    /// Starts work whose result nobody waits for: the clean-up of an abandoned upload.
    pub(crate) fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(work));
    }
}

impl Drop for HttpRuntime {
    fn drop(&mut self) {
        // The last owner may be a task of this very runtime, where a waiting shutdown would panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

tokio::task_local! {
    /// Bytes that have come for the request of a task.
    static MOVED: Arc<AtomicU64>;
}

/// Notes bytes of an object that have come.
pub(crate) fn moved(bytes: u64) {
    // Requests of known length need no notes.
    let _ = MOVED.try_with(|moved| moved.fetch_add(bytes, Ordering::Relaxed));
}

/// What the error of a request says that had no answer by its deadline.
pub(crate) fn no_answer(deadline: Duration) -> String {
    format!("no answer within {:.1} s", deadline.as_secs_f64())
}

/// A request under way; aborts it when dropped.
struct Running<T> {
    task: JoinHandle<Result<T, RemoteError>>,
    _runtime: Arc<HttpRuntime>,
}

impl<T> Future for Running<T> {
    type Output = Result<T, RemoteError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(context).map(|joined| {
            joined.unwrap_or_else(|error| {
                Err(RemoteError::new(RemoteErrorKind::Other, "request")
                    .with_cause(format!("its task was lost: {error}")))
            })
        })
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
