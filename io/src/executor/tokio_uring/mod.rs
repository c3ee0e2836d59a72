//! The tokio-uring backend: the thread's own ring, driven by a tokio current-thread runtime.
//!
//! ```text
//! File ─> operation on the ring (driver owns its transfer) ─> the runtime sleeps: one io_uring_enter for the turn
//!                                                                    │ epoll on the ring
//!         waiting future <─ completion <─────────────────────────────┘
//! ```
//!
//! What tokio-uring 0.5 leaves to us, each kept here:
//! * It submits only when its runtime is about to sleep: `turn.rs` sees to it that a busy thread submits too.
//! * A full submission queue makes it submit inside its own borrow, where an error panics: there are fewer slots
//!   than ring entries, so the queue is never full (nor the completion queue, twice as large).
//! * Its driver frees buffers of operations in flight when it is dropped: see `kernel.rs`; we drain first.
//! * An `open` whose future is dropped leaks the descriptor: opening runs as an operation task, to its end.
//! * A failed start leaks its epoll descriptor: the ring is tried on its own before.

pub(crate) mod kernel;
mod turn;

use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::FallocateFlags;
use tokio::task::LocalSet;
use tokio_uring::fs::File;

use super::context::{self, Executor};
use super::descriptor::{Direction, Transfer};
use super::uring::try_ring;
use super::{Ended, ExecutorOptions, Report, START, run_main};
use crate::error::IoError;
use crate::file::{OpenOptions, PRIVATE_FILE_MODE};
use turn::Turns;

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

pub(crate) async fn open(executor: &Executor, path: &Path, options: OpenOptions) -> io::Result<File> {
    executor.unsubmitted.set(true);
    tokio_uring::fs::OpenOptions::new()
        .read(options.read)
        .write(options.write)
        .create(options.create)
        .create_new(options.create_new)
        .truncate(options.truncate)
        .mode(PRIVATE_FILE_MODE)
        .custom_flags(options.system_flags())
        .open(path)
        .await
}

pub(crate) async fn transfer(
    executor: &Executor,
    file: &File,
    direction: Direction,
    offset: u64,
    transfer: Transfer,
) -> (io::Result<usize>, Transfer) {
    executor.unsubmitted.set(true);
    let done = match direction {
        Direction::Read => file.read_at(transfer, offset).await,
        Direction::Write => file.write_at(transfer, offset).submit().await,
    };
    executor.gate.pass().await;
    done
}

pub(crate) async fn sync_data(executor: &Executor, file: &File) -> io::Result<()> {
    executor.unsubmitted.set(true);
    file.sync_data().await
}

pub(crate) async fn allocate(executor: &Executor, file: &File, bytes: u64) -> io::Result<()> {
    executor.unsubmitted.set(true);
    file.fallocate(0, bytes, 0).await
}

/// Gives the space of a range back; it reads as zeroes then.
pub(crate) async fn punch_hole(executor: &Executor, file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    executor.unsubmitted.set(true);
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    file.fallocate(offset, bytes, mode.bits().cast_signed()).await
}

pub(crate) async fn close(executor: &Executor, file: File) -> io::Result<()> {
    executor.unsubmitted.set(true);
    file.close().await
}
