//! The [`Remote`] of a simulated file system.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::objects::joined;
use super::request::{Asked, send};
use super::state::Shared;
use super::upload;
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::{ObjectName, check_folder};
use crate::store::{ListPage, ObjectMeta, PutOutcome, Remote, RemoteFuture, Upload};
use crate::wrap::operation::Operation;

pub(super) struct SimulatedStore {
    shared: Arc<Shared>,
}

impl SimulatedStore {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl fmt::Debug for SimulatedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SimulatedStore")
    }
}

impl Remote for SimulatedStore {
    fn describe(&self) -> String {
        "simulated://".to_owned()
    }

    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        let (asked, owned) = (Asked::new(Operation::Put, Some(name), content.bytes()), name.clone());
        send(&self.shared, asked, move |objects| {
            objects.put(&owned, joined(content));
            Ok(())
        })
    }

    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome> {
        let asked = Asked::new(Operation::PutIfAbsent, Some(name), content.bytes());
        let owned = name.clone();
        send(&self.shared, asked, move |objects| Ok(objects.put_if_absent(&owned, joined(content))))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        let owned = name.clone();
        let asked = Asked::new(Operation::Get, Some(name), 0);
        send(&self.shared, asked, move |objects| objects.get(&owned, bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        let asked = Asked::new(Operation::GetRange, Some(name), 0);
        if range.start > range.end {
            let error =
                asked.error(RemoteErrorKind::Invalid, "the range ends before it starts").with_range(range);
            return Box::pin(async move { Err(error) });
        }
        if range.is_empty() {
            return Box::pin(async { Ok(Bytes::new()) });
        }
        let owned = name.clone();
        send(&self.shared, asked, move |objects| objects.get_range(&owned, range))
    }

    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        let owned = name.clone();
        send(&self.shared, Asked::new(Operation::Head, Some(name), 0), move |objects| objects.head(&owned))
    }

    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        let owned = name.clone();
        send(&self.shared, Asked::new(Operation::Delete, Some(name), 0), move |objects| {
            objects.delete(&owned);
            Ok(())
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
        let after = start_after.cloned();
        send(&self.shared, Asked::new(Operation::List, None, 0), move |objects| {
            Ok(objects.list(&folder, after.as_ref(), entries_max))
        })
    }

    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        let (shared, owned) = (Arc::clone(&self.shared), name.clone());
        send(&self.shared, Asked::new(Operation::Upload, Some(name), 0), move |_| {
            Ok(upload::started(shared, owned))
        })
    }
}
