//! An open file as its backend has it, and the few verbs that each backend must offer for it.
//!
//! ```text
//!                 open   read   write   sync_data   allocate, punch_hole   close   truncate, length, direct
//! uring           ring   ring   ring    ring        ring                   ring    thread pool or in place
//! tokio-uring     ring   ring   ring    ring        ring                   ring    thread pool or in place
//! glommio         pool   ring   pool    ring        ring                   ring    thread pool or in place
//! threads         pool   pool   pool    pool        pool                   pool    thread pool or in place
//! simulated       a task of the machine that waits and then acts on its disk
//! ```

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::{AtFlags, OFlags, StatxFlags, fcntl_getfl, fcntl_setfl, fstat, statx};

use super::context::Executor;
#[cfg(feature = "glommio")]
use super::glommio;
#[cfg(feature = "tokio-uring")]
use super::tokio_uring;
use super::{threads, uring};
use crate::backend::Backend;
use crate::direct_io::{BUFFER_ALIGN_BYTES, SECTOR_BYTES};
use crate::open_options::OpenOptions;
use crate::simulated_machine::files::{self, SimulatedFile};
use crate::transfer::{Direction, Transfer};

/// An open file. Clones are the same open file; it closes with the last of them.
#[derive(Clone, Debug)]
pub(crate) enum Descriptor {
    Uring(Rc<uring::OpenFile>),
    #[cfg(feature = "tokio-uring")]
    TokioUring(Rc<::tokio_uring::fs::File>),
    #[cfg(feature = "glommio")]
    Glommio(Rc<glommio::OpenFile>),
    Threads(Arc<std::fs::File>),
    Simulated(Rc<SimulatedFile>),
}

