//! The run of an executor thread whose rings and loop are glommio's.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use glommio::{LocalExecutorBuilder, Placement};
use tokio::task::LocalSet;

use crate::error::IoError;
use crate::executor::context::{self, Executor};
use crate::executor::glommio::turn::Turns;
use crate::executor::glommio::{check, os_error};
use crate::executor::life::{Ended, Report, run_main};
use crate::executor::options::{ExecutorOptions, START};
use crate::executor::threads;
use crate::executor::uring::try_ring;
use crate::pin::Affinity;

/// Memory that glommio registers with its rings, in bytes: its smallest. Only its `DmaFile` gains by more.
const IO_MEMORY_BYTES: usize = 64 << 10;

/// Smallest ring: glommio puts timers of its own on it at every turn.
const RING_ENTRIES_MIN: u32 = 64;

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
    let failed = |source| IoError::from_os(START, source);
    let ring_entries = options.ring_entries_clamped().max(RING_ENTRIES_MIN);
    check()?;
    let ring_entries = try_ring(ring_entries).map_err(failed)?;
    let pool = threads::pool(options, affinity).map_err(failed)?;
    // The thread is tied to its core by then, and stays so.
    let glommio = LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(usize::try_from(ring_entries).unwrap_or(usize::MAX))
        .make()
        .map_err(|error| failed(os_error(error)))?;
    // Never dropped by accident, as by a panic on the way: the kernel may still write to memory that it owns.
    let glommio = ManuallyDrop::new(glommio);
    let operations = Rc::new(LocalSet::new());
    let executor = Executor::new(options, options.slots_max(), &operations);
    let entered = context::enter(Rc::clone(&executor));
    let pool_entered = pool.enter();
    report.started();
    let root = run_main(Rc::clone(&executor), operations, main);
    let Ended { outcome, drained } = glommio.run(Turns::new(executor, root));
    drop(pool_entered);
    drop(entered);
    if drained {
        drop(ManuallyDrop::into_inner(glommio));
    } else {
        // Leaves the stuck pool threads alone; each owns what it works on.
        pool.shutdown_background();
    }
    outcome
}
