//! Code of the embedder: called from here and from nowhere else, so that a panic in it is the error of the operation that needed it.
//!
//! ```text
//! merge operators, jobs of run_on_shard, callbacks ──> call, run ──panic──> error of kind `Panicked`, names what ran
//! the embedder's own Remote ─────────────────────────> guard ─────panic──> error of that one request
//! ```
//! Nothing of the engine is half changed when such code runs: it gets what it needs, and what it gives back is taken over afterwards.
//! That is what makes going on after its panic sound.

use crate::error::{Error, ErrorKind, Result};
use aquifer_remote::{
    Content, ListPage, ObjectMeta, ObjectName, PutOutcome, Remote, RemoteError, RemoteErrorKind,
    RemoteFuture, Upload,
};
use bytes::Bytes;
use futures_util::FutureExt;
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

thread_local! {
    /// The last panic on this thread that was made an error.
    static LAST: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Runs code of the embedder; `name` says what it is, should it panic.
///
/// # Errors
/// `Panicked`.
#[inline]
pub(crate) fn call<T>(name: impl FnOnce() -> String, code: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| panicked(&name(), payload.as_ref()))
}

/// Runs an asynchronous piece of the embedder's code, as [`call`] does with others.
///
/// # Errors
/// `Panicked`.
pub(crate) async fn run<T, Fut: Future<Output = T>>(
    name: impl FnOnce() -> String,
    code: impl FnOnce() -> Fut,
) -> Result<T> {
    // The code that makes the future is the embedder's as well.
    let code = async { code().await };
    AssertUnwindSafe(code).catch_unwind().await.map_err(|payload| panicked(&name(), payload.as_ref()))
}

fn panicked(name: &str, payload: &(dyn Any + Send)) -> Error {
    let error = Error::new(ErrorKind::Panicked, format!("{name} panicked: {}", message(payload)));
    LAST.set(Some(error.clone()));
    error
}

/// Runs `code` of our own, and tells beside its result of a panic of the embedder's in it, also of one that `code` found a way around.
pub(crate) fn overheard<T>(code: impl FnOnce() -> T) -> (T, Option<Error>) {
    LAST.set(None);
    let done = code();
    (done, LAST.take())
}

/// The text of a panic.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Wraps a store so that a panic of its code is an error of the request: a read was not answered, and of a write nobody knows.
pub(crate) fn guard(inner: Arc<dyn Remote>) -> Arc<dyn Remote> {
    Arc::new(Guarded { inner })
}

struct Guarded {
    inner: Arc<dyn Remote>,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

fn guarded<T: Send + 'static>(
    (operation, name): (&'static str, Option<&ObjectName>),
    kind: RemoteErrorKind,
    begin: impl FnOnce() -> RemoteFuture<T>,
) -> RemoteFuture<T> {
    let name = name.cloned();
    let failed = move |payload: Box<dyn Any + Send>| {
        let cause = format!("the code of the store panicked: {}", message(payload.as_ref()));
        let error = RemoteError::new(kind, operation).with_cause(cause);
        Err(name.map_or_else(|| error.clone(), |name| error.clone().with_object(&name)))
    };
    match catch_unwind(AssertUnwindSafe(begin)) {
        Ok(request) => {
            let request = AssertUnwindSafe(request).catch_unwind();
            Box::pin(request.map(|outcome| outcome.unwrap_or_else(failed)))
        }
        Err(payload) => Box::pin(std::future::ready(failed(payload))),
    }
}

impl Remote for Guarded {
    fn describe(&self) -> String {
        let described = call(|| "the store's describe".to_owned(), || self.inner.describe());
        described.unwrap_or_else(|error| error.to_string())
    }

    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        let begin = || self.inner.put(name, content);
        guarded(("put", Some(name)), RemoteErrorKind::InDoubt, begin)
    }

    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome> {
        let begin = || self.inner.put_if_absent(name, content);
        guarded(("put_if_absent", Some(name)), RemoteErrorKind::InDoubt, begin)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        let begin = || self.inner.get(name, bytes_max);
        guarded(("get", Some(name)), RemoteErrorKind::Unavailable, begin)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        let begin = || self.inner.get_range(name, range);
        guarded(("get_range", Some(name)), RemoteErrorKind::Unavailable, begin)
    }

    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        guarded(("head", Some(name)), RemoteErrorKind::Unavailable, || self.inner.head(name))
    }

    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        guarded(("delete", Some(name)), RemoteErrorKind::InDoubt, || self.inner.delete(name))
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
    ) -> RemoteFuture<ListPage> {
        let begin = || self.inner.list(prefix, start_after, entries_max);
        guarded(("list", None), RemoteErrorKind::Unavailable, begin)
    }

    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        guarded(("upload", Some(name)), RemoteErrorKind::InDoubt, || self.inner.upload(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_names_what_ran() {
        let error =
            call(|| "the callback".to_owned(), || panic!("number {}", 7)).map(|(): ()| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);
        assert_eq!(error.to_string(), "the callback panicked: number 7");
        let (done, panicked) =
            overheard(|| call(|| "it".to_owned(), || panic!("again")).map(|(): ()| ()).is_err());
        assert!(done && panicked.unwrap().to_string().contains("again"));
        assert!(overheard(|| ()).1.is_none());
        let begun = run(|| "the job".to_owned(), || -> std::future::Ready<()> { panic!("at once") });
        assert!(aquifer_io::block_on(begun).unwrap_err().to_string().contains("at once"));
        let polled = run(|| "the job".to_owned(), || async { panic!("later") });
        assert!(aquifer_io::block_on(polled).map(|(): ()| ()).unwrap_err().to_string().contains("later"));
    }
}
