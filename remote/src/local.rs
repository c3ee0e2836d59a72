//! A local folder as a store: `file:///dir`, one file for each object, named as the object.
//!
//! ```text
//! dir/packs/0001            an object
//! dir/packs/0001#4711       on its way; a killed writer leaves it behind, and no listing shows it
//! ```
//!
//! An object appears whole: a temporary file beside it is written and synced, takes its name in one step (a rename, or for a
//! put-if-absent a hard link, which fails when the name is taken), and the folder is synced. New files and folders are this user's
//! alone, or as the umask says (`AQUIFER_FILE_SHARING`, see [`Sharing`]). Links below the folder are not followed and only regular
//! files are opened ([`Beneath`]).
//!
//! Listings ascend: of each folder the names are sorted, and folders in which nothing of interest can lie are not entered.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::beneath::{Beneath, Foreign};
use crate::sharing::Sharing;

/// Bytes read at once.
const CHUNK_BYTES: u64 = 8 << 20;
/// Names tried for a temporary file.
const ATTEMPTS_MAX: usize = 64;
/// Objects listed at once: the first ones soon, then more and more.
const LIST_FIRST: usize = 64;
const LIST_MAX: usize = 1_024;

/// See the module. It works on the blocking threads of the tokio runtime that it is called on.
#[derive(Clone, Debug)]
pub(crate) struct LocalStore {
    folder: PathBuf,
    sharing: Sharing,
}

/// An error about one path.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
struct Failed {
    path: PathBuf,
    source: io::Error,
}

impl LocalStore {
    /// A store in a folder that is there.
    pub(crate) fn new(folder: PathBuf, sharing: Sharing) -> Self {
        Self { folder, sharing }
    }

    /// Runs file calls on a blocking thread. The folder is opened anew by each, so that one that is mounted or moved is found.
    async fn run<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(Beneath, &FilePath) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (store, path) = (self.clone(), PathBuf::from(path));
        let done = tokio::task::spawn_blocking(move || {
            let done = Beneath::open(&store.folder, store.sharing).and_then(|beneath| work(beneath, &path));
            done.map_err(|error| store.failed(&path, error))
        });
        done.await.map_err(|error| generic(io::Error::other(error)))?
    }

    fn failed(&self, path: &FilePath, source: io::Error) -> Error {
        let kind = source.kind();
        let path = self.folder.join(path);
        let shown = path.display().to_string();
        let source = Failed { path, source };
        match kind {
            // A folder has names below it, and its own is nobody's.
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
                Error::NotFound { path: shown, source: Box::new(source) }
            }
            ErrorKind::AlreadyExists => Error::AlreadyExists { path: shown, source: Box::new(source) },
            _ => generic(source),
        }
    }
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "folder", source: Box::new(source) }
}

fn not_there(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "folder".to_owned() }
}

/// A temporary file beside the object that it will be; removed when dropped.
struct Staged {
    beneath: Beneath,
    /// Empty once it has another name.
    temporary: PathBuf,
    file: Arc<File>,
}

