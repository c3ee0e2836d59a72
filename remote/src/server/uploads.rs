//! Multipart uploads under way: which parts of which key have arrived.
//!
//! ```text
//! temporary/<whole>     | part 1 | part 2 | part 3 |4|    each where it belongs: completing copies nothing
//! uploads/<id>/<part>   a part that did not fit in: sent twice, of unknown length, or longer than the first one
//! ```
//!
//! The list lives in memory and the parts in the folder; a restart forgets both, and the client starts over.
//!
//! Nobody has to complete or abort what it began, so both are bounded: an upload that nothing was heard of for
//! [`UploadLimits::age_max`] is thrown away, and when there are [`UploadLimits::uploads_max`] of them, the one that was silent for longest makes
//! room for a new one, provided that it was silent for [`QUIET_TIME`]. Its parts go from the disk with it. An upload with a part on
//! its way is never thrown away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aquifer_io::Instant;

use super::folder::{Folder, Meta, Publish, Staged};

/// Highest part number, S3's rule.
const PART_NUMBER_MAX: i32 = 10_000;
/// Every part but the last has as much, S3's rule.
const PART_BYTES_MIN: u64 = 5 << 20;
/// Parts remembered of all uploads together: some tens of megabytes of memory.
const PARTS_MAX: usize = 200_000;
/// So long after its last request nobody is likely to miss an upload when the table is full.
const QUIET_TIME: Duration = Duration::from_secs(600);

/// How many uploads there may be, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct UploadLimits {
    /// Uploads at once.
    pub(super) uploads_max: usize,
    /// Time since the last request about an upload, after which it is thrown away.
    pub(super) age_max: Duration,
}

/// Longest object whose parts are put where they belong.
const WHOLE_BYTES_MAX: u64 = 1 << 40;

/// Why a request about an upload was refused.
#[derive(Debug)]
pub(super) enum UploadError {
    /// No such upload of this key.
    Unknown,
    /// Too many at once, so many, and none of them silent for long.
    TooMany(usize),
    /// Too many parts of all uploads together.
    TooManyParts,
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
    /// The last request about it.
    heard: Instant,
    /// Held by every part on its way.
    busy: Arc<()>,
}

impl Upload {
    /// How long it has been silent; `None` while a part is on its way.
    fn silence(&self, now: Instant) -> Option<Duration> {
        (Arc::strong_count(&self.busy) == 1).then(|| now.duration_since(self.heard))
    }
}

