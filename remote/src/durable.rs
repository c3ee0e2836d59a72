//! Folders whose entries are on the disk.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::sharing::Sharing;

/// Writes a folder's entries to the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder and its missing parents, each entry on the disk. One that is there already is taken as it is, its mode too.
pub(crate) fn create_folder(folder: &Path, sharing: Sharing) -> io::Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect();
    for path in missing.into_iter().rev() {
        match DirBuilder::new().mode(sharing.folder_mode()).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists || !path.is_dir() => return Err(error),
            _ => {}
        }
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent)?,
            _ => sync_folder(Path::new("."))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn makes_all_that_is_missing_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        create_folder(&deep, Sharing::Private).unwrap();
        create_folder(&deep, Sharing::Private).unwrap();
        assert!(deep.is_dir());
        let file = dir.path().join("file");
        fs::write(&file, b"x").unwrap();
        assert!(create_folder(&file, Sharing::Private).is_err());
        assert!(create_folder(&file.join("below"), Sharing::Private).is_err());
    }
}
