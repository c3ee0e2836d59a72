//! A large object: the first part creates a temporary file, each later one is appended to it.
//!
//! ```text
//! part 1: CREATE ~tmp/<unique>     part n: APPEND     finish: length checked, RENAME     abort or drop: DELETE
//! ```
//!
//! An `APPEND` whose answer was lost must not be repeated blindly: the file's length tells whether it was applied. While that is
//! neither the length before nor the one after, a datanode is still at work, and it is asked again.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;
use tokio::sync::Mutex;

use super::protocol::Trouble;
use super::store::WebHdfs;
use super::temporary::{Mode, Temporary};
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::exchange::Fault;
use crate::front::upload::Sink;
use crate::repeats::Repeats;

/// The temporary file of one upload.
pub(crate) struct AppendSink {
    store: Arc<WebHdfs>,
    path: String,
    unique: u64,
    temporary: Mutex<Option<Temporary>>,
}

impl AppendSink {
    pub(super) fn new(store: Arc<WebHdfs>, path: String, unique: u64) -> Self {
        Self { store, path, unique, temporary: Mutex::new(None) }
    }

    async fn append(&self, file: &str, content: &Content, offset: u64) -> Result<(), Trouble> {
        let mut repeats = self.store.namenode.exchange.repeats();
        loop {
            let sent = self
                .store
                .namenode
                .through_datanode(Method::POST, file, "APPEND", &[], Some(content.clone()))
                .await;
            let Err(trouble) = sent else { return Ok(()) };
            if !trouble.is_passing() {
                return Err(trouble);
            }
            if trouble.may_be_applied() {
                if self.settled(file, offset, offset + content.bytes(), &mut repeats).await? {
                    return Ok(());
                }
            } else if matches!(trouble, Trouble::Fault(Fault::NotSent(_))) && repeats.at_once() {
                continue;
            }
            if !repeats.again().await {
                return Err(trouble);
            }
        }
    }

    /// After a lost answer: true when the part is there, false when nothing of it is.
    async fn settled(
        &self,
        file: &str,
        before: u64,
        after: u64,
        repeats: &mut Repeats,
    ) -> Result<bool, Trouble> {
        loop {
            match self.store.file_bytes(file).await? {
                Some(bytes) if bytes == after => return Ok(true),
                Some(bytes) if bytes == before => return Ok(false),
                found if !repeats.again().await => {
                    let found = found.unwrap_or(0);
                    return Err(Trouble::Fault(Fault::Length { expected: after, found }));
                }
                _ => {}
            }
        }
    }
}

#[async_trait]
impl Sink for AppendSink {
    async fn part(&self, content: Content, offset: u64) -> Result<(), RemoteError> {
        let mut temporary = self.temporary.lock().await;
        let sent = match temporary.as_ref() {
            Some(temporary) => self.append(temporary.path(), &content, offset).await,
            None => self.store.write_temporary(&content, self.unique).await.map(|created| {
                *temporary = Some(created);
            }),
        };
        sent.map_err(|trouble| trouble.error("part"))
    }

    async fn finish(&self, bytes: u64) -> Result<(), RemoteError> {
        let error = |trouble: Trouble| trouble.error("finish");
        let temporary = match self.temporary.lock().await.take() {
            Some(temporary) => temporary,
            None => self.store.write_temporary(&Content::new(), self.unique).await.map_err(error)?,
        };
        let found = self.store.file_bytes(temporary.path()).await.map_err(error)?.unwrap_or(0);
        if found != bytes {
            return Err(RemoteError::new(RemoteErrorKind::Truncated, "finish")
                .with_bytes(bytes, found)
                .with_cause("the parts did not all arrive: start the upload anew"));
        }
        self.store.publish(temporary, &self.path, Mode::Replace, "finish").await.map(|_| ())
    }

    async fn abort(&self) -> Result<(), RemoteError> {
        match self.temporary.lock().await.take() {
            Some(temporary) => temporary.delete().await.map_err(|trouble| trouble.error("abort")),
            None => Ok(()),
        }
    }
}