impl Descriptor {
    pub(crate) async fn open(executor: &Executor, path: Arc<Path>, options: OpenOptions) -> io::Result<Self> {
        match executor.backend {
            Backend::Uring => Ok(Self::Uring(Rc::new(uring::open(executor.ring()?, &path, options).await?))),
            #[cfg(feature = "tokio-uring")]
            Backend::TokioUring => {
                Ok(Self::TokioUring(Rc::new(tokio_uring::open(executor, &path, options).await?)))
            }
            #[cfg(feature = "glommio")]
            Backend::Glommio => {
                let file = threads::open(path, options).await?;
                Ok(Self::Glommio(Rc::new(glommio::OpenFile::new(file)?)))
            }
            Backend::Threads => Ok(Self::Threads(Arc::new(threads::open(path, options).await?))),
            Backend::Simulated => {
                Ok(Self::Simulated(Rc::new(files::open(executor.machine(), path, options).await?)))
            }
            // No executor of one that is not built in has started.
            #[cfg(not(all(feature = "tokio-uring", feature = "glommio")))]
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Moves some bytes, at least one unless at the end of the file.
    pub(crate) async fn transfer(
        &self,
        executor: &Rc<Executor>,
        direction: Direction,
        offset: u64,
        transfer: Transfer,
    ) -> (io::Result<usize>, Transfer) {
        match self {
            Self::Uring(file) => {
                let driver = match executor.ring() {
                    Ok(driver) => driver,
                    Err(error) => return (Err(error), transfer),
                };
                uring::transfer(driver, Rc::clone(file), direction, offset, transfer).await
            }
            // The ring's driver owns the transfer while the kernel works on it, whatever becomes of this future.
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring(file) => {
                tokio_uring::transfer(executor, file, direction, offset, transfer).await
            }
            // Here and below an operation task does.
            #[cfg(feature = "glommio")]
            Self::Glommio(file) if direction == Direction::Read => {
                let job = glommio::read(Rc::clone(executor), Rc::clone(file), offset, transfer);
                executor.run_to_end(job).await
            }
            #[cfg(feature = "glommio")]
            Self::Glommio(file) => {
                let job = threads::transfer(Arc::clone(&file.pool), direction, offset, transfer);
                executor.run_to_end(job).await
            }
            Self::Threads(file) => {
                let file = Arc::clone(file);
                let job = threads::transfer(file, direction, offset, transfer);
                executor.run_to_end(job).await
            }
            Self::Simulated(file) => {
                let job = files::transfer(Rc::clone(file), direction, offset, transfer);
                executor.run_to_end(job).await
            }
        }
    }

    pub(crate) async fn sync_data(&self, executor: &Executor) -> io::Result<()> {
        match self {
            Self::Uring(file) => uring::sync_data(executor.ring()?, Rc::clone(file)).await,
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring(file) => tokio_uring::sync_data(executor, file).await,
            #[cfg(feature = "glommio")]
            Self::Glommio(file) => glommio::sync_data(executor, file).await,
            Self::Threads(file) => threads::sync_data(Arc::clone(file)).await,
            Self::Simulated(file) => files::sync_data(Rc::clone(file)).await,
        }
    }

    /// Reserves the space of the first `bytes`; the file is at least that long after it.
    pub(crate) async fn allocate(&self, executor: &Executor, bytes: u64) -> io::Result<()> {
        let reserved = match self {
            Self::Uring(file) => uring::allocate(executor.ring()?, Rc::clone(file), bytes).await,
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring(file) => tokio_uring::allocate(executor, file, bytes).await,
            #[cfg(feature = "glommio")]
            Self::Glommio(file) => glommio::allocate(executor, file, bytes).await,
            Self::Threads(file) => threads::allocate(Arc::clone(file), bytes).await,
            Self::Simulated(file) => {
                files::space(Rc::clone(file), |disk, node| disk.allocate(node, bytes)).await
            }
        };
        match reserved {
            // The file system cannot reserve; a file with holes serves as well until it is full.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::OPNOTSUPP.raw_os_error()) => {
                if self.bytes()? < bytes { self.truncate(executor, bytes).await } else { Ok(()) }
            }
            other => other,
        }
    }

    /// Gives the space of a range back; it reads as zeroes then, and the length stays.
    pub(crate) async fn punch_hole(&self, executor: &Executor, offset: u64, bytes: u64) -> io::Result<()> {
        match self {
            Self::Uring(file) => uring::punch_hole(executor.ring()?, Rc::clone(file), offset, bytes).await,
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring(file) => tokio_uring::punch_hole(executor, file, offset, bytes).await,
            #[cfg(feature = "glommio")]
            Self::Glommio(file) => glommio::punch_hole(executor, file, offset, bytes).await,
            Self::Threads(file) => threads::punch_hole(Arc::clone(file), offset, bytes).await,
            Self::Simulated(file) => {
                let range = offset..offset.saturating_add(bytes);
                files::space(Rc::clone(file), |disk, node| disk.punch(node, range)).await
            }
        }
    }

    /// Sets the length. It may take long on a large file, so it runs on the pool in every backend (the ring has
    /// no operation for it before Linux 6.9).
    pub(crate) async fn truncate(&self, executor: &Executor, bytes: u64) -> io::Result<()> {
        if let Self::Simulated(file) = self {
            return files::space(Rc::clone(file), |disk, node| disk.set_bytes(node, bytes)).await;
        }
        let _pool_slot = executor.pool_slot().await;
        let file = std::fs::File::from(self.fd()?.try_clone_to_owned()?);
        threads::on_pool(move || file.set_len(bytes)).await
    }

    /// The length now. In place: it reads what the kernel holds in memory.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        if let Self::Simulated(file) = self {
            return file.bytes();
        }
        let bytes = fstat(self.fd()?)?.st_size;
        u64::try_from(bytes).map_err(io::Error::other)
    }

    /// Closes at once when this is the last of its clones, else when the last one goes.
    pub(crate) async fn close(self, executor: &Executor) -> io::Result<()> {
        match self {
            Self::Uring(file) => match Rc::try_unwrap(file) {
                Ok(file) => uring::close(executor.ring()?, file).await,
                Err(_) => Ok(()),
            },
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring(file) => match Rc::try_unwrap(file) {
                Ok(file) => tokio_uring::close(executor, file).await,
                Err(_) => Ok(()),
            },
            #[cfg(feature = "glommio")]
            Self::Glommio(file) => match Rc::try_unwrap(file) {
                Ok(file) => glommio::close(executor, file).await,
                Err(_) => Ok(()),
            },
            Self::Threads(file) => threads::close(file).await,
            Self::Simulated(file) => {
                drop(file);
                Ok(())
            }
        }
    }

    /// Turns direct I/O on; the alignment it asks for, or `None` where the file system refuses it.
    ///
    /// By fcntl and not by a flag of open: an open that creates and is then refused leaves a file behind, and
    /// the second try could not tell it from somebody else's.
    pub(crate) fn set_direct(&self) -> io::Result<Option<usize>> {
        if let Self::Simulated(file) = self {
            return Ok(Some(file.align_bytes()));
        }
        let fd = self.fd()?;
        let Some(align_bytes) = direct_align_bytes(fd) else { return Ok(None) };
        let flags = fcntl_getfl(fd)?;
        match fcntl_setfl(fd, flags | OFlags::DIRECT) {
            Ok(()) => Ok(Some(align_bytes)),
            Err(rustix::io::Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What the kernel knows it by; a simulated file is not the kernel's.
    fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::Uring(file) => Ok(file.as_fd()),
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring(file) => Ok(tokio_uring::kernel::descriptor(file)),
            #[cfg(feature = "glommio")]
            Self::Glommio(file) => Ok(file.pool.as_fd()),
            Self::Threads(file) => Ok(file.as_fd()),
            Self::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// What statx says (Linux 6.1 and later), else the strictest that is usual.
fn direct_align_bytes(fd: BorrowedFd<'_>) -> Option<usize> {
    let Ok(stat) = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) else {
        return Some(BUFFER_ALIGN_BYTES);
    };
    if stat.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return Some(BUFFER_ALIGN_BYTES);
    }
    let align_bytes = usize::try_from(stat.stx_dio_offset_align.max(stat.stx_dio_mem_align)).ok()?;
    let usable =
        stat.stx_dio_offset_align > 0 && align_bytes.is_power_of_two() && align_bytes <= BUFFER_ALIGN_BYTES;
    usable.then_some(align_bytes.max(SECTOR_BYTES))
}
