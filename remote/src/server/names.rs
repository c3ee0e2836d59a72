//! The names in the server's folders, sorted, remembered until they change: so that a page of a listing costs a page.
//!
//! Only this server changes the folders (it holds their lock), and it tells of each change before the request that made it is
//! answered. What is read while something changes is used once and not remembered.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keys;
use crate::beneath::Beneath;

/// Names remembered, in all folders together: some tens of megabytes.
const NAMES_MAX: usize = 500_000;

/// A name in a folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// What it adds to the key; with the slash where one belongs.
    pub(super) piece: Vec<u8>,
    /// More of the key follows below it.
    pub(super) is_folder: bool,
    /// As the file system has it.
    pub(super) file_name: OsString,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    folders: HashMap<PathBuf, Arc<Vec<Name>>>,
    names: usize,
    changes: u64,
}

impl Names {
    /// The names in a folder of the objects, ascending; none of one that is not there.
    pub(super) fn of(&self, objects: &Beneath, folder: &Path) -> io::Result<Arc<Vec<Name>>> {
        let changes = {
            let remembered = self.remembered();
            if let Some(names) = remembered.folders.get(folder) {
                return Ok(Arc::clone(names));
            }
            remembered.changes
        };
        let names = Arc::new(read(objects, folder)?);
        let mut remembered = self.remembered();
        if remembered.changes == changes && names.len() <= NAMES_MAX {
            if remembered.names + names.len() > NAMES_MAX {
                (remembered.folders, remembered.names) = (HashMap::new(), 0);
            }
            remembered.names += names.len();
            if let Some(same) = remembered.folders.insert(folder.to_owned(), Arc::clone(&names)) {
                remembered.names -= same.len();
            }
        }
        Ok(names)
    }

    /// A name has come into a folder, or gone.
    pub(super) fn changed(&self, folder: &Path) {
        let mut remembered = self.remembered();
        remembered.changes += 1;
        if let Some(names) = remembered.folders.remove(folder) {
            remembered.names -= names.len();
        }
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(objects: &Beneath, folder: &Path) -> io::Result<Vec<Name>> {
    let entries = match objects.entries(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    let mut names = Vec::new();
    for (file_name, is_directory) in entries {
        let (piece, is_folder) = match keys::component(file_name.as_bytes()) {
            Some(keys::Component::File(piece)) => (piece, false),
            Some(keys::Component::Folder(piece)) => (piece, true),
            None => continue,
        };
        // Something else has taken the name: no object of ours.
        if is_folder == is_directory {
            let file_name = OsStr::from_bytes(file_name.as_bytes()).to_owned();
            names.push(Name { piece, is_folder, file_name });
        }
    }
    names.sort_unstable();
    Ok(names)
}
