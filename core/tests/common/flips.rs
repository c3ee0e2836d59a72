//! A store whose reads have one bit flipped, where a test says so: what a bad disk, or a bad wire, does.

use aquifer_remote::{Content, ListPage, ObjectMeta, ObjectName, PutOutcome, Remote, RemoteFuture, Upload};
use bytes::Bytes;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// A byte of an object, and the bits of it that are wrong.
#[derive(Clone, Debug)]
pub struct Flip {
    pub object: ObjectName,
    pub offset: u64,
    pub mask: u8,
}

#[derive(Debug)]
pub struct Flipping {
    inner: Arc<dyn Remote>,
    flip: Arc<Mutex<Option<Flip>>>,
}

impl Flipping {
    pub fn new(inner: Arc<dyn Remote>) -> Arc<Self> {
        Arc::new(Self { inner, flip: Arc::default() })
    }

    /// From now on reads have this flip, or none.
    pub fn set(&self, flip: Option<Flip>) {
        *self.flip.lock().unwrap() = flip;
    }

    fn flipped(&self, name: &ObjectName, offset: u64, read: RemoteFuture<Bytes>) -> RemoteFuture<Bytes> {
        let flip = self.flip.lock().unwrap().clone().filter(|flip| flip.object == *name);
        Box::pin(async move {
            let bytes = read.await?;
            let mut bad = bytes.to_vec();
            let at = flip.as_ref().and_then(|flip| usize::try_from(flip.offset.checked_sub(offset)?).ok());
            match (at.and_then(|at| bad.get_mut(at)), flip) {
                (Some(byte), Some(flip)) => {
                    *byte ^= flip.mask;
                    Ok(bad.into())
                }
                _ => Ok(bytes),
            }
        })
    }
}

impl Remote for Flipping {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        self.inner.put(name, content)
    }
    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome> {
        self.inner.put_if_absent(name, content)
    }
    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        self.flipped(name, 0, self.inner.get(name, bytes_max))
    }
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        self.flipped(name, range.start, self.inner.get_range(name, range))
    }
    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        self.inner.head(name)
    }
    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        self.inner.delete(name)
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
        self.inner.upload(name)
    }
}
