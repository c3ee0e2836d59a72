//! A store that is only read: what cannot be written safely can still be looked at.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::store::{ListPage, ObjectMeta, PutOutcome, Remote, RemoteFuture, Upload};

/// Wraps a store so that it is only read. Every write (put, put-if-absent, delete, upload) is an error of kind `PermissionDenied` which says
/// that the store was opened read-only; no request is made for it.
#[must_use]
pub fn read_only(inner: Arc<dyn Remote>) -> Arc<dyn Remote> {
    Arc::new(ReadOnly { inner })
}

#[derive(Debug)]
struct ReadOnly {
    inner: Arc<dyn Remote>,
}

fn refuse<T: Send + 'static>(operation: &'static str, name: &ObjectName) -> RemoteFuture<T> {
    let error = RemoteError::new(RemoteErrorKind::PermissionDenied, operation)
        .with_object(name)
        .with_cause("the store was opened read-only: open it for writing to change it");
    Box::pin(async move { Err(error) })
}

impl Remote for ReadOnly {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn put(&self, name: &ObjectName, _: Content) -> RemoteFuture<()> {
        refuse("put", name)
    }

    fn put_if_absent(&self, name: &ObjectName, _: Content) -> RemoteFuture<PutOutcome> {
        refuse("put_if_absent", name)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        self.inner.get(name, bytes_max)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        self.inner.get_range(name, range)
    }

    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        self.inner.head(name)
    }

    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        refuse("delete", name)
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
    ) -> RemoteFuture<ListPage> {
        self.inner.list(prefix, start_after, entries_max)
    }

    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        refuse("upload", name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_through_and_writes_are_refused() {
        let inner = crate::open_url("memory://", crate::RemoteOptions::default()).unwrap();
        let remote = read_only(Arc::clone(&inner));
        let name = ObjectName::new("a/x").unwrap();
        aquifer_io::block_on(async {
            inner.put(&name, b"hello".to_vec().into()).await.unwrap();
            assert_eq!(remote.get(&name, 9).await.unwrap(), "hello");
            assert_eq!(remote.get_range(&name, 1..3).await.unwrap(), "el");
            assert_eq!(remote.head(&name).await.unwrap().bytes, 5);
            assert_eq!(remote.list("a/", None, 9).await.unwrap().entries.len(), 1);
            let new = ObjectName::new("a/y").unwrap();
            for error in [
                remote.put(&new, Content::new()).await.unwrap_err(),
                remote.put_if_absent(&new, Content::new()).await.unwrap_err(),
                remote.delete(&name).await.unwrap_err(),
                remote.upload(&new).await.err().unwrap(),
                crate::probe_put_if_absent(&remote, 7).await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), RemoteErrorKind::PermissionDenied, "{error}");
                assert!(error.to_string().contains("read-only"), "{error}");
            }
            assert_eq!(inner.list("", None, 9).await.unwrap().entries.len(), 1);
        });
        assert_eq!(remote.describe(), inner.describe());
    }
}