/// Where a part goes that comes.
pub(super) struct PartPlace {
    pub(super) staged: Staged,
    /// Its offset in the whole, when it lies there.
    pub(super) start: Option<u64>,
    /// Keeps the upload from being thrown away.
    pub(super) busy: Arc<()>,
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
pub(super) struct Uploads {
    limits: UploadLimits,
    open: Mutex<HashMap<String, Upload>>,
}

impl Uploads {
    pub(super) fn new(limits: UploadLimits) -> Self {
        Self { limits, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one; returns its id.
    pub(super) fn create(&self, folder: &Folder, key: &str, now: Instant) -> Result<String, UploadError> {
        let id = format!("{:016x}{:016x}", aquifer_io::random_u64(), aquifer_io::random_u64());
        let gone = self.make_room(now)?;
        if let Some((id, upload)) = gone {
            drop(upload);
            remove(folder, &id);
        }
        folder.uploads().make_folder(Path::new(&id))?;
        let (key, parts) = (key.to_owned(), BTreeMap::new());
        let upload = Upload { key, parts, whole: None, heard: now, busy: Arc::default() };
        self.open().insert(id.clone(), upload);
        Ok(id)
    }

    /// Takes one out that can go, when the table is full. Callers that come together may pass the limit by their number.
    fn make_room(&self, now: Instant) -> Result<Option<(String, Upload)>, UploadError> {
        let mut open = self.open();
        if open.len() < self.limits.uploads_max {
            return Ok(None);
        }
        let silent = open.iter().filter_map(|(id, upload)| Some((upload.silence(now)?, id)));
        let longest = silent.filter(|(silence, _)| *silence >= QUIET_TIME).max();
        let longest =
            longest.map(|(_, id)| id.clone()).ok_or(UploadError::TooMany(self.limits.uploads_max))?;
        Ok(open.remove_entry(&longest))
    }

    /// Throws away what nothing was heard of for too long.
    pub(super) fn sweep(&self, folder: &Folder, now: Instant) {
        let age_max = self.limits.age_max;
        let is_old = |upload: &Upload| upload.silence(now).is_some_and(|silence| silence > age_max);
        let old: Vec<(String, Upload)> = self.open().extract_if(|_, upload| is_old(upload)).collect();
        for (id, upload) in old {
            drop(upload);
            remove(folder, &id);
        }
    }

    /// Finds a place for a part that comes: where it belongs, when its length is announced and fits in with the others, so that it is
    /// never copied; else a file of its own.
    pub(super) fn place(
        &self,
        folder: &Folder,
        id: &str,
        key: &str,
        number: i32,
        announced: Option<u64>,
    ) -> Result<PartPlace, UploadError> {
        if !(1..=PART_NUMBER_MAX).contains(&number) {
            return Err(UploadError::Number);
        }
        let mut open = self.open();
        let parts: usize = open.values().map(|upload| upload.parts.len()).sum();
        let upload = open.get_mut(id).filter(|upload| upload.key == key).ok_or(UploadError::Unknown)?;
        if parts >= PARTS_MAX && !upload.parts.contains_key(&number) {
            return Err(UploadError::TooManyParts);
        }
        upload.heard = aquifer_io::now();
        let busy = Arc::clone(&upload.busy);
        if let Some(bytes) = announced {
            if upload.whole.is_none() && bytes >= PART_BYTES_MIN {
                let (staged, taken) = (folder.stage()?, BTreeSet::new());
                upload.whole = Some(Whole { staged, part_bytes: bytes, taken });
            }
            if let Some(whole) = &mut upload.whole {
                let offset = whole.offset(number);
                let fits = bytes <= whole.part_bytes && offset.saturating_add(bytes) <= WHOLE_BYTES_MAX;
                if fits && whole.taken.insert(number) {
                    return Ok(PartPlace {
                        staged: whole.staged.stretch(offset, bytes),
                        start: Some(offset),
                        busy,
                    });
                }
            }
        }
        Ok(PartPlace { staged: folder.stage()?, start: None, busy })
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
        upload.heard = aquifer_io::now();
        let part = match start {
            Some(start) => Part {
                bytes: staged.end_offset().saturating_sub(start),
                etag: format!("{number:x}-{:016x}", aquifer_io::random_u64()),
                in_place: true,
            },
            None => {
                let meta = staged.keep_as(folder.uploads(), &part_path(id, number))?;
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
            _ => staged.append(&folder.uploads().read(&part_path(id, *number))?, 0, part.bytes)?,
        }
    }
    Ok(staged)
}

fn part_path(id: &str, number: i32) -> PathBuf {
    Path::new(id).join(format!("{number:05}"))
}

fn remove(folder: &Folder, id: &str) {
    // What cannot be removed now goes at the next start.
    drop(folder.uploads().remove_flat(Path::new(id)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    struct Fixture {
        dir: tempfile::TempDir,
        folder: Arc<Folder>,
        uploads: Uploads,
    }

    impl Fixture {
        fn new(uploads_max: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let folder = Folder::open(dir.path()).unwrap();
            Self { dir, folder, uploads: Uploads::new(UploadLimits { uploads_max, age_max: 24 * HOUR }) }
        }

        fn create(&self, now: Instant) -> Result<String, UploadError> {
            self.uploads.create(&self.folder, "key", now)
        }

        /// A part of so many bytes, announced, so that large ones lie in the whole.
        fn part(&self, id: &str, number: i32, bytes: usize) -> Result<String, UploadError> {
            let place = self.uploads.place(&self.folder, id, "key", number, Some(bytes as u64))?;
            let (mut staged, start) = (place.staged, place.start);
            staged.write(&[vec![7; bytes].into()])?;
            self.uploads.keep(&self.folder, id, number, staged, start)
        }

        fn files(&self) -> usize {
            let count = |name: &str| std::fs::read_dir(self.dir.path().join(name)).unwrap().count();
            count("uploads") + count("temporary")
        }
    }

    /// An upload that was begun and forgotten stayed in the table, and its parts on the disk, for as long as the server ran: after
    /// 1,024 of them nobody could begin one.
    #[test]
    fn forgotten_uploads_make_room_and_give_their_space_back() {
        let fixture = Fixture::new(3);
        let start = aquifer_io::now();
        let ids: Vec<String> = (0..3).map(|_| fixture.create(start).unwrap()).collect();
        fixture.part(&ids[0], 1, 5 << 20).unwrap();
        fixture.part(&ids[0], 2, 10).unwrap();
        fixture.part(&ids[1], 1, 10).unwrap();
        let full = fixture.create(start + Duration::from_secs(60)).unwrap_err();
        assert!(matches!(full, UploadError::TooMany(3)), "{full:?}");
        // The second and the first one were heard of last: the third goes, then the first.
        fixture.create(start + HOUR).unwrap();
        assert!(matches!(fixture.part(&ids[2], 1, 10), Err(UploadError::Unknown)));
        fixture.create(start + HOUR).unwrap();
        assert!(matches!(fixture.part(&ids[0], 3, 10), Err(UploadError::Unknown)));
        fixture.part(&ids[1], 2, 10).unwrap();
        // One folder for each of the three, and no whole.
        assert_eq!(fixture.files(), 3);
        fixture.uploads.sweep(&fixture.folder, start + 23 * HOUR);
        assert_eq!(fixture.files(), 3);
        fixture.uploads.sweep(&fixture.folder, start + 26 * HOUR);
        assert_eq!(fixture.files(), 0, "after a day of silence all are gone");
        assert!(matches!(fixture.part(&ids[1], 3, 10), Err(UploadError::Unknown)));
    }

    #[test]
    fn an_upload_with_a_part_on_its_way_stays_however_long_that_takes() {
        let fixture = Fixture::new(1);
        let start = aquifer_io::now();
        let id = fixture.create(start).unwrap();
        let place = fixture.uploads.place(&fixture.folder, &id, "key", 1, None).unwrap();
        let late = start + 100 * HOUR;
        assert!(matches!(fixture.create(late), Err(UploadError::TooMany(1))));
        fixture.uploads.sweep(&fixture.folder, late);
        // The client went away in the midst of it.
        drop(place);
        fixture.uploads.sweep(&fixture.folder, late);
        assert_eq!(fixture.files(), 0);
    }

    #[test]
    fn parts_of_all_uploads_together_are_bounded() {
        let fixture = Fixture::new(3);
        let id = fixture.create(aquifer_io::now()).unwrap();
        let part = || Part { bytes: 1, etag: String::new(), in_place: true };
        let other = Upload {
            key: "key".to_owned(),
            parts: (0..i32::try_from(PARTS_MAX).unwrap() - 1).map(|number| (number, part())).collect(),
            whole: None,
            heard: aquifer_io::now(),
            busy: Arc::default(),
        };
        fixture.uploads.open().insert("other".to_owned(), other);
        fixture.part(&id, 1, 10).unwrap();
        assert!(matches!(fixture.part(&id, 2, 10), Err(UploadError::TooManyParts)));
        fixture.part(&id, 1, 20).unwrap();
    }
}
