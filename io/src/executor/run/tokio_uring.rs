//! The run of an executor thread whose ring tokio-uring drives.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use tokio::task::LocalSet;

use crate::error::IoError;
use crate::executor::context::{self, Executor};
use crate::executor::life::{Ended, Report, run_main};
use crate::executor::options::{ExecutorOptions, START};
use crate::executor::tokio_uring::turn::Turns;
use crate::executor::uring::try_ring;

/// Runs an executor thread to its end.
pub(super) fn run<F, Fut>(options: &ExecutorOptions, report: Report, main: F) -> Result<(), IoError>
where
    F: FnOnce() -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let failed = |source| IoError::from_os(START, source);
    let ring_entries = try_ring(options.ring_entries_clamped()).map_err(failed)?;
    let runtime = tokio_uring::Runtime::new(tokio_uring::builder().entries(ring_entries)).map_err(failed)?;
    // Never dropped by accident, as by a panic on the way: the kernel may still write to buffers that its driver
    // owns, and the driver would free them first.
    let runtime = ManuallyDrop::new(runtime);
    let slots_max = usize::try_from(ring_entries - 1).unwrap_or(usize::MAX);
    let operations = Rc::new(LocalSet::new());
    let executor = Executor::new(options, slots_max.min(options.slots_max()), &operations);
    let entered = context::enter(Rc::clone(&executor));
    report.started();
    let root = run_main(Rc::clone(&executor), operations, main);
    let Ended { outcome, drained } = runtime.block_on(Turns::new(executor, root));
    drop(entered);
    if drained {
        drop(ManuallyDrop::into_inner(runtime));
    }
    outcome
}
