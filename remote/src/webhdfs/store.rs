//! The store that one folder of one HDFS is.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::namenode::Namenode;
use super::protocol::{FileStatus, Trouble};
use crate::name::ObjectName;
use crate::runtime::HttpRuntime;

/// One folder of one HDFS.
pub(crate) struct WebHdfs {
    pub(super) namenode: Namenode,
    /// Absolute, without a slash at its end: `""` or `/jobs/one`.
    pub(super) root: String,
    pub(super) runtime: Arc<HttpRuntime>,
    /// The namenode does not know `LISTSTATUS_BATCH`.
    pub(super) lists_whole: AtomicBool,
}

impl WebHdfs {
    pub(super) fn path(&self, name: &ObjectName) -> String {
        format!("{}/{name}", self.root)
    }

    /// Repeats an attempt while that may help.
    pub(super) async fn steadily<T, F: Future<Output = Result<T, Trouble>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Trouble> {
        self.namenode.exchange.repeats().steadily(Trouble::is_passing, attempt).await
    }

    /// The length of the file at a path; folders are no objects.
    pub(super) async fn file_bytes(&self, path: &str) -> Result<Option<u64>, Trouble> {
        let status = self.steadily(|| self.namenode.status(path)).await?;
        Ok(status.filter(FileStatus::is_file).map(|status| status.length))
    }
}
