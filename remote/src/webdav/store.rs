//! The store that one folder of a WebDAV server is.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::server::{Server, Trouble};
use crate::name::ObjectName;
use crate::runtime::HttpRuntime;

/// One folder of one server.
pub(crate) struct WebDav {
    pub(super) server: Server,
    /// From the server's top: `""` or `jobs/one/`.
    pub(super) root: String,
    pub(super) runtime: Arc<HttpRuntime>,
    /// The folder of temporary resources was there when last seen.
    pub(super) has_temporaries: AtomicBool,
}

impl WebDav {
    pub(super) fn path(&self, name: &ObjectName) -> String {
        format!("{}{name}", self.root)
    }

    /// Repeats an attempt while that may help.
    pub(super) async fn steadily<T, F: Future<Output = Result<T, Trouble>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Trouble> {
        self.server.exchange.repeats().steadily(Trouble::is_passing, attempt).await
    }
}
