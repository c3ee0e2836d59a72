//! A wrapper, reduced to what it does with a request.
//!
//! ```text
//! Remote's methods ──> Layered ── Request + how to send it ──> Layer::run ──> inner Remote
//!                      (this file, once for all)              (each wrapper)
//! ```
//!
//! Invariants:
//! * A layer that lets a request through at once calls `send` before `run` returns, so the request starts at the call.
//! * Each call of `send` is one whole request; what the layer drops is cancelled.
//! * The parts of an upload keep their order, so they are sent at the call and seen by [`Layer::run_once`] alone.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::operation::{Answer, Operation};
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::store::{ListPage, ObjectMeta, PutOutcome, Remote, RemoteFuture, Upload};

/// What an entry of a listing takes on the wire, about.
const ENTRY_BYTES: u64 = 256;

/// One request on its way through the wrappers.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    /// None for a listing.
    pub(crate) object: Option<ObjectName>,
    /// Bytes that it sends.
    pub(crate) sent_bytes: u64,
    /// Bytes that it may fetch at most.
    pub(crate) fetched_bytes_max: u64,
}

impl Request {
    fn new(
        operation: Operation,
        object: Option<&ObjectName>,
        sent_bytes: u64,
        fetched_bytes_max: u64,
    ) -> Self {
        Self { operation, object: object.cloned(), sent_bytes, fetched_bytes_max }
    }

    /// Bytes that it may move at most, one way or the other.
    pub(crate) fn moved_bytes_max(&self) -> u64 {
        self.sent_bytes.saturating_add(self.fetched_bytes_max)
    }

    /// An error of this request.
    pub(crate) fn error(&self, kind: RemoteErrorKind, cause: impl Into<String>) -> RemoteError {
        let error = RemoteError::new(kind, self.operation.name()).with_cause(cause);
        match &self.object {
            Some(object) => error.with_object(object),
            None => error,
        }
    }

    /// The kind of error when it is unknown whether the request was applied. Of all but a put-if-absent that does not matter.
    pub(crate) fn kind_of_doubt(&self) -> RemoteErrorKind {
        match self.operation {
            Operation::PutIfAbsent => RemoteErrorKind::InDoubt,
            _ => RemoteErrorKind::Unavailable,
        }
    }
}

/// What one wrapper does with requests.
pub(crate) trait Layer: fmt::Debug + Send + Sync + 'static {
    /// Runs a request that may be sent more than once.
    fn run<T: Answer>(
        self: &Arc<Self>,
        request: Request,
        send: impl Fn() -> RemoteFuture<T> + Send + 'static,
    ) -> RemoteFuture<T>;

    /// Runs a request that was sent and cannot be sent again: parts of uploads, their finish and abort.
    fn run_once<T: Answer>(self: &Arc<Self>, request: Request, sent: RemoteFuture<T>) -> RemoteFuture<T> {
        drop(request);
        sent
    }
}

/// A store with a layer around it.
#[derive(Debug)]
pub(crate) struct Layered<L> {
    inner: Arc<dyn Remote>,
    layer: Arc<L>,
}

/// Puts a layer around a store.
pub(crate) fn layered<L: Layer>(inner: Arc<dyn Remote>, layer: Arc<L>) -> Arc<dyn Remote> {
    Arc::new(Layered { inner, layer })
}

impl<L: Layer> Remote for Layered<L> {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        let request = Request::new(Operation::Put, Some(name), content.bytes(), 0);
        let (inner, name) = (Arc::clone(&self.inner), name.clone());
        self.layer.run(request, move || inner.put(&name, content.clone()))
    }

    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome> {
        let request = Request::new(Operation::PutIfAbsent, Some(name), content.bytes(), 0);
        let (inner, name) = (Arc::clone(&self.inner), name.clone());
        self.layer.run(request, move || inner.put_if_absent(&name, content.clone()))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        let request = Request::new(Operation::Get, Some(name), 0, bytes_max);
        let (inner, name) = (Arc::clone(&self.inner), name.clone());
        self.layer.run(request, move || inner.get(&name, bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        let bytes = range.end.saturating_sub(range.start);
        if bytes == 0 {
            // Nobody is asked, or the caller is told so.
            return self.inner.get_range(name, range);
        }
        let request = Request::new(Operation::GetRange, Some(name), 0, bytes);
        let (inner, name) = (Arc::clone(&self.inner), name.clone());
        self.layer.run(request, move || inner.get_range(&name, range.clone()))
    }

    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        let (inner, owned) = (Arc::clone(&self.inner), name.clone());
        self.layer.run(Request::new(Operation::Head, Some(name), 0, 0), move || inner.head(&owned))
    }

    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        let (inner, owned) = (Arc::clone(&self.inner), name.clone());
        self.layer.run(Request::new(Operation::Delete, Some(name), 0, 0), move || inner.delete(&owned))
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
    ) -> RemoteFuture<ListPage> {
        let (inner, prefix, after) = (Arc::clone(&self.inner), prefix.to_owned(), start_after.cloned());
        let bytes = (entries_max as u64).saturating_mul(ENTRY_BYTES);
        let request = Request::new(Operation::List, None, 0, bytes);
        self.layer.run(request, move || inner.list(&prefix, after.as_ref(), entries_max))
    }

    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        let (inner, owned) = (Arc::clone(&self.inner), name.clone());
        let request = Request::new(Operation::Upload, Some(name), 0, 0);
        let started = self.layer.run(request, move || inner.upload(&owned));
        let (layer, name) = (Arc::clone(&self.layer), name.clone());
        Box::pin(async move {
            let inner = started.await?;
            Ok(Box::new(LayeredUpload { inner, layer, name }) as Box<dyn Upload>)
        })
    }
}

struct LayeredUpload<L> {
    inner: Box<dyn Upload>,
    layer: Arc<L>,
    name: ObjectName,
}

impl<L: Layer> Upload for LayeredUpload<L> {
    fn part(&mut self, content: Content) -> RemoteFuture<()> {
        let bytes = content.bytes();
        let request = Request::new(Operation::Part, Some(&self.name), bytes, 0);
        let sent = self.inner.part(content);
        self.layer.run_once(request, sent)
    }

    fn finish(self: Box<Self>) -> RemoteFuture<()> {
        let request = Request::new(Operation::Finish, Some(&self.name), 0, 0);
        self.layer.run_once(request, self.inner.finish())
    }

    fn abort(self: Box<Self>) -> RemoteFuture<()> {
        let request = Request::new(Operation::Abort, Some(&self.name), 0, 0);
        self.layer.run_once(request, self.inner.abort())
    }
}
