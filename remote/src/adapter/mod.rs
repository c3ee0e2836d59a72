//! Any store of the `object_store` crate as a [`Remote`].
//!
//! ```text
//! ObjectName ── root prefix ──> Path ─┬─> object_store ─────────────> answer ── length and range checks ──> caller
//!                                     └─> s3_read: ranged reads ────────┘
//! ```
//!
//! Invariants:
//! * Bytes are handed out only when their number is exactly the range's; the range in the answer must be the one asked for. An
//!   answer of which that is not true is repeated, then reported.
//! * Every request runs on the store's own runtime, under its limit and a deadline that grows with the bytes moved.
//! * Names come in checked and names listed by the store are checked again.

mod classify;
mod shared;
mod list;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
};
use tokio::time::Instant;

use crate::bounds::{LISTING, Listing};
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::{ObjectName, check_folder, check_prefix};
use crate::options::RemoteOptions;
use crate::repeats::Repeats;
use crate::runtime::{HttpRuntime, moved, no_answer};
use crate::s3_read::{Read, Reader};
use crate::secrets::masked;
use crate::store::{ListPage, ObjectMeta, PutOutcome, Remote, RemoteFuture, Upload};

pub(crate) use shared::ListOrder;
use shared::{Shared, payload};

/// Memory that is set aside for a body before its bytes are there.
const RESERVED_BYTES_MAX: usize = 1 << 20;

/// An `object_store` under a prefix. Clones share everything.
#[derive(Clone)]
pub(crate) struct Adapter {
    shared: Arc<Shared>,
}

/// The clients of one store.
pub(crate) struct Stores {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The same store for multipart uploads, whose requests it repeats by itself.
    pub(crate) uploads: Arc<dyn ObjectStore>,
    /// A shorter way for ranged reads, where there is one.
    pub(crate) reader: Option<Reader>,
}

impl Adapter {
    /// Puts a store under a prefix. `url` is what [`Remote::describe`] says.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        url: &str,
        order: ListOrder,
        options: &RemoteOptions,
    ) -> Result<Self, RemoteError> {
        let stores = Stores { uploads: Arc::clone(&store), store, reader: None };
        Self::with_stores(stores, prefix, url, order, options)
    }

    /// The same, with other clients of the same store for some of its requests.
    pub(crate) fn with_stores(
        stores: Stores,
        prefix: &str,
        url: &str,
        order: ListOrder,
        options: &RemoteOptions,
    ) -> Result<Self, RemoteError> {
        // Who opens them so puts the wrappers around them, which repeat whatever fails in passing.
        let options = RemoteOptions { retries_max: 0, ..options.clone() };
        Self::with_repeats(stores, prefix, url, order, options)
    }

    /// Puts an embedder's store, which repeats its requests itself, under a prefix: answers that break off are repeated here, as nobody else
    /// may do it.
    pub(crate) fn of_embedder(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        url: &str,
    ) -> Result<Self, RemoteError> {
        let stores = Stores { uploads: Arc::clone(&store), store, reader: None };
        Self::with_repeats(stores, prefix, url, ListOrder::Unknown, RemoteOptions::default())
    }

    fn with_repeats(
        stores: Stores,
        prefix: &str,
        url: &str,
        order: ListOrder,
        options: RemoteOptions,
    ) -> Result<Self, RemoteError> {
        let root = check_prefix(prefix)?.to_owned();
        let url = masked(url);
        let runtime = HttpRuntime::start(&options)?;
        let Stores { store, uploads, reader } = stores;
        Ok(Self { shared: Arc::new(Shared { store, uploads, reader, root, url, order, runtime, options }) })
    }
}

impl Shared {
    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, RemoteError> {
        let mut repeats = Repeats::new(&self.options);
        loop {
            match self.get_once(name, bytes_max).await {
                Err(Failed::Body(_)) if repeats.again().await => {}
                done => return done.map_err(Failed::error),
            }
        }
    }

