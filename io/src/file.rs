//! A file of one executor thread: whole reads and writes at offsets, direct where the file system permits it.
//!
//! Invariants:
//! * A read or write that succeeds moved all bytes asked for: short transfers are finished here.
//! * While an operation runs, its buffer and the open file belong to it; a dropped future changes nothing about
//!   that. The buffer then goes back to its pool when the kernel is done.

use std::future::Future;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::buffer::Buffer;
use crate::direct_io::SECTOR_BYTES;
use crate::error::{IoError, IoErrorKind};
use crate::executor::context::{self, Executor};
use crate::executor::descriptor::Descriptor;
use crate::metrics::add;
use crate::open_options::OpenOptions;
use crate::transfer::{Direction, Transfer};

/// Most extents of one vectored read, as many as the kernel takes in one `readv`.
pub const EXTENTS_MAX: usize = 1024;

/// Most times that one transfer is begun again after a signal interrupted it.
const INTERRUPTS_MAX: u32 = 64;

/// An open file that belongs to the executor thread it was opened on. Dropping it closes it, after the operations
/// in flight.
#[derive(Debug)]
pub struct File {
    descriptor: Descriptor,
    executor: Rc<Executor>,
    path: Arc<Path>,
    /// `Some` for direct I/O.
    direct_align_bytes: Option<usize>,
}

impl File {
    /// Opens (and with the options creates, or truncates) a file.
    ///
    /// Dropping the future does not stop the opening (a file may be created), but closes what was opened.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `NoSpace`, `Other`; `Unsupported` on a thread that is no executor.
    pub async fn open(path: &Path, options: OpenOptions) -> Result<Self, IoError> {
        const OPERATION: &str = "open";
        let executor = context::current(OPERATION)?;
        let failed = |source| IoError::from_os(OPERATION, source).with_path(path);
        let path: Arc<Path> = path.into();
        let opening = {
            let (executor, path) = (Rc::clone(&executor), Arc::clone(&path));
            async move {
                let _slot = executor.slot().await;
                Descriptor::open(&executor, path, options).await
            }
        };
        let descriptor = executor.run_to_end(opening).await.map_err(failed)?;
        let direct_align_bytes = if options.direct { descriptor.set_direct().map_err(failed)? } else { None };
        Ok(Self { descriptor, executor, path, direct_align_bytes })
    }

