//! Folders and names. Rare and slow, so each runs on the thread pool of the executor; on a thread that is no
//! executor it runs in place.
//!
//! A dropped future does not stop what was begun.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::rc::Rc;

use crate::error::IoError;
use crate::executor::{context, threads};
use crate::simulated_disk::disk::Disk;
use crate::simulated_disk::fault::DiskOperation;
use crate::simulated_machine::files;

pub use crate::lock::lock_dir;

/// Mode of new folders: nobody else's business. It counts from the first instant; the umask can only take more away.
const PRIVATE_FOLDER_MODE: u32 = 0o700;

/// Removes a file.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `Other`.
pub async fn remove_file(path: &Path) -> Result<(), IoError> {
    let simulated = (DiskOperation::Names, Disk::remove_file);
    run("remove", path, |path| std::fs::remove_file(path), simulated).await
}

/// Gives a file another name, replacing what had it. Durable after [`sync_dir`] of the folder.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `NoSpace`, `Other`.
pub async fn rename(from: &Path, to: &Path) -> Result<(), IoError> {
    let to = to.to_owned();
    let simulated = {
        let to = to.clone();
        (DiskOperation::Names, move |disk: &mut Disk, from: &Path| disk.rename(from, &to))
    };
    run("rename", from, move |from| std::fs::rename(from, to), simulated).await
}

/// Creates a folder and all above it that are missing, for this user alone (0700). Fine when it exists; its mode is left as it is then.
///
/// # Errors
/// `NotFound` when something on the way is no folder, `PermissionDenied`, `NoSpace`, `Other`.
pub async fn create_dir_all(path: &Path) -> Result<(), IoError> {
    let simulated = (DiskOperation::Names, Disk::create_folders);
    let create = |path: &Path| DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER_MODE).create(path);
    run("create folder", path, create, simulated).await
}

/// Makes the names in a folder durable: created, renamed and removed files.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `Other`.
pub async fn sync_dir(path: &Path) -> Result<(), IoError> {
    let simulated = (DiskOperation::SyncDir, Disk::sync_folder);
    run("sync folder", path, |path| std::fs::File::open(path)?.sync_all(), simulated).await
}

/// Removes a folder with all in it; follows no symbolic links.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `Other`; part of it may be gone then.
pub async fn remove_dir_all(path: &Path) -> Result<(), IoError> {
    let simulated = (DiskOperation::Names, Disk::remove_folders);
    run("remove folder", path, |path| std::fs::remove_dir_all(path), simulated).await
}

/// Runs the job where names are the system's, and its simulated twin where they are a simulated disk's.
async fn run(
    operation: &'static str,
    path: &Path,
    job: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    simulated: (DiskOperation, impl FnOnce(&mut Disk, &Path) -> io::Result<()> + 'static),
) -> Result<(), IoError> {
    let done = match context::try_current() {
        None => job(path),
        Some(executor) => {
            let path = path.to_owned();
            let slot_of = Rc::clone(&executor);
            let machine = executor.machine();
            let whole = async move {
                let _slot = slot_of.slot().await;
                if let Some(machine) = machine {
                    let (operation, act) = simulated;
                    return files::names(machine, operation, &path, act).await;
                }
                let _pool_slot = slot_of.pool_slot().await;
                threads::on_pool(move || job(&path)).await
            };
            executor.run_to_end(whole).await
        }
    };
    done.map_err(|source| IoError::from_os(operation, source).with_path(path))
}
