//! The folder of the embedded server: objects on disk, written whole or not at all.
//!
//! ```text
//! dir/LOCK                     held while the server runs
//! dir/objects/manifest+/01=    one file for each object, see keys
//! dir/temporary/<number>       being written; emptied at start
//! dir/uploads/<id>/<part>      parts of multipart uploads; emptied at start
//! ```
//!
//! How an object appears: write a temporary file, sync it, give it its name in one step, sync the folder. An overwrite renames;
//! a put-if-absent makes a hard link, which fails when the name is taken, so one of any number of racing writers wins.
//! After a crash at any instant the name holds the whole object or nothing of it (or the whole older one), and once the
//! call has returned it holds the object.
//!
//! The folder and all in it are this user's alone (0700, 0600) when this server makes them; folders that were there keep their modes. No
//! symbolic link in it is followed and nothing but regular files is opened ([`Beneath`]): a link that has the name of an object is refused
//! by reads, left out of listings, replaced by an overwrite and removed by a delete, and what it points to stays as it is.
//!
//! All calls here block. The service runs them on the runtime's blocking threads, but for opening a file: its names are nearly
//! always in the system's memory.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fs::AtFlags;

use super::error::ServerError;
use super::keys;
use super::names::{Name, Names};
use crate::beneath::Beneath;
use crate::durable::{create_folder, sync_folder};
use crate::sharing::Sharing;

/// Folders remembered as durable before the memory starts anew.
const DURABLE_FOLDERS_MAX: usize = 65_536;

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;

/// The server's folder, locked.
#[derive(Debug)]
pub(super) struct Folder {
    objects: Beneath,
    temporary: Arc<Beneath>,
    uploads: Beneath,
    /// Folders whose own entry is known to be on the disk.
    durable: Mutex<HashSet<PathBuf>>,
    next_temporary: AtomicU64,
    names: Names,
    _lock: File,
}

/// What is told about a file.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub(super) bytes: u64,
    pub(super) modified: SystemTime,
    pub(super) etag: String,
}

impl Meta {
    fn of(file: &fs::Metadata) -> Self {
        // Objects are replaced, never changed: another content is another inode or another time.
        let etag = format!("{:x}-{:x}.{:x}-{:x}", file.ino(), file.mtime(), file.mtime_nsec(), file.size());
        Self { bytes: file.size(), modified: file.modified().unwrap_or(SystemTime::UNIX_EPOCH), etag }
    }
}

/// How a written object takes its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publish {
    /// Replaces what has the name.
    Overwrite,
    /// Fails with `AlreadyExists` when the name is taken.
    IfAbsent,
}

impl Folder {
    /// Makes the folder, locks it, and removes what a killed server left half-written.
    pub(super) fn open(dir: &Path) -> Result<Arc<Self>, ServerError> {
        let unusable = |source| ServerError::Folder { dir: dir.to_owned(), source };
        create_folder(dir, Sharing::Private).map_err(unusable)?;
        let root = Beneath::open(dir, Sharing::Private).map_err(unusable)?;
        let lock = root.create_or_open(Path::new("LOCK")).map_err(|error| unusable(named("LOCK", &error)))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ServerError::FolderLocked { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        for scratch in ["temporary", "uploads"] {
            match fs::remove_dir_all(dir.join(scratch)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(unusable(named(scratch, &error)));
                }
                _ => {}
            }
        }
        let place = |name: &str| {
            let made = root.make_folder(Path::new(name)).and_then(|()| root.below(Path::new(name)));
            made.map_err(|error| unusable(named(name, &error)))
        };
        let folder = Self {
            objects: place("objects")?,
            temporary: Arc::new(place("temporary")?),
            uploads: place("uploads")?,
            durable: Mutex::default(),
            next_temporary: AtomicU64::new(0),
            names: Names::default(),
            _lock: lock,
        };
        sync_folder(dir).map_err(unusable)?;
        Ok(Arc::new(folder))
    }

    /// A new temporary file.
    pub(super) fn stage(&self) -> io::Result<Staged> {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let name = PathBuf::from(format!("{number:016x}"));
        let file = self.temporary.create(&name)?;
        let named = Some((Arc::clone(&self.temporary), name));
        Ok(Staged { named, file: Arc::new(file), at: 0, end: u64::MAX })
    }

    /// Gives a temporary file its name. Durable when it returns.
    pub(super) fn publish(&self, staged: &Staged, key: &str, publish: Publish) -> io::Result<Meta> {
        let path = keys::path_of(key);
        let folder = path.parent().unwrap_or(Path::new(""));
        self.make_durable(folder)?;
        staged.file.sync_data()?;
        let (parent, name) = self.objects.parent(&path)?;
        staged.link_or_move(&parent, name.as_ref(), publish)?;
        self.names.changed(folder);
        rustix::fs::fsync(&parent)?;
        // The temporary name, where it is still there, goes with `staged`.
        Ok(Meta::of(&staged.file.metadata()?))
    }

