//! Counts what goes through a store.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::content::Content;
use crate::name::ObjectName;
use crate::store::{ListPage, ObjectMeta, PutOutcome, Remote, RemoteFuture, Upload};

/// Counters of one store since it was wrapped. Read them at any time from any thread.
///
/// Requests count when they start, bytes when they have arrived. Repeats inside the HTTP client are not seen from here.
#[derive(Debug, Default)]
pub struct RemoteMetrics {
    gets: AtomicU64,
    get_bytes: AtomicU64,
    puts: AtomicU64,
    put_bytes: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    heads: AtomicU64,
    errors: AtomicU64,
}

impl RemoteMetrics {
    /// Reads of objects and ranges.
    #[must_use]
    pub fn gets(&self) -> u64 {
        self.gets.load(Ordering::Relaxed)
    }

    /// Bytes read.
    #[must_use]
    pub fn get_bytes(&self) -> u64 {
        self.get_bytes.load(Ordering::Relaxed)
    }

    /// Writes: puts, puts if absent (also those that found the name taken), and for uploads start, each part and finish.
    #[must_use]
    pub fn puts(&self) -> u64 {
        self.puts.load(Ordering::Relaxed)
    }

    /// Bytes written.
    #[must_use]
    pub fn put_bytes(&self) -> u64 {
        self.put_bytes.load(Ordering::Relaxed)
    }

    /// Pages listed.
    #[must_use]
    pub fn lists(&self) -> u64 {
        self.lists.load(Ordering::Relaxed)
    }

    /// Objects deleted and uploads aborted.
    #[must_use]
    pub fn deletes(&self) -> u64 {
        self.deletes.load(Ordering::Relaxed)
    }

    /// Lengths asked for.
    #[must_use]
    pub fn heads(&self) -> u64 {
        self.heads.load(Ordering::Relaxed)
    }

    /// Requests that ended with an error.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Counts a start in `requests`; at the end an error, or what `bytes` says of the result in `total`.
    fn count<T: Send + 'static>(
        self: &Arc<Self>,
        requests: fn(&Self) -> &AtomicU64,
        inner: RemoteFuture<T>,
        at_end: impl FnOnce(&Self, &T) + Send + 'static,
    ) -> RemoteFuture<T> {
        requests(self).fetch_add(1, Ordering::Relaxed);
        let metrics = Arc::clone(self);
        Box::pin(async move {
            let result = inner.await;
            match &result {
                Ok(value) => at_end(&metrics, value),
                Err(_) => {
                    metrics.errors.fetch_add(1, Ordering::Relaxed);
                }
            }
            result
        })
    }

    fn add_put_bytes(&self, bytes: u64) {
        self.put_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn add_get_bytes(&self, bytes: &Bytes) {
        self.get_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}

/// Wraps a store so that its requests and bytes are counted.
#[must_use]
pub fn metered(inner: Arc<dyn Remote>) -> (Arc<dyn Remote>, Arc<RemoteMetrics>) {
    let metrics = Arc::new(RemoteMetrics::default());
    (Arc::new(Metered { inner, metrics: Arc::clone(&metrics) }), metrics)
}

#[derive(Debug)]
struct Metered {
    inner: Arc<dyn Remote>,
    metrics: Arc<RemoteMetrics>,
}

impl Remote for Metered {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        let bytes = content.bytes();
        self.metrics.count(|m| &m.puts, self.inner.put(name, content), move |m, ()| m.add_put_bytes(bytes))
    }

    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome> {
        let bytes = content.bytes();
        let inner = self.inner.put_if_absent(name, content);
        self.metrics.count(|m| &m.puts, inner, move |m, _| m.add_put_bytes(bytes))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        self.metrics.count(|m| &m.gets, self.inner.get(name, bytes_max), RemoteMetrics::add_get_bytes)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        self.metrics.count(|m| &m.gets, self.inner.get_range(name, range), RemoteMetrics::add_get_bytes)
    }

    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        self.metrics.count(|m| &m.heads, self.inner.head(name), |_, _| {})
    }

    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        self.metrics.count(|m| &m.deletes, self.inner.delete(name), |_, ()| {})
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
    ) -> RemoteFuture<ListPage> {
        self.metrics.count(|m| &m.lists, self.inner.list(prefix, start_after, entries_max), |_, _| {})
    }

    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        let started = self.metrics.count(|m| &m.puts, self.inner.upload(name), |_, _| {});
        let metrics = Arc::clone(&self.metrics);
        Box::pin(async move {
            let inner = started.await?;
            Ok(Box::new(MeteredUpload { inner, metrics }) as Box<dyn Upload>)
        })
    }
}

struct MeteredUpload {
    inner: Box<dyn Upload>,
    metrics: Arc<RemoteMetrics>,
}

impl Upload for MeteredUpload {
    fn part(&mut self, content: Content) -> RemoteFuture<()> {
        let bytes = content.bytes();
        self.metrics.count(|m| &m.puts, self.inner.part(content), move |m, ()| m.add_put_bytes(bytes))
    }

    fn finish(self: Box<Self>) -> RemoteFuture<()> {
        self.metrics.count(|m| &m.puts, self.inner.finish(), |_, ()| {})
    }

    fn abort(self: Box<Self>) -> RemoteFuture<()> {
        self.metrics.count(|m| &m.deletes, self.inner.abort(), |_, ()| {})
    }
}
