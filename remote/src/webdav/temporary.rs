//! Resources that have no name of an object yet, and the MOVE that gives them one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::server::{Folder, Trouble};
use super::store::WebDav;
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};

/// How often missing parents are made in one rename: they do not vanish again unless somebody deletes them.
const PARENTS_MADE_MAX: usize = 2;

/// A file or folder in `~tmp`. Deleted in the background when it is dropped before it was renamed.
pub(super) struct Temporary {
    store: Arc<WebDav>,
    /// With a slash at its end for a folder; none once it is renamed or deleted.
    path: Option<String>,
    /// A rename that nobody waits for any more may still be carried out. Deleting a folder piece by piece beside it could give it
    /// its new path without its content: it is left as it is.
    is_moving: bool,
}

impl Temporary {
    pub(super) fn new(store: &Arc<WebDav>, path: String) -> Self {
        Self { store: Arc::clone(store), path: Some(path), is_moving: false }
    }

    pub(super) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    pub(super) fn forget(mut self) {
        self.path = None;
    }

    /// Deletes it now.
    pub(super) async fn delete(mut self) -> Result<(), Trouble> {
        let Some(path) = self.path.take() else { return Ok(()) };
        self.store.steadily(|| self.store.server.delete(&path)).await.map(|_| ())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.path.take().filter(|_| !self.is_moving) {
            let store = Arc::clone(&self.store);
            // Best effort: what is left behind costs room, not correctness.
            self.store.runtime.detach(async move {
                drop(store.steadily(|| store.server.delete(&path)).await);
            });
        }
    }
}

/// What happens to a resource that has the new path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Replace,
    Keep,
}

/// How a rename ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renamed {
    Yes,
    /// Another resource has the path.
    Taken,
}

/// What one try of a rename came to.
enum Step {
    Done(Renamed),
    /// Parents may have been what was missing, and are there now: try at once.
    AtOnce(Trouble),
    /// Somebody else holds the path for the moment.
    Later(Trouble),
}

impl WebDav {
    /// Makes the folder of temporary resources, once; again after a request that missed it.
    pub(super) async fn make_temporaries(&self) -> Result<(), Trouble> {
        if !self.has_temporaries.load(Ordering::Relaxed) {
            self.make_folders(&format!("{}~tmp", self.root)).await?;
            self.has_temporaries.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes a folder with its parents.
    async fn make_folders(&self, folder: &str) -> Result<(), Trouble> {
        let mut missing: Vec<&str> = Vec::new();
        let mut next = folder;
        // Upwards until one is there or can be made, then down again.
        while !next.is_empty() && self.steadily(|| self.server.make_folder(next)).await? == Folder::NoParent {
            missing.push(next);
            next = next.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        for folder in missing.into_iter().rev() {
            if self.steadily(|| self.server.make_folder(folder)).await? == Folder::NoParent {
                return Err(Trouble::Refused(409));
            }
        }
        Ok(())
    }

    /// Writes the content to a temporary file. Each try takes another name, so that one that was given up and is still running
    /// in the server cannot change the bytes of another.
    pub(super) async fn write_temporary(
        self: &Arc<Self>,
        content: &Content,
        unique: u64,
    ) -> Result<Temporary, Trouble> {
        let mut repeats = self.server.exchange.repeats();
        for attempt in 0_u32.. {
            let temporary = Temporary::new(self, format!("{}~tmp/{unique:016x}-{attempt}", self.root));
            let trouble = match self.write_once(temporary.path(), content).await {
                Ok(()) => return Ok(temporary),
                Err(trouble) => trouble,
            };
            if !self.may_repeat(&trouble) || !repeats.again().await {
                return Err(trouble);
            }
        }
        Err(Trouble::Nonsense("no temporary name".to_owned()))
    }

    async fn write_once(&self, path: &str, content: &Content) -> Result<(), Trouble> {
        self.make_temporaries().await?;
        self.server.put(path, content.clone()).await
    }

    /// Also true when the folder of temporary resources is missing; it is made anew then.
    pub(super) fn may_repeat(&self, trouble: &Trouble) -> bool {
        let is_missing = matches!(trouble, Trouble::Refused(404 | 409));
        if is_missing {
            self.has_temporaries.store(false, Ordering::Relaxed);
        }
        is_missing || trouble.is_passing()
    }

    /// Gives a temporary resource its path; `to` ends with a slash for a folder.
    pub(super) async fn rename(
        &self,
        mut temporary: Temporary,
        to: &str,
        mode: Mode,
        operation: &'static str,
    ) -> Result<Renamed, RemoteError> {
        let mut repeats = self.server.exchange.repeats();
        let mut parents_left = PARENTS_MADE_MAX;
        // An earlier try may have been applied.
        let mut doubt = false;
        temporary.is_moving = temporary.path().ends_with('/');
        loop {
            let trouble = match self.rename_once(temporary.path(), to, mode, doubt).await {
                Ok(Step::Done(Renamed::Yes)) => {
                    temporary.forget();
                    return Ok(Renamed::Yes);
                }
                Ok(Step::Done(Renamed::Taken)) => {
                    // No rename to a path that is taken can be carried out later.
                    temporary.is_moving = false;
                    return Ok(Renamed::Taken);
                }
                Ok(Step::AtOnce(trouble)) if parents_left > 0 => {
                    parents_left -= 1;
                    doubt |= trouble.may_be_applied();
                    continue;
                }
                Ok(Step::AtOnce(trouble) | Step::Later(trouble)) | Err(trouble) => trouble,
            };
            doubt |= trouble.may_be_applied();
            if trouble.is_passing() && repeats.again().await {
                continue;
            }
            temporary.is_moving &= doubt;
            let error = trouble.error(operation);
            return Err(match (mode, doubt) {
                (Mode::Keep, true) => error.with_kind(RemoteErrorKind::InDoubt),
                _ => error,
            });
        }
    }

    async fn rename_once(&self, from: &str, to: &str, mode: Mode, doubt: bool) -> Result<Step, Trouble> {
        let trouble = match self.server.rename(from, to, mode == Mode::Replace).await {
            Ok(()) => return Ok(Step::Done(Renamed::Yes)),
            Err(trouble @ Trouble::Refused(_)) => trouble,
            // No answer: what the server says later counts.
            Err(trouble) => return Err(trouble),
        };
        // Servers refuse with all kinds of statuses: what is there tells more.
        if self.server.look(from).await?.is_none() {
            // Nobody else moves or deletes it: an earlier try of this very rename was applied, and its answer lost.
            return match doubt || trouble.may_be_applied() {
                true => Ok(Step::Done(Renamed::Yes)),
                false => Err(Trouble::Nonsense("somebody deleted the temporary resource".to_owned())),
            };
        }
        if mode == Mode::Keep && self.server.look(to).await?.is_some() {
            return Ok(Step::Done(Renamed::Taken));
        }
        // Apache says 500 when the parent is missing, Go 403, nginx 409.
        if trouble.is_passing() && !matches!(trouble, Trouble::Refused(500)) {
            return Ok(Step::Later(trouble));
        }
        let parent = to.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent);
        self.make_folders(parent).await?;
        Ok(Step::AtOnce(trouble))
    }
}
