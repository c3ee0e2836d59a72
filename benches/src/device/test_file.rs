//! The file that everything is measured on: made for the run, and gone with it.
//!
//! Every byte is written before the first measurement (reading what was never written costs no disk), and read through
//! once before each (disks and hosts have caches of their own, in which old data gets slow).

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use aquifer_io::{Backend, Buffer, File, IoError, IoErrorKind, OpenOptions, acquire_buffer, random_u64};

use super::runner::{on_executor, together};
use crate::byte_size::human_bytes;
use crate::failure::Failure;
use crate::interrupt;
use crate::scratch::Scratch;

/// One write, or one read, of a pass over the file. Its length is a multiple of this.
const STEP_BYTES: usize = 1 << 20;
/// Shortest file: room for every shape.
const BYTES_MIN: u64 = 16 << 20;
/// Left free on the disk for others.
const SPARE_BYTES: u64 = 64 << 20;
/// Steps in flight.
const DEPTH: usize = 4;
/// Blocks of this length differ from each other, lest a clever device keeps them once.
const BLOCK_BYTES: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct TestFile {
    scratch: Scratch,
    path: PathBuf,
    bytes: u64,
    direct: bool,
    backend: Backend,
}

impl TestFile {
    /// Makes and fills it, through this backend.
    ///
    /// Refuses when the disk has no room for it.
    pub(super) fn create(folder: &Path, bytes: u64, backend: Backend) -> Result<Self, Failure> {
        let bytes = bytes - bytes % STEP_BYTES as u64;
        if bytes < BYTES_MIN {
            let least = human_bytes(BYTES_MIN);
            return Err(Failure::Usage(format!("--size-bytes: the shapes need a file of at least {least}")));
        }
        check_room(folder, bytes, free_bytes(folder)?)?;
        let scratch = Scratch::new_in(folder)?;
        let path = scratch.path().join("device");
        let wanted = path.clone();
        let made = on_executor(backend, move || async move { fill(&wanted, bytes).await });
        // A file that is not full because of Ctrl-C is no error of its own.
        interrupt::check()?;
        let direct = made.map_err(|error| {
            // Somebody else may have taken the room since. A quota or a limit on the length of files says so itself.
            let full = check_room(folder, 0, free_bytes(folder).unwrap_or(u64::MAX)).is_err();
            match error.kind() {
                IoErrorKind::NoSpace if full => no_room(folder, bytes, free_bytes(folder).unwrap_or(0)),
                _ => Failure::Other(format!("cannot make the test file: {error}")),
            }
        })?;
        Ok(Self { scratch, path, bytes, direct, backend })
    }

    /// Reads it through once.
    pub(super) fn read_through(&self) -> Result<(), Failure> {
        let (path, bytes) = (self.path.clone(), self.bytes);
        let read = on_executor(self.backend, move || async move {
            let file = open(&path, false).await?;
            pass(&file, bytes, Pass::Read).await
        });
        interrupt::check()?;
        read.map_err(|error| Failure::Other(format!("cannot read the test file: {error}")))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that it has for itself.
    pub(super) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Its length.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is read and written past the page cache.
    pub(super) fn is_direct(&self) -> bool {
        self.direct
    }
}

/// Opens the file for measurements.
pub(super) async fn open(path: &Path, create_new: bool) -> Result<Rc<File>, IoError> {
    let options = OpenOptions { read: true, write: true, create_new, direct: true, ..OpenOptions::default() };
    File::open(path, options).await.map(Rc::new)
}

/// Makes the file; whether it goes past the page cache.
async fn fill(path: &Path, bytes: u64) -> Result<bool, IoError> {
    let file = open(path, true).await?;
    // Where space cannot be reserved, the writes find out whether there is enough.
    match file.allocate(bytes).await {
        Err(error) if error.kind() != IoErrorKind::Unsupported => return Err(error),
        _ => {}
    }
    pass(&file, bytes, Pass::Write).await?;
    file.sync_data().await?;
    Ok(file.is_direct())
}

#[derive(Debug, Clone, Copy)]
enum Pass {
    Read,
    Write,
}

/// Goes over the whole file once, several steps at a time. Ends early, without an error, on Ctrl-C.
async fn pass(file: &Rc<File>, bytes: u64, pass: Pass) -> Result<(), IoError> {
    let next = Rc::new(Cell::new(0_u64));
    let lane = |_| {
        let (file, next) = (Rc::clone(file), Rc::clone(&next));
        async move {
            let mut buffer = acquire_buffer(STEP_BYTES).await?;
            randomise(&mut buffer);
            while next.get() < bytes && interrupt::check().is_ok() {
                let offset = next.replace(next.get() + STEP_BYTES as u64);
                let (done, back) = match pass {
                    Pass::Read => file.read_at(offset, buffer).await,
                    Pass::Write => file.write_at(offset, stamped(buffer)).await,
                };
                done?;
                buffer = back;
            }
            Ok(())
        }
    };
    together((0..DEPTH).map(lane)).await
}

/// Fills a buffer with what cannot be compressed.
pub(super) fn randomise(buffer: &mut Buffer) {
    buffer.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&random_u64().to_le_bytes()));
}

