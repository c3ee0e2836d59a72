//! The store that a command is about, opened without being taken over.

use super::failure::Failure;
use super::output::say;
use crate::descriptor::{self, Descriptor};
use crate::manifest::format::Manifest;
use crate::manifest::store::ManifestStore;
use crate::name;
use aquifer_remote::{OnWait, Remote, RemoteOptions, masked, open_url, read_only};
use std::path::Path;
use std::sync::Arc;

/// Which store.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// The store: s3://, gs://, az://, webhdfs://, http(s):// or file://, as below.
    #[arg(long, value_name = "URL")]
    pub(super) store: String,
}

/// Which state of it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct StateArgs {
    /// Number of a checkpoint, as `inspect store` lists them. Without it: the newest.
    #[arg(long, value_name = "NUMBER")]
    pub(super) checkpoint: Option<u64>,
}

/// A store that exists.
pub(super) struct Store {
    /// Refuses every write.
    pub(super) remote: Arc<dyn Remote>,
    pub(super) descriptor: Descriptor,
    pub(super) manifests: ManifestStore,
}

impl StoreArgs {
    /// The handle to a store that may be anything.
    pub(super) fn remote(&self) -> Result<Arc<dyn Remote>, Failure> {
        if self.is_missing_folder() {
            return Err(Failure::NotThere(format!(
                "there is no store at {}: check the URL",
                masked(&self.store)
            )));
        }
        let options = RemoteOptions { on_wait: OnWait::call(say), ..RemoteOptions::default() };
        Ok(open_url(&self.store, options)?)
    }

    /// A local folder that is not there. To open it as a store would make it, for whoever begins a new one.
    fn is_missing_folder(&self) -> bool {
        let path = self.store.strip_prefix("file://").filter(|path| path.starts_with('/'));
        path.is_some_and(|path| !path.contains(['%', '?', '#']) && !Path::new(path).exists())
    }

    /// Opens it for reading.
    pub(super) async fn open(&self) -> Result<Store, Failure> {
        let remote = read_only(self.remote()?);
        let Some(descriptor) = descriptor::read(&remote, &name::store()?).await? else {
            return Err(no_store(&remote));
        };
        let manifests = ManifestStore::new(Arc::clone(&remote), 0..descriptor.key_groups);
        Ok(Store { remote, descriptor, manifests })
    }
}

/// There is nothing at a URL.
pub(super) fn no_store(remote: &Arc<dyn Remote>) -> Failure {
    Failure::NotThere(format!("there is no store at {}: check the URL", remote.describe()))
}

impl Store {
    /// The manifest of a checkpoint, or the newest one.
    pub(super) async fn manifest_of(&self, state: StateArgs) -> Result<Manifest, Failure> {
        match (self.manifests.of_checkpoint(state.checkpoint).await?, state.checkpoint) {
            (Some(manifest), _) => Ok(manifest),
            (None, Some(number)) => {
                Err(self.not_there(&format!("checkpoint {number} (`aquifer inspect store` lists them)")))
            }
            (None, None) => Ok(Manifest::empty(self.descriptor.key_groups)),
        }
    }

    pub(super) fn not_there(&self, what: &str) -> Failure {
        Failure::NotThere(format!("the store at {} has no {what}", self.remote.describe()))
    }
}
