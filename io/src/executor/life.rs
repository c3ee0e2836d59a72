//! The life of an executor: `main` with its tasks, then the operations still in flight, then its outcome.

use std::future::Future;
use std::rc::Rc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::task::LocalSet;

use super::context::Executor;
use super::panics::panicked;
use super::spawn_local::spawn_local;
use super::task::TaskLost;
use super::time::timeout;
use crate::error::{IoError, IoErrorKind};

/// How long a thread that ends waits for its operations in flight before it leaves them, their buffers and its ring
/// behind for good (safe, but leaked). Only a dead device takes so long.
pub(super) const DRAIN_MAX: Duration =
    if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(60) };

/// Tells the one who called `spawn_executor` that all is set up. Dropped unused, it tells that it is not.
pub(super) struct Report {
    pub(super) report: SyncSender<Option<String>>,
    pub(super) pin_note: Option<String>,
}

impl Report {
    pub(super) fn started(self) {
        // The caller waits for it, unless it panicked; then nobody needs to know.
        let _ = self.report.send(self.pin_note);
    }
}

/// How the thread ended.
pub(super) struct Ended {
    pub(super) outcome: Result<(), IoError>,
    /// No operation is with the kernel: all may be torn down.
    pub(super) drained: bool,
}

/// The life of an executor thread inside its runtime: `main` with its tasks, then the operations still in flight.
pub(super) async fn run_main<F, Fut>(executor: Rc<Executor>, operations: Rc<LocalSet>, main: F) -> Ended
where
    F: FnOnce() -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let life = async {
        let tasks = LocalSet::new();
        let ending = Ending(Rc::clone(&executor));
        let main = async move {
            // Dropped the moment `main` ends, also by a panic.
            let _ending = ending;
            main().await;
        };
        let outcome = tasks.run_until(async { spawn_local(main).await }).await;
        // Here every task still alive is dropped; the operations it began go on.
        drop(tasks);
        let drained = timeout(DRAIN_MAX, executor.drained()).await.is_ok();
        Ended { outcome: outcome_of(outcome, &executor, drained), drained }
    };
    operations.run_until(life).await
}

/// Ends the local tasks when dropped.
pub(super) struct Ending(pub(super) Rc<Executor>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end_main();
    }
}

/// The outcome of an executor, from how `main` ended.
pub(super) fn outcome_of(
    main: Result<(), TaskLost>,
    executor: &Executor,
    drained: bool,
) -> Result<(), IoError> {
    if let Err(TaskLost::Panicked(message)) = &main {
        return Err(panicked(message));
    }
    if let Some(message) = executor.panics.message() {
        return Err(panicked(&message));
    }
    if !drained {
        return Err(IoError::new(IoErrorKind::Other, "end executor")
            .with_expected(format!("all operations done within {DRAIN_MAX:?}"))
            .with_found(format!("{} in flight", executor.operations_in_flight())));
    }
    main.map_err(|lost| IoError::new(IoErrorKind::Other, "run executor").with_found(lost.to_string()))
}
