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
pub(super) mod turn;

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FallocateFlags;
use tokio_uring::fs::File;

use super::context::Executor;
use crate::open_options::{OpenOptions, PRIVATE_FILE_MODE};
use crate::transfer::{Direction, Transfer};

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
