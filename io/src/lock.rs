//! One user at a time for a folder: an exclusive flock on its `LOCK` file.
//!
//! The kernel drops the lock with its process, however that ends; a `LOCK` file left behind means nothing. The
//! file holds the process id of its last holder, to be named in the error.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::error::{IoError, IoErrorKind};
use crate::executor::context;
use crate::open_options::PRIVATE_FILE_MODE;
use crate::simulated_machine::files::SimulatedLock;

/// Name of the lock file in the folder.
const LOCK_NAME: &str = "LOCK";

/// Longest content of a lock file that is looked at, in bytes.
const HOLDER_BYTES_MAX: u64 = 32;

/// A locked folder; dropping it unlocks.
#[derive(Debug)]
pub struct DirLock {
    _holding: Holding,
}

#[derive(Debug)]
enum Holding {
    /// The kernel's lock goes with the open file.
    File {
        _file: File,
    },
    Simulated {
        _lock: SimulatedLock,
    },
}

/// Locks a folder that exists, for this process and against every other caller in it. Does not wait. Works on every thread.
///
/// # Errors
/// `Locked` when somebody has it (the error names the process: end it, or choose another folder); `NotFound`,
/// `PermissionDenied`, `NoSpace`; `Unsupported` where the file system has no locks.
pub fn lock_dir(path: &Path) -> Result<DirLock, IoError> {
    const OPERATION: &str = "lock";
    if let Some(machine) = context::machine() {
        let taken = SimulatedLock::take(&machine, path);
        let taken = taken.map_err(|source| IoError::from_os(OPERATION, source).with_path(path))?;
        let lock = taken.ok_or_else(|| {
            IoError::new(IoErrorKind::Locked, OPERATION)
                .with_path(path)
                .with_expected("no other user of the folder")
                .with_found("one in this simulated world")
        })?;
        return Ok(DirLock { _holding: Holding::Simulated { _lock: lock } });
    }
    let path = path.join(LOCK_NAME);
    let failed = |source| IoError::from_os(OPERATION, source).with_path(&path);
    let mut file = open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(failed(source)),
        Err(TryLockError::WouldBlock) => {
            return Err(IoError::new(IoErrorKind::Locked, OPERATION)
                .with_path(&path)
                .with_expected("no other user of the folder")
                .with_found(holder(&mut file)));
        }
    }
    // For people only, so that a failure here is no failure of the lock.
    let _ = note_holder(&mut file);
    Ok(DirLock { _holding: Holding::File { _file: file } })
}

/// A new lock file is its user's alone. One that is there is written to, so it must be a file of its own: whoever may write to the folder could
/// have put a link there, and what that points to would be lost; a FIFO would be waited for.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE_FILE_MODE)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file: remove it"))
}

fn note_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(HOLDER_BYTES_MAX).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(process)) if process == std::process::id() => "this process".to_owned(),
        (Ok(_), Ok(process)) => format!("process {process}"),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_learns_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock_dir(folder.path()).unwrap();
        let error = lock_dir(folder.path()).unwrap_err();
        assert_eq!(error.kind(), IoErrorKind::Locked);
        assert_eq!(error.found(), Some("this process"));
        drop(first);
        lock_dir(folder.path()).unwrap();
    }

    /// A link in the place of the lock was followed, and the file it points to cut to the number of our process.
    #[test]
    fn a_lock_that_is_a_link_or_a_fifo_is_refused_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        std::fs::write(&target, b"precious").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join("LOCK")).unwrap();
        lock_dir(folder.path()).unwrap_err();
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
        std::fs::remove_file(folder.path().join("LOCK")).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("LOCK"), fifo, mode, 0).unwrap();
        let error = lock_dir(folder.path()).unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
    }

    #[test]
    fn a_lock_file_left_behind_means_nothing_whatever_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("LOCK"), [0xFF; 100]).unwrap();
        let first = lock_dir(folder.path()).unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join("LOCK")).unwrap(),
            format!("{}\n", std::process::id())
        );
        drop(first);
        let missing = lock_dir(&folder.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), IoErrorKind::NotFound);
    }
}
