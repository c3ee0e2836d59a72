//! Multipart upload of a large object.
//!
//! ```text
//! upload() ──> part 1 ┐
//!              part 2 ├─ in flight together ──> finish(): visible and durable
//!              part n ┘                         abort() or drop: parts thrown away
//! ```
//!
//! A `finish` whose answer was lost is repeated by the HTTP client, and the server may then no longer know the upload: the
//! object with exactly the bytes sent is looked for before an error is reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use object_store::{MultipartUpload, ObjectStoreExt};

use super::classify;
use super::shared::{Shared, payload};
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::store::{RemoteFuture, UPLOAD_PART_BYTES_MIN, UPLOAD_PARTS_MAX, Upload};

struct PartsUpload {
    shared: Arc<Shared>,
    name: ObjectName,
    /// None once finished or aborted.
    parts: Option<Box<dyn MultipartUpload>>,
    parts_sent: u64,
    parts_done: Arc<AtomicU64>,
    bytes_sent: u64,
    short_part_seen: bool,
}

/// Asks the store for a new upload.
pub(super) async fn start(shared: Arc<Shared>, name: ObjectName) -> Result<Box<dyn Upload>, RemoteError> {
    let path = shared.path(&name);
    let parts = shared.uploads.put_multipart(&path).await;
    let parts = parts.map_err(|error| classify::error("upload", &name, &error))?;
    Ok(Box::new(PartsUpload {
        shared,
        name,
        parts: Some(parts),
        parts_sent: 0,
        parts_done: Arc::new(AtomicU64::new(0)),
        bytes_sent: 0,
        short_part_seen: false,
    }))
}

impl PartsUpload {
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
        let error =
            RemoteError::new(RemoteErrorKind::Invalid, operation).with_object(&self.name).with_cause(cause);
        Box::pin(async move { Err(error) })
    }
}

impl Upload for PartsUpload {
    fn part(&mut self, content: Content) -> RemoteFuture<()> {
        let bytes = content.bytes();
        if let Err(cause) = self.check_part(bytes) {
            return self.invalid("part", cause);
        }
        let Some(parts) = self.parts.as_mut() else { return self.invalid("part", "the upload is over") };
        self.parts_sent += 1;
        self.bytes_sent += bytes;
        self.short_part_seen = bytes < UPLOAD_PART_BYTES_MIN;
        let part = parts.put_part(payload(content));
        let (name, done) = (self.name.clone(), Arc::clone(&self.parts_done));
        let sent = self.shared.request("part", &self.name, bytes, async move {
            part.await.map_err(|error| classify::error("part", &name, &error))
        });
        // Counted where the caller sees it: a part whose future was dropped is lost, however far it came.
        Box::pin(async move {
            sent.await?;
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    }

    fn finish(mut self: Box<Self>) -> RemoteFuture<()> {
        if self.parts_done.load(Ordering::Relaxed) != self.parts_sent {
            return self.invalid("finish", "a part is still under way or has failed");
        }
        let Some(mut parts) = self.parts.take() else { return self.invalid("finish", "the upload is over") };
        let (shared, name, expected) = (Arc::clone(&self.shared), self.name.clone(), self.bytes_sent);
        if self.parts_sent == 0 {
            // S3 refuses an upload without parts: an empty object is an ordinary put.
            self.shared.runtime.detach(async move { drop(parts.abort().await) });
            return shared.put(&name, Content::new());
        }
        let request = async move {
            let Err(error) = parts.complete().await else { return Ok(()) };
            match shared.object_bytes(&name).await {
                Ok(found) if found == expected => Ok(()),
                _ => Err(classify::error("finish", &name, &error)),
            }
        };
        // The server may have to copy the parts together: time as for sending them once more.
        self.shared.request("finish", &self.name, expected, request)
    }

    fn abort(mut self: Box<Self>) -> RemoteFuture<()> {
        let Some(mut parts) = self.parts.take() else { return self.invalid("abort", "the upload is over") };
        let name = self.name.clone();
        self.shared.request("abort", &self.name, 0, async move {
            parts.abort().await.map_err(|error| classify::error("abort", &name, &error))
        })
    }
}

impl Drop for PartsUpload {
    fn drop(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            // Best effort: what is left behind costs room, not correctness.
            self.shared.runtime.detach(async move { drop(parts.abort().await) });
        }
    }
}
