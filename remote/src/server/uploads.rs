//! Multipart uploads under way: which parts of which key have arrived.
//!
//! The list lives in memory and the parts in the folder; a restart forgets both, and the client starts over.

use std::collections::{BTreeMap, HashMap};
use std::fs;
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
    parts: BTreeMap<i32, Meta>,
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
        open.insert(id.clone(), Upload { key: key.to_owned(), parts: BTreeMap::new() });
        Ok(id)
    }

    /// Checks that a part may come.
    pub(super) fn check(&self, id: &str, key: &str, number: i32) -> Result<(), UploadError> {
        if !(1..=PART_NUMBER_MAX).contains(&number) {
            return Err(UploadError::Number);
        }
        match self.open().get(id) {
            Some(upload) if upload.key == key => Ok(()),
            _ => Err(UploadError::Unknown),
        }
    }

    /// Takes a part that has arrived; the last one of a number counts. Returns its ETag.
    pub(super) fn keep(
        &self,
        folder: &Folder,
        id: &str,
        number: i32,
        staged: Staged,
    ) -> Result<String, UploadError> {
        let mut open = self.open();
        // Under the lock: a part must not slip in while the upload is being completed or aborted.
        let upload = open.get_mut(id).ok_or(UploadError::Unknown)?;
        let meta = staged.keep_as(&part_path(folder, id, number))?;
        let etag = meta.etag.clone();
        upload.parts.insert(number, meta);
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
        let result = assemble(folder, id, &upload, listed)
            .and_then(|staged| folder.publish(&staged, key, publish).map_err(UploadError::Io));
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

fn assemble(
    folder: &Folder,
    id: &str,
    upload: &Upload,
    listed: &[(i32, String)],
) -> Result<Staged, UploadError> {
    if listed.is_empty() {
        return Err(UploadError::Part);
    }
    if !listed.is_sorted_by(|before, after| before.0 < after.0) {
        return Err(UploadError::Order);
    }
    let mut staged = folder.stage()?;
    for (index, (number, etag)) in listed.iter().enumerate() {
        let part = upload.parts.get(number).filter(|part| part.etag == *etag).ok_or(UploadError::Part)?;
        if part.bytes < PART_BYTES_MIN && index + 1 < listed.len() {
            return Err(UploadError::Small);
        }
        if staged.append(&part_path(folder, id, *number))? != part.bytes {
            return Err(UploadError::Part);
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
