//! The threads backend: pread and pwrite on a bounded pool, for kernels and containers that forbid io_uring.
//!
//! ```text
//! File ─> operation task (owns buffer, slot, file) ─> pool thread: pread(memory) ─> wake ─> buffer whole again
//! ```
//!
//! While a pool thread works on it, the memory is out of its buffer and owned by the job; the operation task waits
//! for it even when its caller does not any more. The pool is tokio's: it starts threads on demand up to the
//! limit, and ends them after ten idle seconds.

use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};

use super::options::ExecutorOptions;
use crate::buffer_memory::AlignedMemory;
use crate::open_options::{OpenOptions, PRIVATE_FILE_MODE};
use crate::pin::Affinity;
use crate::transfer::{Direction, Transfer};

/// A runtime with the pool, and with time for the one who blocks on it.
pub(super) fn pool(options: &ExecutorOptions, affinity: Affinity) -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(options.file_threads_max.max(1))
        // The executor is tied to its core; the threads that block for it are better off on any other.
        .on_thread_start(move || affinity.restore())
        .thread_name(format!("{}-file", options.name))
        .build()
}

/// Runs blocking code on the pool.
pub(crate) async fn on_pool<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(job).await.map_err(io::Error::other)?
}

pub(crate) async fn open(path: Arc<std::path::Path>, options: OpenOptions) -> io::Result<std::fs::File> {
    on_pool(move || {
        std::fs::OpenOptions::new()
            .read(options.read)
            .write(options.write)
            .create(options.create)
            .create_new(options.create_new)
            .truncate(options.truncate)
            .mode(PRIVATE_FILE_MODE)
            .custom_flags(options.system_flags())
            .open(path)
    })
    .await
}

/// One pread into, or pwrite from, the part of the buffer still to be moved.
pub(crate) async fn transfer(
    file: Arc<std::fs::File>,
    direction: Direction,
    offset: u64,
    mut transfer: Transfer,
) -> (io::Result<usize>, Transfer) {
    let range = transfer.start..transfer.buffer.bytes();
    let mut memory = transfer.buffer.take_memory();
    let memory_bytes = memory.len();
    let job = move || {
        let bytes = memory.get_mut(range).unwrap_or_default();
        let outcome = match direction {
            Direction::Read => file.read_at(bytes, offset),
            Direction::Write => file.write_at(bytes, offset),
        };
        Ok((outcome, memory))
    };
    match on_pool(job).await {
        Ok((outcome, memory)) => {
            transfer.buffer.put_memory(memory);
            (outcome, transfer)
        }
        // The pool never ran the job and dropped it, its memory with it: the buffer must be whole again.
        Err(error) => {
            if let Some(memory) = AlignedMemory::allocate(memory_bytes) {
                transfer.buffer.put_memory(memory);
            }
            (Err(error), transfer)
        }
    }
}

pub(crate) async fn sync_data(file: Arc<std::fs::File>) -> io::Result<()> {
    on_pool(move || file.sync_data()).await
}

pub(crate) async fn allocate(file: Arc<std::fs::File>, bytes: u64) -> io::Result<()> {
    on_pool(move || Ok(fallocate(&*file, FallocateFlags::empty(), 0, bytes)?)).await
}

/// Gives the space of a range back; it reads as zeroes then.
pub(crate) async fn punch_hole(file: Arc<std::fs::File>, offset: u64, bytes: u64) -> io::Result<()> {
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    on_pool(move || Ok(fallocate(&*file, mode, offset, bytes)?)).await
}

pub(crate) async fn close(file: Arc<std::fs::File>) -> io::Result<()> {
    let job = move || {
        drop(file);
        Ok(())
    };
    on_pool(job).await
}