    /// Whether reads and writes go past the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct_align_bytes.is_some()
    }

    /// Offsets and lengths are multiples of this many bytes: 512 or more, at most 4096. Buffers from
    /// [`acquire_buffer`](crate::acquire_buffer) always have the right address.
    #[must_use]
    pub fn align_bytes(&self) -> usize {
        self.direct_align_bytes.unwrap_or(SECTOR_BYTES)
    }

    /// Fills the whole buffer with the bytes at `offset`. Gives the buffer back in any case.
    ///
    /// Dropping the future gives the buffer to its pool when the kernel is done with it.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before the buffer is full (what was read is in the buffer's front, as
    /// many bytes as the error says); `Misaligned`; `Other` (EIO).
    pub async fn read_at(&self, offset: u64, buffer: Buffer) -> (Result<(), IoError>, Buffer) {
        self.transfer(Direction::Read, offset, buffer).await
    }

    /// Fills each extent's buffer with the bytes at its offset: all of them go to the kernel in one submission, as far
    /// as the ring has room. Gives the extents back in any case, in their order.
    ///
    /// Each extent is an operation of its own, so that one slow sector holds up no other; neighbours are best read into
    /// one buffer. They may come in any order and may overlap. Nothing is read when any of them is refused.
    ///
    /// Dropping the future gives the buffers to their pool when the kernel is done with them.
    ///
    /// # Errors
    /// The first in order of the extents, as of [`read_at`](Self::read_at), with that extent's offset; what the
    /// others hold is unspecified then. `TooLong` for more than [`EXTENTS_MAX`] extents: split them.
    pub async fn read_vectored_at(
        &self,
        extents: Vec<(u64, Buffer)>,
    ) -> (Result<(), IoError>, Vec<(u64, Buffer)>) {
        if let Err(error) = self.check_extents(&extents) {
            return (Err(error), extents);
        }
        let reads = extents.into_iter().map(|(offset, buffer)| async move {
            let (outcome, buffer) = self.transfer(Direction::Read, offset, buffer).await;
            (outcome, (offset, buffer))
        });
        let (outcomes, extents): (Vec<_>, Vec<_>) = join_all(reads).await.into_iter().unzip();
        (outcomes.into_iter().collect(), extents)
    }

    /// Writes the whole buffer at `offset`. Gives the buffer back in any case.
    ///
    /// Dropping the future does not stop the write. After an error, any part of the bytes may be written. The
    /// bytes survive a power loss only after [`sync_data`](Self::sync_data).
    ///
    /// # Errors
    /// `NoSpace`, `Misaligned`, `Other` (EIO).
    pub async fn write_at(&self, offset: u64, buffer: Buffer) -> (Result<(), IoError>, Buffer) {
        self.transfer(Direction::Write, offset, buffer).await
    }

    /// Makes all finished writes durable. Dropping the future does not stop it.
    ///
    /// # Errors
    /// `Other` (EIO): earlier writes may be lost, and a later call may wrongly succeed. Give the file up.
    pub async fn sync_data(&self) -> Result<(), IoError> {
        let (descriptor, executor) = self.parts();
        self.operation("sync", async move { descriptor.sync_data(&executor).await }).await
    }

    /// Reserves the space of the first `bytes`, and makes the file at least that long. Where the file system cannot
    /// reserve, the file only grows.
    ///
    /// # Errors
    /// `NoSpace`, `Other`.
    pub async fn allocate(&self, bytes: u64) -> Result<(), IoError> {
        if bytes == 0 {
            return Ok(());
        }
        let (descriptor, executor) = self.parts();
        self.operation("allocate", async move { descriptor.allocate(&executor, bytes).await }).await
    }

    /// Gives the space of a range back to the file system: it reads as zeroes, and the length stays. Whole blocks
    /// of the file system are given back, the rest of the range is overwritten by zeroes.
    ///
    /// # Errors
    /// `Unsupported` where the file system has no holes; `Other`, also for a range past 2^63.
    pub async fn punch_hole(&self, offset: u64, bytes: u64) -> Result<(), IoError> {
        const OPERATION: &str = "punch hole";
        if bytes == 0 {
            return Ok(());
        }
        if !is_reachable(offset, bytes) {
            let error = IoError::new(IoErrorKind::Other, OPERATION)
                .with_expected("an end of the range up to 2^63")
                .with_found(format!("offset {offset}, length {bytes}"));
            return Err(self.place(error, offset));
        }
        let (descriptor, executor) = self.parts();
        let punched =
            self.operation(OPERATION, async move { descriptor.punch_hole(&executor, offset, bytes).await });
        punched.await.map_err(|error| error.with_offset(offset))
    }

    /// Sets the length: cuts, or grows by zeroes.
    ///
    /// # Errors
    /// `NoSpace`, `Other`.
    pub async fn truncate(&self, bytes: u64) -> Result<(), IoError> {
        let (descriptor, executor) = self.parts();
        self.operation("truncate", async move { descriptor.truncate(&executor, bytes).await }).await
    }

    /// The length now.
    ///
    /// # Errors
    /// `Other`.
    pub async fn bytes(&self) -> Result<u64, IoError> {
        self.descriptor.bytes().map_err(|source| IoError::from_os("length", source).with_path(&self.path))
    }

    /// Closes the file; when operations whose futures were dropped still run, the last of them closes it.
    ///
    /// # Errors
    /// `Other`; the file is closed all the same.
    pub async fn close(self) -> Result<(), IoError> {
        let Self { descriptor, executor, path, .. } = self;
        let closing = {
            let executor = Rc::clone(&executor);
            async move {
                let _slot = executor.slot().await;
                descriptor.close(&executor).await
            }
        };
        let closed = executor.run_to_end(closing).await;
        closed.map_err(|source| IoError::from_os("close", source).with_path(&path))
    }

    fn parts(&self) -> (Descriptor, Rc<Executor>) {
        (self.descriptor.clone(), Rc::clone(&self.executor))
    }

    /// Runs an operation without a buffer to its end, also when this future is dropped.
    async fn operation(
        &self,
        name: &'static str,
        future: impl Future<Output = io::Result<()>> + 'static,
    ) -> Result<(), IoError> {
        let executor = Rc::clone(&self.executor);
        let whole = async move {
            let _slot = executor.slot().await;
            future.await
        };
        let done = self.executor.run_to_end(whole).await;
        done.map_err(|source| IoError::from_os(name, source).with_path(&self.path))
    }

    async fn transfer(
        &self,
        direction: Direction,
        offset: u64,
        buffer: Buffer,
    ) -> (Result<(), IoError>, Buffer) {
        if let Err(error) = self.check(direction, offset, &buffer) {
            return (Err(error), buffer);
        }
        let bytes = buffer.bytes();
        let mut interrupts = 0;
        let mut transfer = Transfer { buffer, start: 0, _slot: self.executor.slot().await };
        loop {
            let offset_next = offset.saturating_add(transfer.start as u64);
            let (moved, back) =
                self.descriptor.transfer(&self.executor, direction, offset_next, transfer).await;
            transfer = back;
            let step = match moved {
                Ok(moved) => next_step(transfer.start, moved, bytes, self.direct_align_bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted && interrupts < INTERRUPTS_MAX => {
                    interrupts += 1;
                    Step::More(transfer.start)
                }
                Err(error) => {
                    let error = self.place(IoError::from_os(operation_name(direction), error), offset_next);
                    return (Err(error), transfer.buffer);
                }
            };
            match step {
                Step::More(start) => transfer.start = start,
                Step::Done => {
                    self.count(direction, bytes as u64);
                    return (Ok(()), transfer.buffer);
                }
                Step::Short(start) => {
                    return (Err(self.short(direction, offset, bytes, start)), transfer.buffer);
                }
            }
        }
    }

    fn check(&self, direction: Direction, offset: u64, buffer: &Buffer) -> Result<(), IoError> {
        let align_bytes = self.align_bytes();
        let bytes = buffer.bytes();
        let aligned = offset.is_multiple_of(align_bytes as u64) && bytes.is_multiple_of(align_bytes);
        if aligned && is_reachable(offset, bytes as u64) {
            return Ok(());
        }
        let kind = if aligned { IoErrorKind::Other } else { IoErrorKind::Misaligned };
        let error = IoError::new(kind, operation_name(direction))
            .with_expected(format!("offset and length in multiples of {align_bytes} bytes, up to 2^63"))
            .with_found(format!("offset {offset}, length {bytes}"));
        Err(self.place(error, offset))
    }

    fn check_extents(&self, extents: &[(u64, Buffer)]) -> Result<(), IoError> {
        if extents.len() > EXTENTS_MAX {
            let error = IoError::new(IoErrorKind::TooLong, "read vectored")
                .with_expected(format!("at most {EXTENTS_MAX} extents"))
                .with_found(format!("{} extents", extents.len()));
            return Err(self.place(error, extents.first().map_or(0, |(offset, _)| *offset)));
        }
        extents.iter().try_for_each(|(offset, buffer)| self.check(Direction::Read, *offset, buffer))
    }

    fn short(&self, direction: Direction, offset: u64, bytes: usize, done: usize) -> IoError {
        let kind = match direction {
            Direction::Read => IoErrorKind::UnexpectedEof,
            Direction::Write => IoErrorKind::Other,
        };
        let error = IoError::new(kind, operation_name(direction))
            .with_expected(format!("{bytes} bytes"))
            .with_found(format!("{done} bytes"));
        self.place(error, offset)
    }

    fn place(&self, error: IoError, offset: u64) -> IoError {
        error.with_path(&self.path).with_offset(offset)
    }

    fn count(&self, direction: Direction, bytes: u64) {
        let counters = &self.executor.counters;
        let (operations, total) = match direction {
            Direction::Read => (&counters.reads, &counters.read_bytes),
            Direction::Write => (&counters.writes, &counters.written_bytes),
        };
        add(operations, 1);
        add(total, bytes);
    }
}

