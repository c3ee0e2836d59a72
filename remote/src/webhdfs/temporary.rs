//! Files that have no name of an object yet, and the rename that gives them one.

use std::sync::Arc;

use reqwest::Method;

use super::protocol::Trouble;
use super::store::WebHdfs;
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::exchange::Fault;

/// How often missing parents are made in one rename: they do not vanish again unless somebody deletes them.
const PARENTS_MADE_MAX: usize = 3;

/// A file in `~tmp`. Deleted in the background when it is dropped before it was renamed.
pub(super) struct Temporary {
    store: Arc<WebHdfs>,
    /// None once it is renamed or deleted.
    path: Option<String>,
}

impl Temporary {
    pub(super) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    fn forget(mut self) {
        self.path = None;
    }

    /// Deletes the file now.
    pub(super) async fn delete(mut self) -> Result<(), Trouble> {
        let Some(path) = self.path.take() else { return Ok(()) };
        self.store.steadily(|| self.store.namenode.delete(&path)).await.map(|_| ())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let store = Arc::clone(&self.store);
            // Best effort: what is left behind costs room, not correctness.
            self.store.runtime.detach(async move {
                drop(store.steadily(|| store.namenode.delete(&path)).await);
            });
        }
    }
}

/// What happens to an object that has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Replace,
    Keep,
}

/// How a rename ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    Yes,
    /// Another object has the name.
    Taken,
}

/// What one try of a rename came to.
enum Step {
    Done(Published),
    /// Parents were made, or something in the way removed: try at once.
    AtOnce,
}

impl WebHdfs {
    /// Writes the content to a temporary file, whole and closed. Each try takes another name.
    pub(super) async fn write_temporary(
        self: &Arc<Self>,
        content: &Content,
        unique: u64,
    ) -> Result<Temporary, Trouble> {
        let mut repeats = self.namenode.exchange.repeats();
        for attempt in 0_u32.. {
            let path = format!("{}/~tmp/{unique:016x}-{attempt}", self.root);
            let temporary = Temporary { store: Arc::clone(self), path: Some(path) };
            let parameters = [("overwrite", "false")];
            let created = self
                .namenode
                .through_datanode(Method::PUT, temporary.path(), "CREATE", &parameters, Some(content.clone()))
                .await;
            let trouble = match created {
                Ok(_) => return Ok(temporary),
                Err(trouble) => trouble,
            };
            // With a random number that another writer drew too, the file is theirs.
            let taken = trouble.is("FileAlreadyExistsException");
            if taken || !trouble.may_be_applied() {
                temporary.forget();
            }
            let at_once = taken || matches!(trouble, Trouble::Fault(Fault::NotSent(_)));
            let passing = taken || trouble.is_passing();
            if !(passing && if at_once { repeats.at_once() } else { repeats.again().await }) {
                return Err(trouble);
            }
        }
        Err(Trouble::Nonsense("no temporary name".to_owned()))
    }

    /// Gives a temporary file its name.
    pub(super) async fn publish(
        &self,
        temporary: Temporary,
        path: &str,
        mode: Mode,
        operation: &'static str,
    ) -> Result<Published, RemoteError> {
        let mut repeats = self.namenode.exchange.repeats();
        let mut parents_left = PARENTS_MADE_MAX;
        // An earlier try may have been applied.
        let mut doubt = false;
        loop {
            let trouble = match self.publish_once(temporary.path(), path, mode, doubt).await {
                Ok(Step::Done(published)) => {
                    if published == Published::Yes {
                        temporary.forget();
                    }
                    return Ok(published);
                }
                Ok(Step::AtOnce) if parents_left > 0 => {
                    parents_left -= 1;
                    continue;
                }
                Ok(Step::AtOnce) => {
                    Trouble::Nonsense("the parent folder vanishes again and again".to_owned())
                }
                Err(trouble) => trouble,
            };
            doubt |= trouble.may_be_applied();
            if trouble.is_passing() && repeats.again().await {
                continue;
            }
            let error = trouble.error(operation);
            return Err(match (mode, doubt) {
                (Mode::Keep, true) => error.with_kind(RemoteErrorKind::InDoubt),
                _ => error,
            });
        }
    }

    async fn publish_once(&self, from: &str, to: &str, mode: Mode, doubt: bool) -> Result<Step, Trouble> {
        let option = match mode {
            Mode::Replace => "OVERWRITE",
            Mode::Keep => "NONE",
        };
        match self.namenode.rename(from, to, option).await {
            Ok(None) => Ok(Step::Done(Published::Yes)),
            Ok(Some(true)) => self.check_not_inside(from, to).await,
            Ok(Some(false)) => self.explain(from, to, mode, doubt).await,
            Err(trouble) if mode == Mode::Keep && trouble.is("FileAlreadyExistsException") => {
                Ok(Step::Done(Published::Taken))
            }
            // Of the source or of the destination's parent.
            Err(trouble) if trouble.is_not_found() => self.explain(from, to, mode, doubt).await,
            Err(trouble) => Err(trouble),
        }
    }

    /// Finds out why a rename did nothing.
    async fn explain(&self, from: &str, to: &str, mode: Mode, doubt: bool) -> Result<Step, Trouble> {
        if self.namenode.status(from).await?.is_none() {
            // Nobody else moves or deletes it: an earlier try of this very rename was applied, and its answer lost.
            return match doubt {
                true => Ok(Step::Done(Published::Yes)),
                false => Err(Trouble::Nonsense("somebody deleted the temporary file".to_owned())),
            };
        }
        match (self.namenode.status(to).await?, mode) {
            (Some(_), Mode::Keep) => Ok(Step::Done(Published::Taken)),
            (Some(status), Mode::Replace) if status.is_file() => {
                // A server that knows no replacing rename: for a moment the name has no object.
                self.namenode.delete(to).await?;
                Ok(Step::AtOnce)
            }
            (Some(_), Mode::Replace) => Err(Trouble::IsFolder),
            (None, _) => {
                let parent = to.rsplit_once('/').map_or("", |(parent, _)| parent);
                self.namenode.make_folders(if parent.is_empty() { "/" } else { parent }).await?;
                Ok(Step::AtOnce)
            }
        }
    }

    /// An older rename moves a file *into* a folder that has the name, and says that all is well.
    async fn check_not_inside(&self, from: &str, to: &str) -> Result<Step, Trouble> {
        let file = from.rsplit_once('/').map_or(from, |(_, file)| file);
        match self.namenode.status(to).await? {
            Some(status) if status.is_folder() => {
                self.namenode.delete(&format!("{to}/{file}")).await?;
                Err(Trouble::IsFolder)
            }
            _ => Ok(Step::Done(Published::Yes)),
        }
    }
}
