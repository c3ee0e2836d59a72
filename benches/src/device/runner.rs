//! Running futures on an executor of a backend, from a thread that has none.

use std::future::Future;
use std::sync::mpsc::sync_channel;

use aquifer_io::{Backend, ExecutorOptions, IoError, IoErrorKind, spawn_executor, spawn_local};

const OPERATION: &str = "run executor";

/// Runs a future to its end on a fresh executor, made as the engine makes its own, but tied to no core, as fio is not.
pub(super) fn on_executor<T, F, Fut>(backend: Backend, main: F) -> Result<T, IoError>
where
    T: Send + 'static,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, IoError>> + 'static,
{
    let options = ExecutorOptions {
        name: "aquifer-device".into(),
        backend,
        seed: aquifer_io::random_u64(),
        ..ExecutorOptions::default()
    };
    let (sender, receiver) = sync_channel(1);
    let thread = spawn_executor(options, move || async move {
        // Received below; there is room for one.
        let _ = sender.send(main().await);
    })?;
    thread.join()?;
    receiver.recv().unwrap_or_else(|_| Err(IoError::new(IoErrorKind::Other, OPERATION)))
}

/// Runs futures side by side on this executor thread until all have ended; the first error in their order.
pub(super) async fn together<Fut>(lanes: impl Iterator<Item = Fut>) -> Result<(), IoError>
where
    Fut: Future<Output = Result<(), IoError>> + 'static,
{
    let tasks: Vec<_> = lanes.map(spawn_local).collect();
    let mut outcome = Ok(());
    for task in tasks {
        let lost = |lost: aquifer_io::TaskLost| {
            Err(IoError::new(IoErrorKind::Panicked, OPERATION).with_found(lost.to_string()))
        };
        outcome = outcome.and(task.await.unwrap_or_else(lost));
    }
    outcome
}
