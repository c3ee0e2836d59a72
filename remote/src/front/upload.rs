//! A large object for protocols that can only append: parts may be handed over together, but go out one after the other.
//!
//! ```text
//! part(1) ──> sink ──turn──> part(2) ──> sink ──turn──> part(3) …      finish(): visible and durable
//! ```
//!
//! Invariants:
//! * A part reaches the sink only after all parts before it have.
//! * A part that failed, or whose future was dropped, ends the upload: no later part is sent, and `finish` refuses.
//! * Waiting parts hold no place among the store's requests, so that they cannot keep the one that they wait for from running.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::line::{Line, fail};
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::store::{RemoteFuture, UPLOAD_PART_BYTES_MIN, UPLOAD_PARTS_MAX, Upload};

/// Where the parts of one upload go, in order. Dropping it throws them away in the background.
#[async_trait]
pub(crate) trait Sink: Send + Sync + 'static {
    /// Appends a part, at `offset` of the object.
    async fn part(&self, content: Content, offset: u64) -> Result<(), RemoteError>;

    /// Makes the object of `bytes` bytes visible and durable; also one without parts.
    async fn finish(&self, bytes: u64) -> Result<(), RemoteError>;

    /// Throws the parts away.
    async fn abort(&self) -> Result<(), RemoteError>;
}

pub(super) struct OrderedUpload<S> {
    line: Line,
    name: ObjectName,
    sink: Arc<S>,
    parts_sent: u64,
    parts_done: Arc<AtomicU64>,
    bytes_sent: u64,
    short_part_seen: bool,
    /// Comes when the last part so far has reached the sink.
    turn: Option<oneshot::Receiver<()>>,
}

impl<S: Sink> OrderedUpload<S> {
    pub(super) fn new(line: Line, name: &ObjectName, sink: S) -> Self {
        Self {
            line,
            name: name.clone(),
            sink: Arc::new(sink),
            parts_sent: 0,
            parts_done: Arc::default(),
            bytes_sent: 0,
            short_part_seen: false,
            turn: None,
        }
    }

    fn check_part(&self, bytes: u64) -> Result<(), &'static str> {
        if bytes == 0 {
            return Err("a part has no bytes");
        }
        if self.short_part_seen {
            return Err("a part of less than 5 MiB was not the last");
        }
        if self.parts_sent >= UPLOAD_PARTS_MAX {
            return Err("more than 10,000 parts");
        }
        Ok(())
    }

    fn invalid<T: Send + 'static>(&self, operation: &'static str, cause: &str) -> RemoteFuture<T> {
        fail(RemoteError::new(RemoteErrorKind::Invalid, operation).with_object(&self.name).with_cause(cause))
    }
}

impl<S: Sink> Upload for OrderedUpload<S> {
    fn part(&mut self, content: Content) -> RemoteFuture<()> {
        let bytes = content.bytes();
        if let Err(cause) = self.check_part(bytes) {
            return self.invalid("part", cause);
        }
        let offset = self.bytes_sent;
        self.parts_sent += 1;
        self.bytes_sent += bytes;
        self.short_part_seen = bytes < UPLOAD_PART_BYTES_MIN;
        let (next, turn) = oneshot::channel();
        let before = self.turn.replace(turn);
        let (line, name, sink) = (self.line.clone(), self.name.clone(), Arc::clone(&self.sink));
        let sent = self.line.runtime.spawn(async move {
            if let Some(before) = before
                && before.await.is_err()
            {
                return Err(RemoteError::new(RemoteErrorKind::Unavailable, "part")
                    .with_object(&name)
                    .with_cause("an earlier part failed: start the upload anew"));
            }
            let work = async move { sink.part(content, offset).await };
            line.run("part", &name, bytes, work).await?;
            // Nobody waits for it after the last part.
            let _ = next.send(());
            Ok(())
        });
        let done = Arc::clone(&self.parts_done);
        // Counted where the caller sees it: a part whose future was dropped is lost, however far it came.
        Box::pin(async move {
            sent.await?;
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> RemoteFuture<()> {
        if self.parts_done.load(Ordering::Relaxed) != self.parts_sent {
            return self.invalid("finish", "a part is still under way or has failed");
        }
        let (sink, bytes) = (Arc::clone(&self.sink), self.bytes_sent);
        self.line.run("finish", &self.name, bytes, async move { sink.finish(bytes).await })
    }

    fn abort(self: Box<Self>) -> RemoteFuture<()> {
        let sink = Arc::clone(&self.sink);
        self.line.run("abort", &self.name, 0, async move { sink.abort().await })
    }
}
