//! The run of an executor thread with a ring and a loop of its own.

use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use rustix::io::Errno;
use tokio::task::LocalSet;

use crate::error::{IoError, IoErrorKind};
use crate::executor::context::{self, Executor, Host};
use crate::executor::life::{Ended, Report, run_main};
use crate::executor::options::{ExecutorOptions, START};
use crate::executor::threads;
use crate::executor::uring::driver::Driver;
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
    let failed = |source| IoError::from_os(START, source);
    let pool = threads::pool(options, affinity).map_err(failed)?;
    let driver = Driver::new(options.ring_entries_clamped()).map_err(explained)?;
    // Never dropped by accident, as by a panic on the way: the kernel may still write to buffers that it owns.
    let driver = ManuallyDrop::new(Rc::new(driver));
    let operations = Rc::new(LocalSet::new());
    let host = Host::Ring(Rc::downgrade(&operations), Rc::clone(&driver));
    let executor = Executor::new(options, driver.slots_max(), host);
    let entered = context::enter(Rc::clone(&executor));
    let pool_entered = pool.enter();
    report.started();
    let root = run_main(executor, operations, main);
    let ended = driver.block_on(root);
    drop(pool_entered);
    drop(entered);
    let Ended { outcome, drained } = match ended {
        Ok(ended) => ended,
        Err(source) => Ended { outcome: Err(IoError::from_os("enter the ring", source)), drained: false },
    };
    if drained {
        drop(ManuallyDrop::into_inner(driver));
    } else {
        // Leaves the stuck pool threads alone; each owns what it works on.
        pool.shutdown_background();
    }
    outcome
}

/// EINVAL is what a kernel says to flags that it does not know.
fn explained(source: io::Error) -> IoError {
    if source.raw_os_error() == Some(Errno::INVAL.raw_os_error()) {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        return IoError::new(IoErrorKind::Unsupported, START)
            .with_expected("Linux 6.1 or later for uring")
            .with_found(format!("{:?}", release.trim()));
    }
    IoError::from_os(START, source)
}