    /// Makes a folder of the objects and its parents, each entry on the disk.
    fn make_durable(&self, folder: &Path) -> io::Result<()> {
        // Held while syncing, so that nobody relies on a folder that another call is still making durable.
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !durable.contains(*ancestor))
            .collect();
        for ancestor in missing.into_iter().rev() {
            self.objects.make_folder(ancestor)?;
            self.names.changed(ancestor.parent().unwrap_or(Path::new("")));
            if durable.len() >= DURABLE_FOLDERS_MAX {
                durable.clear();
            }
            durable.insert(ancestor.to_owned());
        }
        Ok(())
    }

    /// Opens an object for reading.
    pub(super) fn open_object(&self, key: &str) -> io::Result<(File, Meta)> {
        let file = self.objects.read(&keys::path_of(key))?;
        let meta = Meta::of(&file.metadata()?);
        Ok((file, meta))
    }

    /// Tells about an object.
    pub(super) fn meta(&self, key: &str) -> io::Result<Meta> {
        Ok(Meta::of(&self.objects.look(&keys::path_of(key))?))
    }

    /// Removes an object; one that is absent is success.
    pub(super) fn delete(&self, key: &str) -> io::Result<()> {
        let path = keys::path_of(key);
        let removed = self.objects.remove(&path);
        self.names.changed(path.parent().unwrap_or(Path::new("")));
        match removed {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
            removed => removed,
        }
    }

    /// The names in a folder of the objects, ascending.
    pub(super) fn names(&self, folder: &Path) -> io::Result<Arc<Vec<Name>>> {
        self.names.of(&self.objects, folder)
    }

    /// Where the parts of multipart uploads lie, each upload in a folder of its own.
    pub(super) fn uploads(&self) -> &Beneath {
        &self.uploads
    }
}

/// Says which of the server's own files an error is about.
fn named(file: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{file}: {error}"))
}

/// A temporary file on its way; removed when dropped. Or a stretch of one, for a part that lies where it will stay.
#[derive(Debug)]
pub(super) struct Staged {
    /// Of a whole file: its folder and its name there.
    named: Option<(Arc<Beneath>, PathBuf)>,
    file: Arc<File>,
    /// Where the next byte goes.
    at: u64,
    /// Where the stretch ends.
    end: u64,
}

impl Staged {
    /// A stretch of this file, so many bytes from an offset on.
    pub(super) fn stretch(&self, offset: u64, bytes: u64) -> Self {
        let file = Arc::clone(&self.file);
        Self { named: None, file, at: offset, end: offset.saturating_add(bytes) }
    }

    /// Gives the file a name in an open folder. A link that has the name is replaced, not followed.
    fn link_or_move(&self, folder: &OwnedFd, name: &Path, publish: Publish) -> io::Result<()> {
        let (from, own) =
            self.named.as_ref().ok_or_else(|| io::Error::other("a stretch of a file has no name"))?;
        let (from, own) = from.parent(own)?;
        match publish {
            Publish::Overwrite => rustix::fs::renameat(&from, own, folder, name)?,
            Publish::IfAbsent => rustix::fs::linkat(&from, own, folder, name, AtFlags::empty())?,
        }
        Ok(())
    }

    /// Appends chunks.
    pub(super) fn write(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        for chunk in chunks {
            let next = self.at.saturating_add(chunk.len() as u64);
            if next > self.end {
                return Err(io::Error::other("a body longer than announced"));
            }
            self.file.write_all_at(chunk, self.at)?;
            self.at = next;
        }
        Ok(())
    }

    /// Appends so many bytes of another file, from an offset on.
    pub(super) fn append(&mut self, from: &File, offset: u64, bytes: u64) -> io::Result<()> {
        let mut buffer = vec![0; COPY_BYTES];
        let mut left = bytes;
        while left > 0 {
            let take = usize::try_from(left).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            let piece = buffer.get_mut(..take).unwrap_or_default();
            from.read_exact_at(piece, offset + (bytes - left))?;
            self.file.write_all_at(piece, self.at)?;
            self.at += take as u64;
            left -= take as u64;
        }
        Ok(())
    }

    /// The file; of a stretch, all of it.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The offset after its last byte.
    pub(super) fn end_offset(&self) -> u64 {
        self.at
    }

    /// Moves a whole file to another folder of the server, not synced: a part of an upload.
    pub(super) fn keep_as(mut self, folder: &Beneath, path: &Path) -> io::Result<Meta> {
        let (parent, name) = folder.parent(path)?;
        self.link_or_move(&parent, name.as_ref(), Publish::Overwrite)?;
        self.named = None;
        Ok(Meta::of(&self.file.metadata()?))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some((folder, name)) = &self.named {
            // Already gone when it was renamed; what cannot be removed now goes at the next start.
            drop(folder.forget(name));
        }
    }
}