fn operation_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Read => "read",
        Direction::Write => "write",
    }
}

/// Whether the kernel can address the range: its offsets are signed.
fn is_reachable(offset: u64, bytes: u64) -> bool {
    offset.checked_add(bytes).is_some_and(|end| i64::try_from(end).is_ok())
}

/// What to do after the kernel moved some bytes.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Done,
    /// Go on from here.
    More(usize),
    /// No more will come; this many bytes were moved in all.
    Short(usize),
}

/// `done` bytes were moved before, `moved` just now, of `bytes`. Direct I/O can go on only from an aligned place,
/// and is short at another only at the end of the file.
fn next_step(done: usize, moved: usize, bytes: usize, direct_align_bytes: Option<usize>) -> Step {
    let start = done.saturating_add(moved);
    if start >= bytes {
        Step::Done
    } else if moved == 0 || direct_align_bytes.is_some_and(|align| !start.is_multiple_of(align)) {
        Step::Short(start)
    } else {
        Step::More(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_transfers_go_on_until_the_end_of_the_file() {
        assert_eq!(next_step(0, 8192, 8192, Some(512)), Step::Done);
        assert_eq!(next_step(0, 4096, 8192, Some(512)), Step::More(4096));
        assert_eq!(next_step(4096, 4096, 8192, Some(512)), Step::Done);
        assert_eq!(next_step(4096, 0, 8192, Some(512)), Step::Short(4096));
        assert_eq!(next_step(0, 1000, 8192, Some(512)), Step::Short(1000));
        assert_eq!(next_step(0, 1000, 8192, None), Step::More(1000));
        assert_eq!(next_step(1000, 0, 8192, None), Step::Short(1000));
    }
}
