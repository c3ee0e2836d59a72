//! Multipart uploads under way: which parts of which key have arrived.
//!
//! ```text
//! temporary/<whole>     | part 1 | part 2 | part 3 |4|    each where it belongs: completing copies nothing
//! uploads/<id>/<part>   a part that did not fit in: sent twice, of unknown length, or longer than the first one
//! ```
//!
//! The list lives in memory and the parts in the folder; a restart forgets both, and the client starts over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::folder::{Folder, Meta, Publish, Staged};

/// Uploads at once.
const UPLOADS_MAX: usize = 1_024;
/// Highest part number, S3's rule.
const PART_NUMBER_MAX: i32 = 10_000;
/// Every part but the last has as much, S3's rule.
const PART_BYTES_MIN: u64 = 5 << 20;

/// Longest object whose parts are put where they belong.
const WHOLE_BYTES_MAX: u64 = 1 << 40;

/// Why a request about an upload was refused.
#[derive(Debug)]
pub(super) enum UploadError {
    /// No such upload of this key.
    Unknown,
    /// Too many at once.
    TooMany,
    /// A part number out of range.
    Number,
    /// A listed part that did not arrive, or arrived with another content.
    Part,
    /// Parts listed out of order.
    Order,
    /// A part too small that is not the last.
    Small,
    /// The folder.
    Io(io::Error),
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

struct Upload {
    key: String,
    parts: BTreeMap<i32, Part>,
    whole: Option<Whole>,
}

/// A part that has arrived.
struct Part {
    bytes: u64,
    etag: String,
    /// It lies in the whole; else in a file of its own.
    in_place: bool,
}

/// The object to be, with the parts that lie where they belong.
struct Whole {
    staged: Staged,
    /// Of each part but the last.
    part_bytes: u64,
    /// Parts that have or had a stretch of it: each once, so that no arrived byte is written over.
    taken: BTreeSet<i32>,
}

impl Whole {
    fn offset(&self, number: i32) -> u64 {
        u64::try_from(number - 1).unwrap_or(0).saturating_mul(self.part_bytes)
    }
}

/// All uploads under way.
#[derive(Default)]
pub(super) struct Uploads {
    open: Mutex<HashMap<String, Upload>>,
}

impl Uploads {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one; returns its id.
    pub(super) fn create(&self, folder: &Folder, key: &str) -> Result<String, UploadError> {
        let id = format!("{:016x}{:016x}", aquifer_io::random_u64(), aquifer_io::random_u64());
        let mut open = self.open();
        if open.len() >= UPLOADS_MAX {
            return Err(UploadError::TooMany);
        }
        fs::create_dir(folder.upload(&id))?;
        let (key, parts) = (key.to_owned(), BTreeMap::new());
        open.insert(id.clone(), Upload { key, parts, whole: None });
        Ok(id)
    }

    /// Finds a place for a part that comes: where it belongs, when its length is announced and fits in with the others, so that it is
    /// never copied; else a file of its own. Also its offset in the whole, when it is there.
    pub(super) fn place(
        &self,
        folder: &Folder,
        id: &str,
        key: &str,
        number: i32,
        announced: Option<u64>,
    ) -> Result<(Staged, Option<u64>), UploadError> {
        if !(1..=PART_NUMBER_MAX).contains(&number) {
            return Err(UploadError::Number);
        }
        let mut open = self.open();
        let upload = open.get_mut(id).filter(|upload| upload.key == key).ok_or(UploadError::Unknown)?;
        if let Some(bytes) = announced {
            if upload.whole.is_none() && bytes >= PART_BYTES_MIN {
                let (staged, taken) = (folder.stage()?, BTreeSet::new());
                upload.whole = Some(Whole { staged, part_bytes: bytes, taken });
            }
            if let Some(whole) = &mut upload.whole {
                let offset = whole.offset(number);
                let fits = bytes <= whole.part_bytes && offset.saturating_add(bytes) <= WHOLE_BYTES_MAX;
                if fits && whole.taken.insert(number) {
                    return Ok((whole.staged.stretch(offset, bytes), Some(offset)));
                }
            }
        }
        Ok((folder.stage()?, None))
    }