impl Staged {
    fn new(beneath: Beneath, path: &FilePath) -> io::Result<Self> {
        let mut last = io::Error::from(ErrorKind::AlreadyExists);
        for _ in 0..ATTEMPTS_MAX {
            let mut temporary = path.as_os_str().to_owned();
            // Short, as names have at most 255 bytes.
            temporary.push(format!("#{}", aquifer_io::random_u64() % 1_000_000_000));
            let temporary = PathBuf::from(temporary);
            match beneath.create(&temporary) {
                Ok(file) => return Ok(Self { beneath, temporary, file: Arc::new(file) }),
                Err(error) if error.kind() == ErrorKind::NotFound => make_parents(&beneath, path)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Gives it its name; durable when it returns.
    fn publish(mut self, path: &FilePath, if_absent: bool) -> io::Result<()> {
        self.file.sync_all()?;
        let (folder, name) = self.beneath.parent(path)?;
        let own = self.temporary.file_name().unwrap_or_default();
        if if_absent {
            rustix::fs::linkat(&folder, own, &folder, name, AtFlags::empty())?;
        } else {
            match rustix::fs::renameat(&folder, own, &folder, name) {
                Err(Errno::ISDIR) => {
                    return Err(io::Error::other("a folder with objects in it has this name"));
                }
                renamed => renamed?,
            }
        }
        if if_absent {
            // Before the sync, which then covers its end too.
            let _ = rustix::fs::unlinkat(&folder, own, AtFlags::empty());
        }
        self.temporary = PathBuf::new();
        Ok(rustix::fs::fsync(&folder)?)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            // What cannot be removed is hidden, and costs space.
            drop(self.beneath.forget(&self.temporary));
        }
    }
}

/// Makes the folders that a path lies in, each entry on the disk.
fn make_parents(beneath: &Beneath, path: &FilePath) -> io::Result<()> {
    let parents: Vec<&FilePath> =
        path.ancestors().skip(1).take_while(|parent| !parent.as_os_str().is_empty()).collect();
    parents.into_iter().rev().try_for_each(|parent| beneath.make_folder(parent))
}

fn read(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let bytes = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let mut buffer = vec![0; bytes];
    file.read_exact_at(&mut buffer, range.start)?;
    Ok(buffer.into())
}

/// The rest of a file, chunk by chunk.
fn chunks(store: LocalStore, path: Path, file: File, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let next = move |(store, path, file, range): (LocalStore, Path, Arc<File>, Range<u64>)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let end = range.end.min(range.start.saturating_add(CHUNK_BYTES));
        let (chunk, source) = (range.start..end, Arc::clone(&file));
        let bytes = store.run(path.as_ref(), move |_, _| read(&source, &chunk)).await?;
        Ok(Some((bytes, (store, path, file, end..range.end))))
    };
    stream::try_unfold((store, path, Arc::new(file), range), next).boxed()
}

#[async_trait::async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, to: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let if_absent = match options.mode {
            PutMode::Overwrite => false,
            PutMode::Create => true,
            PutMode::Update(_) => return Err(not_there("an update under a condition")),
        };
        self.run(to.as_ref(), move |beneath, path| {
            let staged = Staged::new(beneath, path)?;
            let mut at = 0;
            for chunk in &payload {
                staged.file.write_all_at(chunk, at)?;
                at += chunk.len() as u64;
            }
            staged.publish(path, if_absent)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let staged = self.run(to.as_ref(), Staged::new).await?;
        Ok(Box::new(LocalUpload { store: self.clone(), to: to.clone(), staged: Some(staged), bytes: 0 }))
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        let asked = options.range.clone();
        let (file, found, range, chunk) = self
            .run(from.as_ref(), move |beneath, path| {
                let file = beneath.read(path)?;
                let found = file.metadata()?;
                let Some(asked) = asked else {
                    let range = 0..found.len();
                    return Ok((file, found, range, None));
                };
                let range = asked.as_range(found.len());
                let range = range.map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
                let is_short = range.end.saturating_sub(range.start) <= CHUNK_BYTES;
                let chunk = if is_short { Some(read(&file, &range)?) } else { None };
                Ok((file, found, range, chunk))
            })
            .await?;
        let meta = meta_of(from.clone(), &found)?;
        options.check_preconditions(&meta)?;
        let payload = match chunk {
            Some(chunk) => stream::once(async move { Ok(chunk) }).boxed(),
            None => chunks(self.clone(), from.clone(), file, range.clone()),
        };
        let payload = GetResultPayload::Stream(payload);
        Ok(GetResult { payload, meta, range, attributes: Default::default(), extensions: Default::default() })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |path: Result<Path>| {
            let store = store.clone();
            async move {
                let path = path?;
                store.run(path.as_ref(), |beneath, path| beneath.forget(path)).await?;
                Ok(path)
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        list(self.clone(), prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        list(self.clone(), prefix, Some(offset.to_string()))
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(not_there("a listing with a delimiter"))
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(not_there("a copy"))
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "folder {}", self.folder.display())
    }
}

fn meta_of(location: Path, found: &std::fs::Metadata) -> Result<ObjectMeta> {
    let last_modified = found.modified().map_err(generic)?.into();
    Ok(ObjectMeta { location, last_modified, size: found.len(), e_tag: None, version: None })
}

/// A large object on its way, in parts.
struct LocalUpload {
    store: LocalStore,
    to: Path,
    /// None once it is over.
    staged: Option<Staged>,
    bytes: u64,
}

impl fmt::Debug for LocalUpload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocalUpload").field("to", &self.to).finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let mut at = self.bytes;
        self.bytes += payload.content_length() as u64;
        let file = self.staged.as_ref().map(|staged| Arc::clone(&staged.file));
        let (store, to) = (self.store.clone(), self.to.clone());
        Box::pin(async move {
            let write = move |_: Beneath, _: &FilePath| {
                let file = file.ok_or_else(|| io::Error::other("the upload is over"))?;
                for chunk in &payload {
                    file.write_all_at(chunk, at)?;
                    at += chunk.len() as u64;
                }
                Ok(())
            };
            store.run(to.as_ref(), write).await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take();
        let publish = move |_: Beneath, path: &FilePath| {
            staged.ok_or_else(|| io::Error::other("the upload is over"))?.publish(path, false)
        };
        self.store.run(self.to.as_ref(), publish).await?;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn abort(&mut self) -> Result<()> {
        drop(self.staged.take());
        Ok(())
    }
}

fn list(
    store: LocalStore,
    prefix: Option<&Path>,
    after: Option<String>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let prefix = prefix.map(Path::to_string).unwrap_or_default();
    let walk = Walk { after, prefix: prefix.clone(), stack: Vec::new(), started: false };
    let next = move |(store, walk, batch): (LocalStore, Option<Walk>, usize)| {
        let prefix = prefix.clone();
        async move {
            let Some(mut walk) = walk else { return Ok(None) };
            let work = move |beneath: Beneath, _: &FilePath| {
                let mut found = Vec::new();
                while found.len() < batch {
                    match walk.next(&beneath)? {
                        Some(object) => found.push(object),
                        None => return Ok((found, None)),
                    }
                }
                Ok((found, Some(walk)))
            };
            let (found, walk) = store.run(&prefix, work).await?;
            let found: Vec<Result<ObjectMeta>> =
                found.into_iter().map(|(location, found)| meta_of(location, &found)).collect();
            Ok::<_, Error>(Some((stream::iter(found), (store, walk, (batch * 2).min(LIST_MAX)))))
        }
    };
    stream::try_unfold((store, Some(walk), LIST_FIRST), next).try_flatten().boxed()
}

/// A walk over the objects below a folder, ascending.
struct Walk {
    prefix: String,
    /// Nothing up to this name is of interest.
    after: Option<String>,
    /// Of each folder entered, what is still to come, the next one last; true for a folder.
    stack: Vec<Vec<(String, bool)>>,
    started: bool,
}

impl Walk {
    fn next(&mut self, beneath: &Beneath) -> io::Result<Option<(Path, std::fs::Metadata)>> {
        if !std::mem::replace(&mut self.started, true) {
            let prefix = self.prefix.clone();
            self.enter(beneath, &prefix)?;
        }
        while let Some(names) = self.stack.last_mut() {
            let Some((name, is_folder)) = names.pop() else {
                self.stack.pop();
                continue;
            };
            if is_folder {
                self.enter(beneath, &name)?;
                continue;
            }
            if self.after.as_deref().is_some_and(|after| name.as_str() <= after) {
                continue;
            }
            let Ok(location) = Path::parse(&name) else { continue };
            match beneath.look(FilePath::new(&name)) {
                Ok(found) => return Ok(Some((location, found))),
                // Deleted or replaced meanwhile.
                Err(error) if is_no_object(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn enter(&mut self, beneath: &Beneath, folder: &str) -> io::Result<()> {
        let base = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        // All its names begin with the base: when that comes before the name to begin after, so do they.
        if self.after.as_deref().is_some_and(|after| base.as_str() < after && !after.starts_with(&base)) {
            return Ok(());
        }
        let entries = match beneath.entries(FilePath::new(folder)) {
            Err(error) if is_no_object(&error) => return Ok(()),
            entries => entries?,
        };
        let mut names: Vec<(String, bool)> = entries
            .into_iter()
            .filter_map(|(name, is_folder)| Some((name.into_string().ok()?, is_folder)))
            .filter(|(name, is_folder)| *is_folder || !is_temporary(name))
            .map(|(name, is_folder)| (format!("{base}{name}"), is_folder))
            .collect();
        // A folder stands where its names do, which go on with a slash. The last one is taken first.
        names.sort_unstable_by(|one, other| sorted_as(other).cmp(sorted_as(one)));
        self.stack.push(names);
        Ok(())
    }
}

fn sorted_as((name, is_folder): &(String, bool)) -> impl Iterator<Item = u8> {
    name.bytes().chain(is_folder.then_some(b'/'))
}

fn is_no_object(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
        || Foreign::of(error).is_some()
}

/// A file on its way: a name, `#` and digits.
fn is_temporary(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
