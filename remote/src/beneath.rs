//! Files below one folder, and nothing else: no symbolic link is followed, and only regular files are opened.
//!
//! A path is resolved in one call of the kernel (`openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`). Where that call is missing or
//! forbidden (Linux before 5.6, some sandboxes), each component is opened below the one before with `O_NOFOLLOW`. Both ways leave no
//! moment in which somebody could put a link in the place of a folder that was looked at.
//!
//! Invariants:
//! * Opening never waits: a FIFO without a writer is refused at once, as are sockets and devices.
//! * What is made has its mode from the first instant on (see [`Sharing`]).
//! * Every path is relative and made of plain names; anything else is refused before the kernel sees it.

use std::ffi::{CString, OsStr};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode, ResolveFlags};
use rustix::io::Errno;

use crate::sharing::Sharing;

/// Why a file was refused that is there. It comes within an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Foreign {
    /// The file, or a folder on the way to it, is a symbolic link.
    #[error(
        "a symbolic link is in its place or on the way to it, and none is followed: put the file or folder itself there"
    )]
    Link,
    /// It is a FIFO, a socket or a device.
    #[error("it is no regular file, and only those are opened: remove it")]
    Kind,
}

impl Foreign {
    /// The refusal within an error, if it is one.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Foreign> for io::Error {
    fn from(foreign: Foreign) -> Self {
        Self::new(ErrorKind::InvalidInput, foreign)
    }
}

/// An open folder, below which files are found by relative paths.
#[derive(Debug)]
pub(crate) struct Beneath {
    folder: OwnedFd,
    sharing: Sharing,
    /// `openat2` is missing here.
    by_steps: AtomicBool,
}

