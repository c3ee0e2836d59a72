//! The run of an executor thread whose files are with a pool of threads.

use std::future::Future;
use std::rc::Rc;

use tokio::task::LocalSet;

use crate::error::IoError;
use crate::executor::context::{self, Executor};
use crate::executor::life::{Ended, Report, run_main};
use crate::executor::options::{ExecutorOptions, START};
use crate::executor::threads::pool;
use crate::pin::Affinity;

/// Runs an executor thread to its end.
pub(super) fn run<F, Fut>(
    options: &ExecutorOptions,
    affinity: Affinity,
    report: Report,
    main: F,
) -> Result<(), IoError>
where
    F: FnOnce() -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let runtime = pool(options, affinity).map_err(|source| IoError::from_os(START, source))?;
    let operations = Rc::new(LocalSet::new());
    let executor = Executor::new(options, options.slots_max(), &operations);
    let entered = context::enter(Rc::clone(&executor));
    report.started();
    let Ended { outcome, drained } = runtime.block_on(run_main(executor, operations, main));
    drop(entered);
    if !drained {
        // Leaves the stuck pool threads alone; each owns what it works on.
        runtime.shutdown_background();
    }
    outcome
}
