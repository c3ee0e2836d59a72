//! The uring backend: the thread's own ring, driven by our own loop on the `io-uring` crate.
//!
//! ```text
//! read, write, open, sync, allocate, punch, close ─> Work ─> ring ─ one io_uring_enter a turn ─> kernel
//! truncate, names                                 ─> operation task ─> pool thread
//! ```
//!
//! One issuer, completions only when the loop asks for them (`IORING_SETUP_SINGLE_ISSUER`, `DEFER_TASKRUN`: Linux 6.1),
//! files and often used buffers registered with the ring. Why it is here beside two runtimes, and what it gains: decision 0005
//! and `docs/performance.md`.
//!
//! Invariants:
//! * The ring owns all that an operation works on until its completion (`ring.rs`); it is drained before it is dropped,
//!   or leaked when draining fails.
//! * No wake is lost (`wakes.rs`), and a thread with nothing to do sleeps in the kernel (`driver.rs`).

mod timers;
mod wakes;
mod open_file;
mod ring;
pub(crate) mod driver;

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

use crate::open_options::OpenOptions;
use crate::transfer::{Direction, Transfer};
use driver::Driver;
pub(crate) use open_file::OpenFile;
use ring::Work;

/// Smallest ring that a thread makes do with when the kernel has no memory for a larger one.
const RING_ENTRIES_MIN: u32 = 8;

/// Sets up a plain ring, as any kernel with io_uring has it, lets the kernel enter it once, and gives it back. The
/// number of entries that the kernel had memory for: this many, or half, or a quarter, ..
///
/// # Errors
/// The kernel's own, of `io_uring_setup` or `io_uring_enter`.
pub(crate) fn try_ring(mut entries: u32) -> io::Result<u32> {
    let out_of_memory = Some(Errno::NOMEM.raw_os_error());
    loop {
        match io_uring::IoUring::new(entries) {
            Ok(ring) => return ring.submit().map(|_| entries),
            Err(error) if error.raw_os_error() == out_of_memory && entries > RING_ENTRIES_MIN => entries /= 2,
            Err(error) => return Err(error),
        }
    }
}

pub(crate) async fn open(driver: &Rc<Driver>, path: &Path, options: OpenOptions) -> io::Result<OpenFile> {
    let flags = open_flags(options)?;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let done = driver.begin(Work::Open { path, flags }).await;
    done.outcome?;
    let descriptor = done.opened.ok_or_else(|| io::Error::from(Errno::BADF))?;
    let slot = driver.register_file(&descriptor);
    Ok(OpenFile { descriptor, slot })
}

/// As of the standard library, with its refusals.
fn open_flags(options: OpenOptions) -> io::Result<OFlags> {
    let OpenOptions { read, write, create, create_new, truncate, direct: _ } = options;
    if !write && (create || create_new || truncate) {
        return Err(Errno::INVAL.into());
    }
    let mut flags = OFlags::CLOEXEC | OFlags::from_bits_retain(options.system_flags().cast_unsigned());
    flags |= match (read, write) {
        (true, true) => OFlags::RDWR,
        (true, false) => OFlags::RDONLY,
        (false, true) => OFlags::WRONLY,
        (false, false) => return Err(Errno::INVAL.into()),
    };
    flags |= match (create, create_new) {
        (_, true) => OFlags::CREATE | OFlags::EXCL,
        (true, false) => OFlags::CREATE,
        (false, false) => OFlags::empty(),
    };
    if truncate && !create_new {
        flags |= OFlags::TRUNC;
    }
    Ok(flags)
}

pub(crate) async fn transfer(
    driver: &Rc<Driver>,
    file: Rc<OpenFile>,
    direction: Direction,
    offset: u64,
    transfer: Transfer,
) -> (io::Result<usize>, Transfer) {
    // The ring owns the transfer while the kernel works on it, whatever becomes of this future.
    let done = driver.begin(Work::Transfer { file, direction, offset, transfer }).await;
    let moved = done.outcome.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    match done.work {
        Work::Transfer { transfer, .. } => (moved, transfer),
        // The work comes back as it was given.
        _ => std::future::pending().await,
    }
}

pub(crate) async fn sync_data(driver: &Rc<Driver>, file: Rc<OpenFile>) -> io::Result<()> {
    driver.begin(Work::SyncData { file }).await.outcome.map(drop)
}

pub(crate) async fn allocate(driver: &Rc<Driver>, file: Rc<OpenFile>, bytes: u64) -> io::Result<()> {
    let work = Work::Fallocate { file, mode: FallocateFlags::empty(), offset: 0, bytes };
    driver.begin(work).await.outcome.map(drop)
}

/// Gives the space of a range back; it reads as zeroes then.
pub(crate) async fn punch_hole(
    driver: &Rc<Driver>,
    file: Rc<OpenFile>,
    offset: u64,
    bytes: u64,
) -> io::Result<()> {
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    driver.begin(Work::Fallocate { file, mode, offset, bytes }).await.outcome.map(drop)
}

pub(crate) async fn close(driver: &Rc<Driver>, file: OpenFile) -> io::Result<()> {
    let OpenFile { descriptor, slot } = file;
    // The kernel lets go of the table's place at the next turn, the one that closes the descriptor.
    drop(slot);
    driver.begin(Work::Close { descriptor: Some(descriptor) }).await.outcome.map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::{
        Backend, BackendChoice, Buffer, ExecutorOptions, File, OpenOptions, acquire_buffer, select_backend,
        spawn_executor,
    };

    async fn is_read_right(file: &File, block: u8) -> bool {
        let buffer = acquire_buffer(4096).await.unwrap();
        let (outcome, mut buffer) = file.read_at(u64::from(block) * 4096, buffer).await;
        outcome.unwrap();
        assert!(buffer.iter().all(|byte| *byte == block), "block {block}");
        is_registered(&mut buffer)
    }

    fn is_registered(buffer: &mut Buffer) -> bool {
        buffer.memory_mut().slot.is_some()
    }

    /// Memory that is used again and again is registered, and read right; when it is freed its place serves other memory,
    /// and nothing is read to where the old one was.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no io_uring")]
    fn often_used_buffers_are_registered_and_their_places_used_again() {
        if select_backend(BackendChoice::Uring).is_err() {
            return;
        }
        let mut blocks = tempfile::NamedTempFile::new().unwrap();
        for block in 0..64_u8 {
            blocks.write_all(&[block; 4096]).unwrap();
        }
        let path = blocks.path().to_owned();
        let options = ExecutorOptions {
            backend: Backend::Uring,
            buffer_bytes_max: 64 << 10,
            ..ExecutorOptions::default()
        };
        let executor = spawn_executor(options, move || async move {
            let options = OpenOptions { read: true, direct: true, ..OpenOptions::default() };
            let file = File::open(&path, options).await.unwrap();
            for round in 0..8 {
                let mut registered = 0;
                for block in 0..64 {
                    registered += u32::from(is_read_right(&file, block).await);
                }
                assert!(registered >= 50, "round {round}: {registered} of 64 reads into registered memory");
                // All the pool's memory at once: the idle, registered buffer makes room and is freed.
                let all = acquire_buffer(64 << 10).await.unwrap();
                drop(all);
            }
            file.close().await.unwrap();
        });
        executor.unwrap().join().unwrap();
    }
}