/// Makes each block of a buffer another one.
fn stamped(mut buffer: Buffer) -> Buffer {
    for block in buffer.chunks_mut(BLOCK_BYTES) {
        if let Some(stamp) = block.first_chunk_mut() {
            *stamp = random_u64().to_le_bytes();
        }
    }
    buffer
}

/// Bytes that this user may still write to the file system of a folder.
fn free_bytes(folder: &Path) -> Result<u64, Failure> {
    let found = rustix::fs::statvfs(folder);
    let found = found.map_err(|errno| Failure::local("cannot use the folder", folder, errno.into()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn check_room(folder: &Path, bytes: u64, free_bytes: u64) -> Result<(), Failure> {
    let enough = bytes.checked_add(SPARE_BYTES).is_some_and(|needed| needed <= free_bytes);
    if enough { Ok(()) } else { Err(no_room(folder, bytes, free_bytes)) }
}

fn no_room(folder: &Path, bytes: u64, free_bytes: u64) -> Failure {
    Failure::Other(format!(
        "no room in {}: the test file takes {} and leaves {} to others, but {} are free; \
         choose another --dir or a smaller --size-bytes",
        folder.display(),
        human_bytes(bytes),
        human_bytes(SPARE_BYTES),
        human_bytes(free_bytes)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_refused_before_anything_is_written() {
        let folder = Path::new("/somewhere");
        check_room(folder, 1 << 30, (1 << 30) + SPARE_BYTES).unwrap();
        let error = check_room(folder, 1 << 30, (1 << 30) + SPARE_BYTES - 1).unwrap_err();
        for part in ["/somewhere", "takes 1 GiB", "1.06 GiB are free", "--dir", "--size-bytes"] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        check_room(folder, u64::MAX, u64::MAX).unwrap_err();
        let place = tempfile::tempdir().unwrap();
        let error = TestFile::create(place.path(), 1 << 60, Backend::Threads).unwrap_err();
        assert!(error.to_string().contains("no room in"), "{error}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_file_is_full_and_goes_with_its_owner() {
        let place = tempfile::tempdir().unwrap();
        let file = TestFile::create(place.path(), BYTES_MIN + 1, Backend::Threads).unwrap();
        assert_eq!(file.bytes(), BYTES_MIN, "whole steps");
        let content = std::fs::read(file.path()).unwrap();
        assert_eq!(content.len() as u64, BYTES_MIN);
        let blocks: std::collections::HashSet<_> = content.chunks(BLOCK_BYTES).collect();
        assert_eq!(blocks.len(), content.len() / BLOCK_BYTES, "no two blocks are the same");
        file.read_through().unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn folders_and_lengths_that_cannot_be() {
        let place = tempfile::tempdir().unwrap();
        let absent = place.path().join("absent");
        let error = TestFile::create(&absent, BYTES_MIN, Backend::Threads).unwrap_err();
        assert!(error.to_string().contains("absent: No such file"), "{error}");
        let error = TestFile::create(place.path(), BYTES_MIN - 1, Backend::Threads).unwrap_err();
        assert!(matches!(&error, Failure::Usage(text) if text.contains("at least 16 MiB")), "{error}");
    }
}
