//! A store whose requests fail when a test says so: before they are applied, or after, with the answer lost.

use aquifer_remote::{
    Content, ListPage, ObjectMeta, ObjectName, PutOutcome, Remote, RemoteError, RemoteErrorKind,
    RemoteFuture, Upload,
};
use bytes::Bytes;
use futures_channel::oneshot;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It never reaches the store.
    Away,
    /// It is applied, but its answer is lost.
    AnswerLost,
    /// Whoever asks is dead: it never reaches the store, and there is no answer.
    Dead,
    /// It is applied, but whoever asked is dead by then.
    DeadAfter,
    /// Its answer comes when [`Faulty::release`] is called.
    Held,
    /// The store says that there is no such object, whatever there is.
    Absent,
}

type Decide = Box<dyn FnMut(&'static str, &str) -> Fault + Send>;

pub struct Faulty {
    inner: Arc<dyn Remote>,
    decide: Mutex<Decide>,
    held: Mutex<Vec<oneshot::Sender<()>>>,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl Faulty {
    pub fn new(inner: Arc<dyn Remote>) -> Arc<Self> {
        Arc::new(Self { inner, decide: Mutex::new(Box::new(|_, _| Fault::None)), held: Mutex::default() })
    }

    /// From now on `decide(operation, object)` says what becomes of each request.
    pub fn set(&self, decide: impl FnMut(&'static str, &str) -> Fault + Send + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }

    /// Lets the answers of all go that are held.
    pub fn release(&self) {
        self.held.lock().unwrap().clear();
    }

    fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        name: &str,
        request: impl FnOnce(&Arc<dyn Remote>) -> RemoteFuture<T>,
    ) -> RemoteFuture<T> {
        let fault = (self.decide.lock().unwrap())(operation, name);
        let lost = if operation == "put_if_absent" {
            RemoteErrorKind::InDoubt
        } else {
            RemoteErrorKind::Unavailable
        };
        match fault {
            Fault::None => request(&self.inner),
            Fault::Away => {
                Box::pin(async move { Err(RemoteError::new(RemoteErrorKind::Unavailable, operation)) })
            }
            Fault::Absent => {
                Box::pin(async move { Err(RemoteError::new(RemoteErrorKind::NotFound, operation)) })
            }
            Fault::Dead => Box::pin(std::future::pending()),
            Fault::DeadAfter => {
                let request = request(&self.inner);
                Box::pin(async move {
                    drop(request.await);
                    std::future::pending().await
                })
            }
            Fault::Held => {
                let (held, released) = oneshot::channel();
                self.held.lock().unwrap().push(held);
                let request = request(&self.inner);
                Box::pin(async move {
                    let answer = request.await;
                    let _ = released.await;
                    answer
                })
            }
            Fault::AnswerLost => {
                let request = request(&self.inner);
                Box::pin(async move {
                    drop(request.await);
                    Err(RemoteError::new(lost, operation))
                })
            }
        }
    }
}

impl Remote for Faulty {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        self.run("put", name.as_str(), |inner| inner.put(name, content))
    }
    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome> {
        self.run("put_if_absent", name.as_str(), |inner| inner.put_if_absent(name, content))
    }
    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        self.run("get", name.as_str(), |inner| inner.get(name, bytes_max))
    }
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        self.run("get_range", name.as_str(), |inner| inner.get_range(name, range))
    }
    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        self.run("head", name.as_str(), |inner| inner.head(name))
    }
    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        self.run("delete", name.as_str(), |inner| inner.delete(name))
    }
    fn list(
        &self,
        prefix: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
    ) -> RemoteFuture<ListPage> {
        self.run("list", prefix, |inner| inner.list(prefix, start_after, entries_max))
    }
    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        self.run("upload", name.as_str(), |inner| inner.upload(name))
    }
}
