//! What an adapter is made of: the clients of one store, its root, its runtime.

use std::future::Future;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutOptions, PutPayload};

use super::classify;
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::options::RemoteOptions;
use crate::runtime::{HttpRuntime, no_answer};
use crate::s3_read::Reader;
use crate::store::RemoteFuture;

/// Whether a store lists in ascending order of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListOrder {
    /// Yes (S3 promises it): the listing stops after one page.
    Ascending,
    /// Not known (directories, an embedder's store): the whole folder is walked and the smallest names kept.
    Unknown,
}

/// What all clones of an adapter share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) uploads: Arc<dyn ObjectStore>,
    pub(super) reader: Option<Reader>,
    pub(super) root: String,
    pub(super) url: String,
    pub(super) order: ListOrder,
    pub(super) runtime: Arc<HttpRuntime>,
    pub(super) options: RemoteOptions,
}

impl Shared {
    /// Runs one request about `name` that moves about `bytes` bytes.
    pub(super) fn request<T, F>(
        &self,
        operation: &'static str,
        name: &ObjectName,
        bytes: u64,
        request: F,
    ) -> RemoteFuture<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RemoteError>> + Send + 'static,
    {
        let deadline = self.options.deadline_of(bytes);
        let name = name.clone();
        let kind = match operation {
            "put_if_absent" => RemoteErrorKind::InDoubt,
            _ => RemoteErrorKind::Unavailable,
        };
        self.runtime.run(deadline, request, move || {
            RemoteError::new(kind, operation).with_object(&name).with_cause(no_answer(deadline))
        })
    }

    pub(super) fn path(&self, name: &ObjectName) -> Path {
        // Neither part holds a character that `Path` would encode, so this is the name itself.
        if self.root.is_empty() {
            Path::from(name.as_str())
        } else {
            Path::from(format!("{}/{name}", self.root))
        }
    }

    pub(super) async fn object_bytes(&self, name: &ObjectName) -> Result<u64, object_store::Error> {
        Ok(self.store.head(&self.path(name)).await?.size)
    }

    pub(super) fn put(self: &Arc<Self>, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        let bytes = content.bytes();
        let (shared, owned) = (Arc::clone(self), name.clone());
        self.request("put", name, bytes, async move {
            match shared.store.put_opts(&shared.path(&owned), payload(content), PutOptions::default()).await {
                Ok(_) => Ok(()),
                Err(error) => Err(classify::error("put", &owned, &error)),
            }
        })
    }
}

/// The chunks of a content, as the store's clients take them.
pub(super) fn payload(content: Content) -> PutPayload {
    content.into_chunks().into_iter().collect()
}
