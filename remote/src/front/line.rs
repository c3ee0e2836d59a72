//! Where the operations of a protocol run: the store's runtime, with limits and deadlines.

use std::future::Future;
use std::sync::Arc;

use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::options::RemoteOptions;
use crate::runtime::{HttpRuntime, no_answer};
use crate::store::RemoteFuture;

/// Where operations run. Clones share everything.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) runtime: Arc<HttpRuntime>,
    pub(super) options: Arc<RemoteOptions>,
}

impl Line {
    pub(crate) fn new(runtime: Arc<HttpRuntime>, options: &RemoteOptions) -> Self {
        Self { runtime, options: Arc::new(options.clone()) }
    }

    /// Runs one operation about `name` that moves about `bytes` bytes.
    pub(crate) fn run<T, F>(
        &self,
        operation: &'static str,
        name: &ObjectName,
        bytes: u64,
        work: F,
    ) -> RemoteFuture<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RemoteError>> + Send + 'static,
    {
        let deadline = self.options.deadline_of(bytes);
        let (late, named) = (name.clone(), name.clone());
        let kind = match operation {
            "put_if_absent" => RemoteErrorKind::InDoubt,
            _ => RemoteErrorKind::Unavailable,
        };
        let work = async move { work.await.map_err(|error| error.with_object(&named)) };
        self.runtime.run(deadline, work, move || {
            RemoteError::new(kind, operation).with_object(&late).with_cause(no_answer(deadline))
        })
    }
}

/// An operation that has failed before it began.
pub(super) fn fail<T: Send + 'static>(error: RemoteError) -> RemoteFuture<T> {
    Box::pin(async move { Err(error) })
}