impl Beneath {
    /// Opens a folder that its user named. Links in that path are followed: the user has put them there.
    pub(crate) fn open(folder: &Path, sharing: Sharing) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty())?;
        Ok(Self { folder, sharing, by_steps: AtomicBool::new(false) })
    }

    /// Opens a folder below this one, as the place of its own files.
    #[cfg(feature = "server")]
    pub(crate) fn below(&self, path: &Path) -> io::Result<Self> {
        let by_steps = AtomicBool::new(self.by_steps.load(Ordering::Relaxed));
        Ok(Self { folder: self.folder(path)?, sharing: self.sharing, by_steps })
    }

    /// Opens a regular file for reading.
    pub(crate) fn read(&self, path: &Path) -> io::Result<File> {
        // Without NONBLOCK the opening of a FIFO waits for a writer; on a regular file it means nothing.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        regular(self.resolve(path, flags, Mode::empty())?)
    }

    /// Tells about a regular file, which needs no right to read it.
    pub(crate) fn look(&self, path: &Path) -> io::Result<Metadata> {
        regular(self.resolve(path, OFlags::PATH, Mode::empty())?)?.metadata()
    }

    /// Makes a new file for reading and writing; `AlreadyExists` when the name is taken, by a link too.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(self.resolve(path, flags, self.file_mode())?.into())
    }

    /// Opens a regular file for writing, and makes it when it is not there.
    #[cfg(feature = "server")]
    pub(crate) fn create_or_open(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
        regular(self.resolve(path, flags, self.file_mode())?)
    }

    /// Opens a folder; the empty path is this one.
    pub(crate) fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return self.folder.try_clone();
        }
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// Makes a folder in a folder that is there, on the disk when it returns. One that is there already is fine.
    pub(crate) fn make_folder(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(self.sharing.folder_mode() as RawMode)) {
            Err(Errno::EXIST) => {}
            made => made?,
        }
        Ok(rustix::fs::fsync(&parent)?)
    }

    /// Opens the folder that a path lies in; also the path's last name.
    pub(crate) fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let Some(name) = path.file_name() else { return Err(ErrorKind::InvalidInput.into()) };
        Ok((self.folder(path.parent().unwrap_or(Path::new("")))?, name))
    }

    /// Removes a name: of a link the link, never what it points to. On the disk when it returns.
    #[cfg(feature = "server")]
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
        Ok(rustix::fs::fsync(&parent)?)
    }

    /// The same without the disk: for what is temporary anyway.
    pub(crate) fn forget(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(rustix::fs::unlinkat(&parent, name, AtFlags::empty())?)
    }

    /// Removes a folder with the files in it, as far as that goes; it has no folders.
    #[cfg(feature = "server")]
    pub(crate) fn remove_flat(&self, path: &Path) -> io::Result<()> {
        let folder = self.folder(path)?;
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            if !is_dots(entry.file_name().to_bytes()) {
                rustix::fs::unlinkat(&folder, entry.file_name(), AtFlags::empty())?;
            }
        }
        let (parent, name) = self.parent(path)?;
        Ok(rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
    }

    /// The names in a folder that are regular files or folders; true for a folder. Links, FIFOs and the like are not told.
    pub(crate) fn entries(&self, path: &Path) -> io::Result<Vec<(CString, bool)>> {
        let folder = self.folder(path)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_dots(name.to_bytes()) {
                continue;
            }
            match kind_of(folder.as_fd(), &entry)? {
                Some(FileType::RegularFile) => entries.push((name.to_owned(), false)),
                Some(FileType::Directory) => entries.push((name.to_owned(), true)),
                _ => {}
            }
        }
        Ok(entries)
    }

    fn file_mode(&self) -> Mode {
        Mode::from_raw_mode(self.sharing.file_mode() as RawMode)
    }

    fn resolve(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !self.by_steps.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match rustix::fs::openat2(&self.folder, path, flags, mode, resolve) {
                Err(Errno::NOSYS) => self.by_steps.store(true, Ordering::Relaxed),
                // Of a sandbox, which may say so of this one call only; or of a link in the place of a folder, which the steps tell apart.
                Err(Errno::PERM | Errno::NOTDIR) => {}
                Err(Errno::LOOP) => return Err(Foreign::Link.into()),
                // A FIFO without a reader, or a socket.
                Err(Errno::NXIO) => return Err(Foreign::Kind.into()),
                opened => return Ok(opened?),
            }
        }
        self.step_by_step(path, flags, mode)
    }

    fn step_by_step(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let folder_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut parent: Option<OwnedFd> = None;
        let mut names = path.components().peekable();
        while let Some(name) = names.next() {
            let at = parent.as_ref().map_or_else(|| self.folder.as_fd(), AsFd::as_fd);
            let name: &Path = name.as_ref();
            let (flags, mode) = match names.peek() {
                Some(_) => (folder_flags, Mode::empty()),
                None => (flags, mode),
            };
            let opened = match rustix::fs::openat(at, name, flags, mode) {
                Err(Errno::LOOP) => return Err(Foreign::Link.into()),
                // So says the kernel of a link in the place of a folder.
                Err(Errno::NOTDIR) if is_link(at, name) => return Err(Foreign::Link.into()),
                Err(Errno::NXIO) => return Err(Foreign::Kind.into()),
                opened => opened?,
            };
            if names.peek().is_none() {
                return Ok(opened);
            }
            parent = Some(opened);
        }
        Err(ErrorKind::InvalidInput.into())
    }
}

/// The file, when it is a regular one; `IsADirectory` for a folder. (An `O_PATH` descriptor may be one of a link.)
fn regular(opened: OwnedFd) -> io::Result<File> {
    let file = File::from(opened);
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        Ok(file)
    } else if kind.is_dir() {
        Err(ErrorKind::IsADirectory.into())
    } else if kind.is_symlink() {
        Err(Foreign::Link.into())
    } else {
        Err(Foreign::Kind.into())
    }
}

fn is_link(folder: BorrowedFd<'_>, name: &Path) -> bool {
    let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

/// What an entry is; `None` when it is gone.
fn kind_of(folder: BorrowedFd<'_>, entry: &rustix::fs::DirEntry) -> io::Result<Option<FileType>> {
    if entry.file_type() != FileType::Unknown {
        return Ok(Some(entry.file_type()));
    }
    match rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        found => Ok(Some(FileType::from_raw_mode(found?.st_mode))),
    }
}

fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    /// Both ways to resolve a path.
    fn both(folder: &Path) -> [Beneath; 2] {
        let open = || Beneath::open(folder, Sharing::Private).unwrap();
        let steps = open();
        steps.by_steps.store(true, Ordering::Relaxed);
        [open(), steps]
    }

    #[test]
    fn no_link_is_followed_wherever_it_is() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("dir");
        std::fs::create_dir_all(dir.join("real")).unwrap();
        std::fs::create_dir(outer.path().join("secret")).unwrap();
        std::fs::write(outer.path().join("secret/file"), b"secret").unwrap();
        std::fs::write(dir.join("real/file"), b"real").unwrap();
        symlink("../secret", dir.join("folder")).unwrap();
        symlink("../secret/file", dir.join("file")).unwrap();
        // Those that stay inside are none the better: they can be moved.
        symlink("real", dir.join("inside")).unwrap();
        symlink("nowhere", dir.join("broken")).unwrap();
        for beneath in both(&dir) {
            for path in ["file", "folder/file", "inside/file", "broken", "broken/file"] {
                let path = Path::new(path);
                assert_eq!(Foreign::of(&beneath.read(path).unwrap_err()), Some(Foreign::Link), "{path:?}");
                assert_eq!(Foreign::of(&beneath.look(path).unwrap_err()), Some(Foreign::Link), "{path:?}");
                let opened = beneath.create_or_open(path).unwrap_err();
                assert_eq!(Foreign::of(&opened), Some(Foreign::Link), "{path:?}");
            }
            for path in ["folder/new", "inside/new"] {
                let path = Path::new(path);
                for error in [
                    beneath.create(path).unwrap_err(),
                    beneath.make_folder(path).unwrap_err(),
                    beneath.remove(&path.with_file_name("file")).unwrap_err(),
                ] {
                    assert_eq!(Foreign::of(&error), Some(Foreign::Link), "{path:?}");
                }
            }
            for path in ["folder", "inside"] {
                let path = Path::new(path);
                assert_eq!(Foreign::of(&beneath.entries(path).unwrap_err()), Some(Foreign::Link), "{path:?}");
                assert_eq!(Foreign::of(&beneath.below(path).unwrap_err()), Some(Foreign::Link), "{path:?}");
            }
            assert_eq!(beneath.create(Path::new("file")).unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert_eq!(beneath.entries(Path::new("")).unwrap(), [(c"real".to_owned(), true)]);
            assert_eq!(beneath.look(Path::new("real/file")).unwrap().len(), 4);
            assert_eq!(beneath.read(Path::new("none/file")).unwrap_err().kind(), ErrorKind::NotFound);
        }
        assert!(outer.path().join("secret/file").exists() && !outer.path().join("secret/new").exists());
        assert!(!dir.join("nowhere").exists());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        for beneath in both(dir.path()) {
            for path in ["fifo", "socket"] {
                let path = Path::new(path);
                assert_eq!(Foreign::of(&beneath.read(path).unwrap_err()), Some(Foreign::Kind), "{path:?}");
                assert_eq!(Foreign::of(&beneath.look(path).unwrap_err()), Some(Foreign::Kind), "{path:?}");
                assert_eq!(
                    Foreign::of(&beneath.create_or_open(path).unwrap_err()),
                    Some(Foreign::Kind),
                    "{path:?}"
                );
            }
            let folder = Path::new("folder");
            assert_eq!(beneath.read(folder).unwrap_err().kind(), ErrorKind::IsADirectory);
            assert_eq!(beneath.look(folder).unwrap_err().kind(), ErrorKind::IsADirectory);
            assert_eq!(beneath.create_or_open(folder).unwrap_err().kind(), ErrorKind::IsADirectory);
            assert_eq!(beneath.entries(Path::new("")).unwrap(), [(c"folder".to_owned(), true)]);
        }
    }

    #[test]
    fn paths_that_could_lead_elsewhere_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for beneath in both(dir.path()) {
            for path in ["..", "../x", "/etc/passwd", "a/../b", "./a"] {
                let error = beneath.read(Path::new(path)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
            }
        }
    }

    #[test]
    fn flat_folders_go_with_what_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        for beneath in both(dir.path()) {
            beneath.make_folder(Path::new("parts")).unwrap();
            beneath.make_folder(Path::new("parts")).unwrap();
            beneath.create(Path::new("parts/1")).unwrap();
            symlink("/etc", dir.path().join("parts/2")).unwrap();
            assert_eq!(std::fs::metadata(dir.path().join("parts")).unwrap().mode() & 0o777, 0o700);
            assert_eq!(std::fs::metadata(dir.path().join("parts/1")).unwrap().mode() & 0o777, 0o600);
            beneath.remove_flat(Path::new("parts")).unwrap();
            assert!(!dir.path().join("parts").exists() && Path::new("/etc").is_dir());
        }
    }
}
