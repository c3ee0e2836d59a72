//! The glommio backend: the thread's three rings and its loop are glommio's; our tasks are one task of it.
//!
//! ```text
//! read, sync, allocate, punch, close ─> operation task ─> BufferedFile ─> main ring ─┐
//! write, open, truncate, names       ─> operation task ─> pool thread ───────────────┤ wake
//!         waiting future <─ copy from glommio's memory <─ loop: submit, reap, sleep <┘
//! ```
//!
//! What glommio 0.9 leaves to us or does in its own way, each kept here:
//! * It reads only into memory that it allocated itself and hands out read-only: a read is copied into its buffer. At most
//!   one copy for each buffer in flight exists, so this backend's memory is at most twice the pool's limit.
//! * It writes only from such memory (or, not aligned, from a `Vec`), so writes go to the pool straight from our
//!   buffer: no second megabyte, no copy on the shard's core.
//! * Its `DmaFile` panics where `/sys` or `statfs` say something unforeseen, and polls without sleep where the device
//!   can be polled. We open files ourselves, set `O_DIRECT` ourselves, and hand it a duplicate of the descriptor
//!   (`kernel.rs`) as a `BufferedFile`, whose memory is aligned for direct I/O all the same.
//! * A dropped future cancels its operation and forgets the file: each runs as an operation task, to its end.
//! * Its executor, when dropped, frees the memory of operations in flight before the kernel is done:
//!   `executor/run/glommio.rs` drains first, and leaks the executor when draining fails.
//! * It panics, or ends the process, on kernels without its operations: the kernel's version and a ring are tried
//!   before it is touched. It wants a limit of 512 KiB on locked memory, needed or not: checked before as well.
//! * It leaks the header of each of its tasks, and so one eventfd for each executor: said when it is chosen (`selection.rs`), and probed once
//!   in a process.
//! * It looks at its rings rarely while it is busy, and its wakers are not for other threads: see `turn.rs`.

mod kernel;
pub(super) mod turn;

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use glommio::GlommioError;
use glommio::io::BufferedFile;
use glommio::timer::Timer;

use super::context::Executor;
use super::options::START;
use super::threads;
use crate::error::{IoError, IoErrorKind};
use crate::transfer::Transfer;

/// What glommio wants to be allowed to lock, in bytes, whether it needs it or not.
const LOCKED_MEMORY_BYTES_MIN: u64 = 512 << 10;

/// Longest sleep: a hundred years.
const SLEEP_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// First kernel with all operations that glommio asks for.
const KERNEL_MIN: (u32, u32) = (5, 8);

/// What can be known before a ring is tried.
pub(crate) fn check() -> Result<(), IoError> {
    try_kernel()?;
    try_locked_memory()
}

/// glommio panics on a kernel without its operations, and ends the process on one with a part of them.
fn try_kernel() -> Result<(), IoError> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if kernel_version(&release).is_some_and(|version| version >= KERNEL_MIN) {
        return Ok(());
    }
    let (major, minor) = KERNEL_MIN;
    Err(IoError::new(IoErrorKind::Unsupported, START)
        .with_expected(format!("Linux {major}.{minor} or later for glommio"))
        .with_found(format!("{:?}", release.trim())))
}

/// glommio says the same with less words. A limit that cannot be read is left to it.
fn try_locked_memory() -> Result<(), IoError> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match locked_memory_bytes(&limits) {
        Some(bytes) if bytes < LOCKED_MEMORY_BYTES_MIN => Err(IoError::new(IoErrorKind::Unsupported, START)
            .with_expected(format!(
                "a limit on locked memory of at least {LOCKED_MEMORY_BYTES_MIN} bytes for glommio (raise \
                     `ulimit -l`)"
            ))
            .with_found(format!("{bytes} bytes"))),
        _ => Ok(()),
    }
}

/// The soft limit; `None` when there is none.
fn locked_memory_bytes(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The error with its errno, which glommio's own conversion loses.
pub(super) fn os_error(error: GlommioError<()>) -> io::Error {
    match error {
        GlommioError::IoError(source) | GlommioError::EnhancedIoError { source, .. } => source,
        other => other.into(),
    }
}

/// Resolves after this time.
pub(crate) async fn sleep(duration: Duration) {
    // It adds this to the time it is now, unchecked.
    Timer::new(duration.min(SLEEP_MAX)).await;
}

/// An open file, once for the rings and once for the pool.
pub(crate) struct OpenFile {
    ring: BufferedFile,
    pub(crate) pool: Arc<std::fs::File>,
}

impl OpenFile {
    pub(crate) fn new(file: std::fs::File) -> io::Result<Self> {
        let ring = kernel::adopt(file.try_clone()?.into());
        Ok(Self { ring, pool: Arc::new(file) })
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// One read into the part of the buffer still to be filled. Run it as an operation task.
pub(crate) async fn read(
    executor: Rc<Executor>,
    file: Rc<OpenFile>,
    offset: u64,
    mut transfer: Transfer,
) -> (io::Result<usize>, Transfer) {
    executor.unsubmitted.set(true);
    let wanted = transfer.buffer.bytes().saturating_sub(transfer.start);
    let read = file.ring.read_at(offset, wanted).await;
    executor.gate.pass().await;
    let to_fill = transfer.buffer.get_mut(transfer.start..).unwrap_or_default();
    let outcome = match read {
        Ok(bytes) => {
            let read = bytes.len().min(to_fill.len());
            if let (Some(to), Some(from)) = (to_fill.get_mut(..read), bytes.get(..read)) {
                to.copy_from_slice(from);
            }
            Ok(read)
        }
        Err(error) => Err(os_error(error)),
    };
    (outcome, transfer)
}

pub(crate) async fn sync_data(executor: &Executor, file: &OpenFile) -> io::Result<()> {
    executor.unsubmitted.set(true);
    file.ring.fdatasync().await.map_err(os_error)
}

pub(crate) async fn allocate(executor: &Executor, file: &OpenFile, bytes: u64) -> io::Result<()> {
    executor.unsubmitted.set(true);
    file.ring.pre_allocate(bytes, false).await.map_err(os_error)
}

pub(crate) async fn punch_hole(
    executor: &Executor,
    file: &OpenFile,
    offset: u64,
    bytes: u64,
) -> io::Result<()> {
    executor.unsubmitted.set(true);
    file.ring.deallocate(offset, bytes).await.map_err(os_error)
}

pub(crate) async fn close(executor: &Executor, file: OpenFile) -> io::Result<()> {
    executor.unsubmitted.set(true);
    let OpenFile { ring, pool } = file;
    let closed = ring.close().await.map_err(os_error);
    threads::close(pool).await.and(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_of_any_kernel() {
        assert_eq!(kernel_version("6.18.44-fc-v657\n"), Some((6, 18)));
        assert_eq!(kernel_version("5.8-rc1"), Some((5, 8)));
        assert_eq!(kernel_version("4.4.0"), Some((4, 4)));
        assert_eq!(kernel_version("5"), None);
        assert_eq!(kernel_version(""), None);
    }

    #[test]
    fn reads_the_limit_on_locked_memory() {
        let text = "Max processes  1  1  processes\nMax locked memory         65536                8388608    bytes\n";
        assert_eq!(locked_memory_bytes(text), Some(65_536));
        assert_eq!(locked_memory_bytes(&text.replace("65536", "unlimited")), None);
        assert_eq!(locked_memory_bytes(""), None);
    }
}
