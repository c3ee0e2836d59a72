//! Multipart uploads to a simulated file system.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::objects::joined;
use super::request::{Asked, send};
use super::state::Shared;
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::store::{RemoteFuture, UPLOAD_PART_BYTES_MIN, UPLOAD_PARTS_MAX, Upload};
use crate::wrap::operation::Operation;

/// The parts that the servers have, by number.
type Parts = Arc<Mutex<Vec<Option<Bytes>>>>;

struct SimulatedUpload {
    shared: Arc<Shared>,
    name: ObjectName,
    parts: Parts,
    parts_sent: usize,
    parts_done: Arc<AtomicUsize>,
    short_part_seen: bool,
}

pub(super) fn started(shared: Arc<Shared>, name: ObjectName) -> Box<dyn Upload> {
    Box::new(SimulatedUpload {
        shared,
        name,
        parts: Parts::default(),
        parts_sent: 0,
        parts_done: Arc::new(AtomicUsize::new(0)),
        short_part_seen: false,
    })
}

impl SimulatedUpload {
    fn check_part(&self, bytes: u64) -> Result<(), &'static str> {
        if bytes == 0 {
            return Err("a part has no bytes");
        }
        if self.short_part_seen {
            return Err("a part of less than 5 MiB was not the last");
        }
        if self.parts_sent as u64 >= UPLOAD_PARTS_MAX {
            return Err("more than 10,000 parts");
        }
        Ok(())
    }

    fn invalid(&self, operation: &'static str, cause: &str) -> RemoteFuture<()> {
        let error = RemoteError::new(RemoteErrorKind::Invalid, operation);
        let error = error.with_object(&self.name).with_cause(cause);
        Box::pin(async move { Err(error) })
    }
}

impl Upload for SimulatedUpload {
    fn part(&mut self, content: Content) -> RemoteFuture<()> {
        let bytes = content.bytes();
        if let Err(cause) = self.check_part(bytes) {
            return self.invalid("part", cause);
        }
        let (parts, number) = (Arc::clone(&self.parts), self.parts_sent);
        self.parts_sent += 1;
        self.short_part_seen = bytes < UPLOAD_PART_BYTES_MIN;
        let sent = send(&self.shared, Asked::new(Operation::Part, Some(&self.name), bytes), move |_| {
            let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            if parts.len() <= number {
                parts.resize(number + 1, None);
            }
            if let Some(part) = parts.get_mut(number) {
                *part = Some(joined(content));
            }
            Ok(())
        });
        let done = Arc::clone(&self.parts_done);
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
        let (name, parts) = (self.name.clone(), Arc::clone(&self.parts));
        send(&self.shared, Asked::new(Operation::Finish, Some(&self.name), 0), move |objects| {
            let parts = std::mem::take(&mut *parts.lock().unwrap_or_else(PoisonError::into_inner));
            objects.put(&name, joined(parts.into_iter().flatten().collect()));
            Ok(())
        })
    }

    fn abort(self: Box<Self>) -> RemoteFuture<()> {
        let parts = Arc::clone(&self.parts);
        send(&self.shared, Asked::new(Operation::Abort, Some(&self.name), 0), move |_| {
            parts.lock().unwrap_or_else(PoisonError::into_inner).clear();
            Ok(())
        })
    }
}
