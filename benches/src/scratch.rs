//! Temporary folders that never stay behind.
//!
//! ```text
//! /var/tmp/aquifer-bench-<process>-<random>/LOCK    held as long as the owner lives
//!                                          /dfs     objects of the embedded DFS
//!                                          /local   the engine's disk cache
//!                                          /device  test file of `device`
//! ```
//!
//! A folder is removed when its owner is done with it, by error, Ctrl-C and panic too. A killed owner cannot do that:
//! the next run removes every such folder of the same user whose lock nobody holds.
//!
//! Crash argument: the lock dies with its process. A sweep may take the lock of a folder in the instant between its
//! creation and its locking; the creator then fails to lock it, or finds it gone, and makes another one.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use aquifer_io::DirLock;
use aquifer_io::fs::lock_dir;

use crate::failure::Failure;

const PREFIX: &str = "aquifer-bench-";
const LOCK_FILE: &str = "LOCK";
const ATTEMPTS_MAX: usize = 8;
const PRIVATE_MODE: u32 = 0o700;

/// Folders of this process that exist, for [`remove_all_of_this_process`].
static OWNED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary folder; removed with all it holds when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: DirLock,
}

impl Scratch {
    /// Makes a folder for this process, after removing what killed ones left.
    pub(crate) fn new() -> Result<Self, Failure> {
        Self::new_in(&base())
    }

    /// The same in a folder of the user's choice.
    pub(crate) fn new_in(base: &Path) -> Result<Self, Failure> {
        sweep(base);
        let mut last_error = std::io::Error::other("every name is taken");
        for _ in 0..ATTEMPTS_MAX {
            let random = aquifer_io::random_u64();
            let path = base.join(format!("{PREFIX}{}-{random:016x}", std::process::id()));
            if let Err(error) = std::fs::DirBuilder::new().mode(PRIVATE_MODE).create(&path) {
                last_error = error;
                continue;
            }
            owned().push(path.clone());
            match lock_dir(&path) {
                Ok(lock) if path.join(LOCK_FILE).exists() => return Ok(Self { path, _lock: lock }),
                Ok(_) => {}
                Err(error) => last_error = std::io::Error::other(error),
            }
            remove(&path);
        }
        Err(Failure::local("cannot make a temporary folder in", base, last_error))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// For the second Ctrl-C, when nothing waits for destructors any more.
pub(crate) fn remove_all_of_this_process() {
    let paths: Vec<PathBuf> = owned().clone();
    paths.iter().for_each(|path| remove(path));
}

fn owned() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    OWNED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn remove(path: &Path) {
    // What cannot be removed now is swept by a later run.
    let _ = std::fs::remove_dir_all(path);
    owned().retain(|owned| owned != path);
}

/// Makes a folder and all above it that are missing, for this user alone: what is measured may be somebody's state. One that is there keeps its
/// mode.
pub(crate) fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(PRIVATE_MODE).create(path)
}

/// `TMPDIR` when set, else `/var/tmp` (a disk almost everywhere, where `/tmp` may be memory), else `/tmp`.
pub(crate) fn base() -> PathBuf {
    let var_tmp = Path::new("/var/tmp");
    match std::env::var_os("TMPDIR") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ if var_tmp.is_dir() => var_tmp.to_owned(),
        _ => std::env::temp_dir(),
    }
}

/// Removes folders whose owner is dead. Never fails: it is housekeeping.
fn sweep(base: &Path) {
    let Ok(own) = std::fs::metadata("/proc/self") else { return };
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let named_so = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // A link is no folder here: `DirEntry::metadata` does not follow it.
        let ours = entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == own.uid());
        let locked_once = named_so && ours && path.join(LOCK_FILE).is_file();
        if locked_once && let Ok(_lock) = lock_dir(&path) {
            // What cannot be removed now is swept by a later run.
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lives_as_long_as_its_owner() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        std::fs::create_dir(path.join("dfs")).unwrap();
        sweep(&base());
        assert!(path.join("dfs").is_dir(), "a sweep leaves the living alone");
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_owner_left_is_swept() {
        let base = tempfile::tempdir().unwrap();
        let left = base.path().join("aquifer-bench-1-0000000000000000");
        let other = base.path().join("somebody-else");
        let fresh = base.path().join("aquifer-bench-2-0000000000000000");
        for folder in [&left, &other, &fresh] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::write(left.join(LOCK_FILE), b"").unwrap();
        std::fs::write(other.join(LOCK_FILE), b"").unwrap();
        sweep(base.path());
        assert!(!left.exists(), "nobody holds its lock");
        assert!(other.exists() && fresh.exists(), "not ours, and not yet locked");
    }
}
