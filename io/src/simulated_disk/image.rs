//! The bytes that a simulated disk holds at one moment: what a crash leaves, or what a test prepares.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::content::Content;

/// Files and folders by path, all of them durable. A new world can start from it.
///
/// Paths are absolute; a relative one is taken from the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskImage {
    files: BTreeMap<PathBuf, Content>,
    /// Without the root.
    folders: BTreeSet<PathBuf>,
}

impl DiskImage {
    /// Its files, by path.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Its folders, by path, without the root.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(PathBuf::as_path)
    }

    /// The bytes of a file, if it is there.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let content = self.files.get(&plain(path))?;
        let mut bytes = vec![0; usize::try_from(content.bytes()).ok()?];
        content.read(0, &mut bytes);
        Some(bytes)
    }

    /// Puts a file there, with the folders above it, in the place of one that is there.
    pub fn write(&mut self, path: &Path, bytes: &[u8]) {
        self.add_file(plain(path), Content::from_bytes(bytes));
    }

    /// Puts a folder there, with those above it.
    pub fn create_dir(&mut self, path: &Path) {
        let path = plain(path);
        self.add_folders(path.ancestors());
    }

    /// Takes a file away; whether it was there.
    pub fn remove(&mut self, path: &Path) -> bool {
        self.files.remove(&plain(path)).is_some()
    }

    /// Flips one bit of the byte at an offset; whether the file has that byte.
    pub fn flip_bit(&mut self, path: &Path, offset: u64, bit: u8) -> bool {
        match self.files.get_mut(&plain(path)) {
            Some(content) if offset < content.bytes() => {
                content.flip_bit(offset, bit);
                true
            }
            _ => false,
        }
    }

    pub(super) fn contents(&self) -> impl Iterator<Item = (&Path, &Content)> {
        self.files.iter().map(|(path, content)| (path.as_path(), content))
    }

    pub(super) fn add_file(&mut self, path: PathBuf, content: Content) {
        self.add_folders(path.ancestors().skip(1));
        self.files.insert(path, content);
    }

    pub(super) fn add_folders<'a>(&mut self, folders: impl Iterator<Item = &'a Path>) {
        let named = folders.filter(|folder| folder.file_name().is_some());
        self.folders.extend(named.map(Path::to_owned));
    }
}

/// The path from the root, without `.` and `..`.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}
