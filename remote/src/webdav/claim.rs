//! Put-if-absent where no server keeps `If-None-Match`: decided by a MOVE of a folder.
//!
//! ```text
//! ~tmp/<unique>/   mark/  object        MKCOL, MKCOL, PUT: whole before anybody sees it
//!      │ MOVE, Overwrite: F             the decision: one of all who try, as no folder can take the place of one that is not empty
//!      v
//! name~won/        mark/  object
//!                         │ MOVE        for listings and quick reads; readers find the object in either place
//!                         v
//!                         name
//! ```
//!
//! Why one winner: `Overwrite: F` makes the server look first, which alone two racers could pass. Then the server renames, and no file
//! system and no metadata engine renames a folder over one that is not empty; a server that makes the folder anew and copies
//! fails at making it. `mark/` stays in for ever, so what was decided is never empty.
//!
//! Why nothing gets stuck: the content is whole before the decision, so there is no instant between claim and object at which a
//! writer could die.

use std::sync::Arc;

use super::server::{Folder, Trouble};
use super::store::WebDav;
use super::temporary::{Mode, Renamed, Temporary};
use crate::content::Content;
use crate::error::RemoteError;
use crate::name::ObjectName;
use crate::store::PutOutcome;

/// Ends the names of folders with a decision. No object's name can hold it.
pub(super) const DECIDED: &str = "~won";

/// The folder with the decision about an object's path.
pub(super) fn decided(path: &str) -> String {
    format!("{path}{DECIDED}/")
}

/// The object within it, until it is moved to its name.
pub(super) fn decided_object(path: &str) -> String {
    format!("{path}{DECIDED}/object")
}

impl WebDav {
    /// Writes an object unless its name is taken.
    pub(super) async fn claim(
        self: &Arc<Self>,
        name: &ObjectName,
        content: &Content,
        unique: u64,
    ) -> Result<PutOutcome, RemoteError> {
        const OPERATION: &str = "put_if_absent";
        let path = self.path(name);
        // A name that a plain put took has no decision; and one that is taken anyhow needs no upload.
        for taken in [&path, &decided(&path)] {
            let found = self.steadily(|| self.server.look(taken)).await;
            if found.map_err(|trouble| trouble.error(OPERATION))?.is_some() {
                return Ok(PutOutcome::Exists);
            }
        }
        let temporary = self.prepare(content, unique).await.map_err(|trouble| trouble.error(OPERATION))?;
        if self.rename(temporary, &decided(&path), Mode::Keep, OPERATION).await? == Renamed::Taken {
            return Ok(PutOutcome::Exists);
        }
        // The decision stands whatever becomes of this: readers find the object in either place.
        let from = decided_object(&path);
        drop(self.steadily(|| self.server.rename(&from, &path, false)).await);
        Ok(PutOutcome::Created)
    }

    /// Makes the folder that is to become the decision.
    async fn prepare(self: &Arc<Self>, content: &Content, unique: u64) -> Result<Temporary, Trouble> {
        let mut repeats = self.server.exchange.repeats();
        for attempt in 0_u32.. {
            let temporary = Temporary::new(self, format!("{}~tmp/{unique:016x}-{attempt}/", self.root));
            let trouble = match self.prepare_once(temporary.path(), content).await {
                Ok(()) => return Ok(temporary),
                Err(trouble) => trouble,
            };
            if !self.may_repeat(&trouble) || !repeats.again().await {
                return Err(trouble);
            }
        }
        Err(Trouble::Nonsense("no temporary name".to_owned()))
    }

    async fn prepare_once(&self, folder: &str, content: &Content) -> Result<(), Trouble> {
        self.make_temporaries().await?;
        for path in [folder.trim_end_matches('/'), &format!("{folder}mark")] {
            match self.server.make_folder(path).await? {
                Folder::Made => {}
                // With a random number that another writer drew too, or by a try of ours whose answer was lost: another number.
                Folder::WasThere | Folder::NoParent => return Err(Trouble::Refused(409)),
            }
        }
        self.server.put(&format!("{folder}object"), content.clone()).await
    }
}