    /// Takes a part that has arrived; the last one of a number counts. Returns its ETag.
    pub(super) fn keep(
        &self,
        folder: &Folder,
        id: &str,
        number: i32,
        staged: Staged,
        start: Option<u64>,
    ) -> Result<String, UploadError> {
        let mut open = self.open();
        // Under the lock: a part must not slip in while the upload is being completed or aborted.
        let upload = open.get_mut(id).ok_or(UploadError::Unknown)?;
        let part = match start {
            Some(start) => Part {
                bytes: staged.end_offset().saturating_sub(start),
                etag: format!("{number:x}-{:016x}", aquifer_io::random_u64()),
                in_place: true,
            },
            None => {
                let meta = staged.keep_as(&part_path(folder, id, number))?;
                Part { bytes: meta.bytes, etag: meta.etag, in_place: false }
            }
        };
        let etag = part.etag.clone();
        upload.parts.insert(number, part);
        Ok(etag)
    }

    /// Puts the listed parts (number and ETag) together as the object. When that fails the upload stays open.
    pub(super) fn complete(
        &self,
        folder: &Folder,
        id: &str,
        key: &str,
        listed: &[(i32, String)],
        publish: Publish,
    ) -> Result<Meta, UploadError> {
        let upload = self.take(id, key)?;
        let publish = |staged: &Staged| folder.publish(staged, key, publish).map_err(UploadError::Io);
        let result = check(&upload, listed).and_then(|()| match in_place(&upload, listed) {
            Some((whole, bytes)) => {
                whole.staged.file().set_len(bytes)?;
                publish(&whole.staged)
            }
            None => publish(&assemble(folder, id, &upload, listed)?),
        });
        match result {
            Ok(meta) => {
                remove(folder, id);
                Ok(meta)
            }
            Err(error) => {
                self.open().insert(id.to_owned(), upload);
                Err(error)
            }
        }
    }

    /// Throws an upload away.
    pub(super) fn abort(&self, folder: &Folder, id: &str, key: &str) -> Result<(), UploadError> {
        self.take(id, key)?;
        remove(folder, id);
        Ok(())
    }

    fn take(&self, id: &str, key: &str) -> Result<Upload, UploadError> {
        let mut open = self.open();
        match open.get(id) {
            Some(upload) if upload.key == key => open.remove(id).ok_or(UploadError::Unknown),
            _ => Err(UploadError::Unknown),
        }
    }
}

/// What is listed must have arrived, in order, and only the last may be small.
fn check(upload: &Upload, listed: &[(i32, String)]) -> Result<(), UploadError> {
    if listed.is_empty() {
        return Err(UploadError::Part);
    }
    if !listed.is_sorted_by(|before, after| before.0 < after.0) {
        return Err(UploadError::Order);
    }
    for (index, (number, etag)) in listed.iter().enumerate() {
        let part = upload.parts.get(number).filter(|part| part.etag == *etag).ok_or(UploadError::Part)?;
        if part.bytes < PART_BYTES_MIN && index + 1 < listed.len() {
            return Err(UploadError::Small);
        }
    }
    Ok(())
}

/// The whole and its length, when it is the object already: the listed parts are all that ever had a stretch of it (so nobody writes to it
/// any more), they begin with the first, and leave no gap.
fn in_place<'u>(upload: &'u Upload, listed: &[(i32, String)]) -> Option<(&'u Whole, u64)> {
    let whole = upload.whole.as_ref().filter(|whole| whole.taken.len() == listed.len())?;
    let mut bytes = 0;
    for (number, _) in listed {
        let part = upload.parts.get(number).filter(|part| part.in_place)?;
        if whole.offset(*number) != bytes {
            return None;
        }
        bytes += part.bytes;
    }
    Some((whole, bytes))
}

/// Copies the listed parts together.
fn assemble(
    folder: &Folder,
    id: &str,
    upload: &Upload,
    listed: &[(i32, String)],
) -> Result<Staged, UploadError> {
    let mut staged = folder.stage()?;
    for (number, _) in listed {
        let part = upload.parts.get(number).ok_or(UploadError::Part)?;
        match &upload.whole {
            Some(whole) if part.in_place => {
                staged.append(whole.staged.file(), whole.offset(*number), part.bytes)?;
            }
            _ => staged.append(&File::open(part_path(folder, id, *number))?, 0, part.bytes)?,
        }
    }
    Ok(staged)
}

fn part_path(folder: &Folder, id: &str, number: i32) -> PathBuf {
    folder.upload(id).join(format!("{number:05}"))
}

fn remove(folder: &Folder, id: &str) {
    // What cannot be removed now goes at the next start.
    drop(fs::remove_dir_all(folder.upload(id)));
}
