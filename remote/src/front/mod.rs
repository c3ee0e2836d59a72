//! What the protocols of our own (WebHDFS, WebDAV) have in common: checks of the arguments, runtime, limits and deadlines.
//!
//! ```text
//! caller ──> Front (this file: checks, deadline, store's runtime) ──> Verbs (one protocol: requests, repeats) ──> Exchange
//! ```
//!
//! Invariants:
//! * Every operation runs on the store's own runtime, under its limit and a deadline that grows with the bytes moved.
//! * Numbers that make names unique are drawn on the caller's thread, so that the caller's seed replays them.

mod line;
pub(crate) mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::{ObjectName, check_folder};
use crate::options::RemoteOptions;
use crate::runtime::{HttpRuntime, no_answer};
use crate::secrets::masked;
use crate::store::{ListPage, ObjectMeta, PutOutcome, Remote, RemoteFuture, Upload};

use self::line::{Line, fail};
use self::upload::{OrderedUpload, Sink};

/// The operations of one protocol. Arguments are checked, repeats are made inside, errors carry their operation; the object is
/// added by the caller. `unique` is a fresh random number.
#[async_trait]
pub(crate) trait Verbs: Send + Sync + 'static {
    type Sink: Sink;

    async fn put(
        self: Arc<Self>,
        name: &ObjectName,
        content: Content,
        unique: u64,
    ) -> Result<(), RemoteError>;
    async fn put_if_absent(
        self: Arc<Self>,
        name: &ObjectName,
        content: Content,
        unique: u64,
    ) -> Result<PutOutcome, RemoteError>;
    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, RemoteError>;
    /// `range` is not empty.
    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, RemoteError>;
    async fn object_bytes(&self, name: &ObjectName) -> Result<u64, RemoteError>;
    async fn delete(&self, name: &ObjectName) -> Result<(), RemoteError>;
    /// `folder` without a slash at its end, `entries_max` at least 1. After `soon` a shorter page is better than none.
    async fn list(
        &self,
        folder: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
        soon: Instant,
    ) -> Result<ListPage, RemoteError>;
    fn sink(self: Arc<Self>, name: &ObjectName, unique: u64) -> Self::Sink;
}

/// A protocol as a [`Remote`].
pub(crate) struct Front<V> {
    verbs: Arc<V>,
    line: Line,
    url: String,
}

impl<V: Verbs> Front<V> {
    /// Puts the checks before a protocol. `url` is what [`Remote::describe`] says.
    pub(crate) fn new(verbs: Arc<V>, runtime: Arc<HttpRuntime>, options: &RemoteOptions, url: &str) -> Self {
        Self { verbs, line: Line::new(runtime, options), url: masked(url) }
    }
}

impl<V> fmt::Debug for Front<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the protocol's settings: they hold credentials.
        formatter.debug_struct("Front").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The error of a range that reaches beyond the object's end.
pub(crate) fn bad_range(range: &Range<u64>, object_bytes: u64) -> RemoteError {
    RemoteError::new(RemoteErrorKind::BadRange, "get_range")
        .with_range(range.clone())
        .with_bytes(range.end, object_bytes)
}

impl<V: Verbs> Remote for Front<V> {
    fn describe(&self) -> String {
        self.url.clone()
    }

    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        let (verbs, owned, unique) = (Arc::clone(&self.verbs), name.clone(), aquifer_io::random_u64());
        let bytes = content.bytes();
        self.line.run("put", name, bytes, async move { verbs.put(&owned, content, unique).await })
    }

    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome> {
        let (verbs, owned, unique) = (Arc::clone(&self.verbs), name.clone(), aquifer_io::random_u64());
        let bytes = content.bytes();
        let work = async move { verbs.put_if_absent(&owned, content, unique).await };
        self.line.run("put_if_absent", name, bytes, work)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        let (verbs, owned) = (Arc::clone(&self.verbs), name.clone());
        let (late, named) = (name.clone(), name.clone());
        let work =
            async move { verbs.get(&owned, bytes_max).await.map_err(|error| error.with_object(&named)) };
        self.line.runtime.run_moving(&self.line.options, bytes_max, work, move |deadline| {
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
            return fail(error);
        };
        if bytes == 0 {
            return Box::pin(async move { Ok(Bytes::new()) });
        }
        let (verbs, owned) = (Arc::clone(&self.verbs), name.clone());
        self.line.run("get_range", name, bytes, async move {
            let read = verbs.get_range(&owned, range.clone()).await;
            read.map_err(|error| error.with_range(range))
        })
    }

    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        let (verbs, owned) = (Arc::clone(&self.verbs), name.clone());
        self.line.run("head", name, 0, async move {
            let bytes = verbs.object_bytes(&owned).await?;
            Ok(ObjectMeta { name: owned, bytes })
        })
    }

    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        let (verbs, owned) = (Arc::clone(&self.verbs), name.clone());
        self.line.run("delete", name, 0, async move { verbs.delete(&owned).await })
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
    ) -> RemoteFuture<ListPage> {
        let folder = match check_folder(prefix) {
            Ok(folder) => folder.to_owned(),
            Err(error) => return fail(error),
        };
        if entries_max == 0 {
            return fail(RemoteError::new(RemoteErrorKind::Invalid, "list").with_cause("entries_max is 0"));
        }
        let (verbs, start_after) = (Arc::clone(&self.verbs), start_after.cloned());
        let (deadline, soon) = (self.line.options.deadline, self.line.options.list_time());
        self.line.runtime.run(
            deadline,
            async move { verbs.list(&folder, start_after.as_ref(), entries_max, Instant::now() + soon).await },
            move || {
                RemoteError::new(RemoteErrorKind::Unavailable, "list")
                    .with_cause(no_answer(deadline))
            },
        )
    }

    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        let sink = Arc::clone(&self.verbs).sink(name, aquifer_io::random_u64());
        let upload: Box<dyn Upload> = Box::new(OrderedUpload::new(self.line.clone(), name, sink));
        Box::pin(async move { Ok(upload) })
    }
}