    async fn get_once(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, Failed> {
        let error = |error| classify::error("get", name, &error);
        let answer = self.store.get_opts(&self.path(name), GetOptions::default()).await;
        let answer = answer.map_err(|failure| Failed::Head(error(failure)))?;
        let bytes = answer.meta.size;
        if bytes > bytes_max {
            let error = RemoteError::new(RemoteErrorKind::TooLarge, "get");
            return Err(Failed::Head(error.with_object(name).with_bytes(bytes_max, bytes)));
        }
        let found = body_of(answer, bytes).await.map_err(|failure| Failed::Body(error(failure)))?;
        exactly("get", name, None, bytes, found)
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, RemoteError> {
        let mut repeats = Repeats::new(&self.options);
        loop {
            match self.get_range_once(name, range.clone()).await {
                Err(Failed::Body(_)) if repeats.again().await => {}
                done => return done.map_err(Failed::error),
            }
        }
    }

    async fn get_range_once(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, Failed> {
        // Boxed, as large and seldom taken: the reads of the shorter way are small tasks.
        let Some(reader) = &self.reader else { return Box::pin(self.get_range_plain(name, range)).await };
        let expected = range.end.saturating_sub(range.start);
        let error = |error| object_store::Error::Generic { store: "S3", source: Box::new(error) };
        match reader.get_range(name, || self.path(name), &range).await {
            Read::Bytes(bytes) => exactly("get_range", name, Some(range), expected, bytes),
            Read::Short { object_bytes } => Err(short(name, range, object_bytes)),
            Read::Head(failure) => Err(Box::pin(self.no_range(name, range, &error(failure))).await),
            Read::Body(failure) => Err(broken_off(name, range, &error(failure))),
            Read::Ordinary { is_refused } => {
                let done = Box::pin(self.get_range_plain(name, range)).await;
                if is_refused && done.is_ok() {
                    reader.was_granted();
                }
                done
            }
        }
    }

    async fn get_range_plain(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, Failed> {
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let answer = match self.store.get_opts(&self.path(name), options).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.no_range(name, range, &error).await),
        };
        if answer.range != range {
            return Err(short(name, range, answer.meta.size));
        }
        let expected = range.end.saturating_sub(range.start);
        let bytes = answer.bytes().await.map_err(|error| broken_off(name, range.clone(), &error))?;
        exactly("get_range", name, Some(range), expected, bytes)
    }

    /// A read that failed before its body.
    async fn no_range(&self, name: &ObjectName, range: Range<u64>, error: &object_store::Error) -> Failed {
        let error = self.explain_range(name, range, error).await;
        // A server that ignores Range, or answers another one, may do better the next time.
        let is_wrong = error.kind() == RemoteErrorKind::Truncated;
        if is_wrong { Failed::Body(error) } else { Failed::Head(error) }
    }

    /// Stores report a range that starts beyond the end in many ways: the object's length tells it from other failures.
    async fn explain_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
        error: &object_store::Error,
    ) -> RemoteError {
        let plain = classify::error("get_range", name, error).with_range(range.clone());
        if !matches!(plain.kind(), RemoteErrorKind::Other | RemoteErrorKind::BadRange) {
            return plain;
        }
        match self.object_bytes(name).await {
            Ok(bytes) if bytes < range.end => bad_range(name, range, bytes),
            _ => plain,
        }
    }
}

/// Why an attempt to read failed.
enum Failed {
    /// Before any bytes came: the wrappers repeat it, or an embedder's store itself.
    Head(RemoteError),
    /// With other bytes than those asked for, or with too few: the wrappers repeat it; an embedder's store does not, so it is repeated here.
    Body(RemoteError),
}

impl Failed {
    fn error(self) -> RemoteError {
        match self {
            Self::Head(error) | Self::Body(error) => error,
        }
    }
}

/// The answer holds another range than the one asked for, of an object with so many bytes.
fn short(name: &ObjectName, range: Range<u64>, object_bytes: u64) -> Failed {
    if object_bytes < range.end {
        Failed::Head(bad_range(name, range, object_bytes))
    } else {
        Failed::Body(wrong_range(name, range))
    }
}

fn broken_off(name: &ObjectName, range: Range<u64>, error: &object_store::Error) -> Failed {
    Failed::Body(classify::error("get_range", name, error).with_range(range))
}

fn wrong_range(name: &ObjectName, range: Range<u64>) -> RemoteError {
    RemoteError::new(RemoteErrorKind::Truncated, "get_range")
        .with_object(name)
        .with_range(range)
        .with_cause("the server answered another range")
}

fn bad_range(name: &ObjectName, range: Range<u64>, found: u64) -> RemoteError {
    let expected = range.end;
    RemoteError::new(RemoteErrorKind::BadRange, "get_range")
        .with_object(name)
        .with_range(range)
        .with_bytes(expected, found)
}

fn exactly(
    operation: &'static str,
    name: &ObjectName,
    range: Option<Range<u64>>,
    expected: u64,
    bytes: Bytes,
) -> Result<Bytes, Failed> {
    let found = bytes.len() as u64;
    if found == expected {
        return Ok(bytes);
    }
    let error =
        RemoteError::new(RemoteErrorKind::Truncated, operation).with_object(name).with_bytes(expected, found);
    Err(Failed::Body(match range {
        Some(range) => error.with_range(range),
        None => error,
    }))
}

/// Reads a body of `expected` bytes; one byte more at most of one that goes on.
async fn body_of(answer: object_store::GetResult, expected: u64) -> Result<Bytes, object_store::Error> {
    let mut chunks = match answer.payload {
        GetResultPayload::Stream(chunks) => chunks,
        // A file has the bytes that it has.
        GetResultPayload::File(..) => {
            moved(expected);
            return answer.bytes().await;
        }
    };
    let first = chunks.try_next().await?.unwrap_or_default();
    moved(first.len() as u64);
    if first.len() as u64 >= expected && chunks.try_next().await?.is_none() {
        return Ok(first);
    }
    let reserved = usize::try_from(expected).unwrap_or(RESERVED_BYTES_MAX).min(RESERVED_BYTES_MAX);
    let mut bytes = BytesMut::with_capacity(reserved.max(first.len()));
    bytes.extend_from_slice(&first);
    while bytes.len() as u64 <= expected {
        let Some(chunk) = chunks.try_next().await? else { break };
        moved(chunk.len() as u64);
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

impl Remote for Adapter {
    fn describe(&self) -> String {
        self.shared.url.clone()
    }

    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        self.shared.put(name, content)
    }

    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome> {
        let bytes = content.bytes();
        let (shared, owned) = (Arc::clone(&self.shared), name.clone());
        self.shared.request("put_if_absent", name, bytes, async move {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match shared.store.put_opts(&shared.path(&owned), payload(content), options).await {
                Ok(_) => Ok(PutOutcome::Created),
                Err(error) => classify::create(&owned, &error),
            }
        })
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        let (shared, owned) = (Arc::clone(&self.shared), name.clone());
        let late = name.clone();
        let work = async move { shared.get(&owned, bytes_max).await };
        self.shared.runtime.run_moving(&self.shared.options, bytes_max, work, move |deadline| {
            RemoteError::new(RemoteErrorKind::Unavailable, "get")
                .with_object(&late)
                .with_cause(no_answer(deadline))
        })
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        let Some(bytes) = range.end.checked_sub(range.start) else {
            let error = RemoteError::new(RemoteErrorKind::Invalid, "get_range")
                .with_object(name)
                .with_range(range)
                .with_cause("the range ends before it starts");
            return Box::pin(async move { Err(error) });
        };
        if bytes == 0 {
            return Box::pin(async move { Ok(Bytes::new()) });
        }
        let (shared, owned) = (Arc::clone(&self.shared), name.clone());
        self.shared.request("get_range", name, bytes, async move { shared.get_range(&owned, range).await })
    }

    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        let (shared, owned) = (Arc::clone(&self.shared), name.clone());
        self.shared.request("head", name, 0, async move {
            match shared.object_bytes(&owned).await {
                Ok(bytes) => Ok(ObjectMeta { name: owned, bytes }),
                Err(error) => Err(classify::error("head", &owned, &error)),
            }
        })
    }

    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        let (shared, owned) = (Arc::clone(&self.shared), name.clone());
        self.shared.request("delete", name, 0, async move {
            let Err(error) = shared.store.delete(&shared.path(&owned)).await else { return Ok(()) };
            match classify::error("delete", &owned, &error) {
                absent if absent.kind() == RemoteErrorKind::NotFound => Ok(()),
                other => Err(other),
            }
        })
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
    ) -> RemoteFuture<ListPage> {
        let folder = match check_folder(prefix) {
            Ok(folder) => folder.to_owned(),
            Err(error) => return Box::pin(async move { Err(error) }),
        };
        if entries_max == 0 {
            let error = RemoteError::new(RemoteErrorKind::Invalid, "list").with_cause("entries_max is 0");
            return Box::pin(async move { Err(error) });
        }
        let (deadline, soon) = (self.shared.options.deadline, self.shared.options.list_time());
        let shared = Arc::clone(&self.shared);
        let start_after = start_after.cloned();
        self.shared.runtime.run(
            deadline,
            LISTING.scope(Listing::default(), async move {
                list::page(&shared, &folder, start_after.as_ref(), entries_max, Instant::now() + soon).await
            }),
            move || RemoteError::new(RemoteErrorKind::Unavailable, "list").with_cause(no_answer(deadline)),
        )
    }

    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        let (shared, owned) = (Arc::clone(&self.shared), name.clone());
        self.shared.request("upload", name, 0, async move { upload::start(shared, owned).await })
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the store itself: the Debug output of S3 clients shows their configuration.
        formatter.debug_struct("Adapter").field("url", &self.shared.url).finish_non_exhaustive()
    }
}
