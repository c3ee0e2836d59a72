//! A part of a file as one slice, read once: mapped into memory where that is safe, else read.
//!
//! ```text
//! with_mapped(path, range, job) ──> pool thread: map ─> populate ─> job(bytes) ─> unmap
//!                                                └ refused or failed: read into memory of its own ─> job(bytes)
//! ```
//!
//! For what is read at start and never again, such as the snapshot of an index: the kernel reads ahead, and nothing is copied. Never for
//! what is read while an executor serves: a page fault stops its thread.
//!
//! A page that cannot be read kills a process that touches it in a mapping. So the mapping is populated first (`MADV_POPULATE_READ`, Linux
//! 5.14), which reports such a page as an error instead; where the kernel cannot do that, or finds one, the range is read by `pread`, which
//! reports it as well. What remains: somebody cuts the file short, or the kernel drops a page and then fails to read it again, while `job`
//! runs. The first is what folder locks are for ([`lock_dir`](crate::fs::lock_dir)).
#![expect(unsafe_code, reason = "a mapping of a file is memory that another process could change")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use memmap2::{Advice, Mmap, MmapOptions};

use crate::acquire::acquire_buffer;
use crate::direct_io::SECTOR_BYTES;
use crate::error::{IoError, IoErrorKind};
use crate::executor::{context, threads};
use crate::open_options::OpenOptions;

/// Longest range, in bytes.
pub const MAP_BYTES_MAX: u64 = 1 << 36;

/// Bytes of one read where nothing can be mapped.
const READ_BYTES: usize = 512 << 10;

/// Shows `job` the bytes of a range of a file, on a thread of the executor's pool (on a thread that is no executor: in place).
///
/// A file that ends before the range does is an error. Dropping the future does not stop the job.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `Other` (EIO); `UnexpectedEof`; `TooLong` for more than [`MAP_BYTES_MAX`].
pub async fn with_mapped<T: Send + 'static>(
    path: &Path,
    range: Range<u64>,
    job: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T, IoError> {
    const OPERATION: &str = "map";
    let bytes = range.end.saturating_sub(range.start);
    let bytes = usize::try_from(bytes).ok().filter(|_| bytes <= MAP_BYTES_MAX).ok_or_else(|| {
        IoError::new(IoErrorKind::TooLong, OPERATION)
            .with_path(path)
            .with_expected(format!("at most {MAP_BYTES_MAX} bytes"))
            .with_found(format!("{bytes} bytes"))
    })?;
    let Some(executor) = context::try_current() else {
        return show(path, range.start, bytes, job)
            .map_err(|source| IoError::from_os(OPERATION, source).with_path(path));
    };
    if executor.machine().is_some() {
        return Ok(job(&read_simulated(path, range.start, bytes).await?));
    }
    let (whole_path, slot_of) = (path.to_owned(), Rc::clone(&executor));
    let whole = async move {
        let _slot = slot_of.slot().await;
        let _pool_slot = slot_of.pool_slot().await;
        threads::on_pool(move || show(&whole_path, range.start, bytes, job)).await
    };
    let shown = executor.run_to_end(whole).await;
    shown.map_err(|source| IoError::from_os(OPERATION, source).with_path(path))
}

fn show<T>(path: &Path, offset: u64, bytes: usize, job: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
    let file = File::open(path)?;
    // Past its end a mapping has no pages.
    if file.metadata()?.len() < offset.saturating_add(bytes as u64) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match map(&file, offset, bytes) {
        Some(mapped) => Ok(job(&mapped)),
        None => {
            let mut read = vec![0; bytes];
            file.read_exact_at(&mut read, offset)?;
            Ok(job(&read))
        }
    }
}

/// The range as memory, all of it read already; `None` where the kernel would not say if that fails.
fn map(file: &File, offset: u64, bytes: usize) -> Option<Mmap> {
    // SAFETY: the mapping is private to this module and read-only, and lives only while the job runs. Bytes that another process changes
    // meanwhile are the caller's to find out by their checksums (as with any read); cutting the file short is excluded by the folder's lock.
    let mapped = unsafe { MmapOptions::new().offset(offset).len(bytes).map(file) }.ok()?;
    mapped.advise(Advice::PopulateRead).ok()?;
    Some(mapped)
}

/// A simulated disk cannot be mapped: the same bytes by its reads, with their faults.
async fn read_simulated(path: &Path, offset: u64, bytes: usize) -> Result<Vec<u8>, IoError> {
    const SECTOR: u64 = SECTOR_BYTES as u64;
    let file = crate::file::File::open(path, OpenOptions { read: true, ..OpenOptions::default() }).await?;
    let end = offset.saturating_add(bytes as u64);
    let (mut at, mut read) = (offset - offset % SECTOR, Vec::new());
    let skip = usize::try_from(offset - at).unwrap_or_default();
    while at < end {
        let left = usize::try_from((end - at).next_multiple_of(SECTOR)).unwrap_or(usize::MAX);
        let (outcome, buffer) = file.read_at(at, acquire_buffer(left.min(READ_BYTES)).await?).await;
        outcome?;
        at += buffer.len() as u64;
        read.extend_from_slice(&buffer);
    }
    read.drain(..skip);
    read.truncate(bytes);
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_shown_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::write(&path, &bytes).unwrap();
        let shown = |range: Range<u64>| {
            crate::block_on(with_mapped(&path, range, <[u8]>::to_vec)).map_err(|error| error.kind())
        };
        // Offsets within a page as well.
        for range in [0..0, 0..100_000, 4096..8192, 5_000..99_999] {
            let expected =
                bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec();
            assert_eq!(shown(range), Ok(expected));
        }
        assert_eq!(shown(90_000..100_001), Err(IoErrorKind::UnexpectedEof));
        assert_eq!(shown(0..u64::MAX), Err(IoErrorKind::TooLong));
        let missing = crate::block_on(with_mapped(&folder.path().join("none"), 0..1, |_| ()));
        assert_eq!(missing.unwrap_err().kind(), IoErrorKind::NotFound);
    }

    #[test]
    fn it_works_on_executors_and_in_simulated_worlds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![7; 9_000]).unwrap();
        let thread = crate::spawn_executor(crate::ExecutorOptions::default(), move || async move {
            let sum =
                with_mapped(&path, 1_000..9_000, |bytes| bytes.iter().map(|&b| u64::from(b)).sum::<u64>());
            assert_eq!(sum.await.unwrap(), 56_000);
        });
        thread.unwrap().join().unwrap();

        let mut image = crate::simulated::DiskImage::default();
        image.write(Path::new("/file"), &(0..4_000u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<u8>>());
        let options = crate::simulated::WorldOptions { image, ..Default::default() };
        let world = crate::simulated::World::new(1, options);
        let thread = world.spawn_executor(crate::ExecutorOptions::default(), || async {
            let shown = with_mapped(Path::new("/file"), 700..1_500, <[u8]>::to_vec).await.unwrap();
            assert!(shown.len() == 800 && shown[0] == 700u32.to_le_bytes()[0]);
            assert!(with_mapped(Path::new("/file"), 0..9_000, |_| ()).await.is_err());
        });
        world.run_until_idle();
        thread.join().unwrap();
    }
}
