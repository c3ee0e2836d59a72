//! A folder of a WebDAV server: `http(s)://host/path`.
//!
//! ```text
//! <root>/manifest/0001           an object
//! <root>/manifest/0001~won/      decided by put-if-absent: mark/, and `object` until it has become the object itself
//! <root>/~tmp/<unique>-0         being written
//! ```
//!
//! Invariants:
//! * A name appears only by a MOVE of a file that was written whole. Each try of a write has a temporary name of its own.
//! * A MOVE may be repeated whenever its answer is lost: its source is ours alone and moves once.
//! * Put-if-absent is decided by a MOVE of a folder that is not empty to `name~won/`, see `claim.rs` and
//!   `docs/decisions/0006-put-if-absent-over-webdav.md`. No instant at which a writer dies leaves a name taken without its content.
//! * A read is believed only with the length announced and exactly the range asked for.
//! * What a server lists is outside data: only direct children of the folder asked for, with names that this crate writes.
//!
//! What is durable is up to the server: WebDAV has no word for it.

mod multistatus;
mod server;
mod store;
mod temporary;
mod upload;
mod claim;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::exchange::{Exchange, Fault};
use crate::front::{Front, Verbs, bad_range};
use crate::location::Location;
use crate::name::{ObjectName, check_prefix};
use crate::options::RemoteOptions;
use crate::runtime::HttpRuntime;
use crate::secrets;
use crate::settings::Settings;
use crate::store::{ListPage, PutOutcome, Remote};
use crate::walk::{self, Child, Children};

use self::server::{Server, Trouble};
use self::store::WebDav;
use self::temporary::Mode;
use self::upload::StreamSink;

const USER: &str = "AQUIFER_WEBDAV_USER";
const PASSWORD: &str = "AQUIFER_WEBDAV_PASSWORD";

/// Opens the folder that an `http` or `https` URL names.
pub(crate) fn open(location: &Location, options: &RemoteOptions) -> Result<Arc<dyn Remote>, RemoteError> {
    let invalid = |cause: &str| RemoteError::new(RemoteErrorKind::InvalidUrl, "open").with_cause(cause);
    let root = match check_prefix(location.path())? {
        "" => String::new(),
        path => format!("{path}/"),
    };
    let settings = Settings::new(options, &[USER, PASSWORD])?;
    let credentials = match (settings.get(USER), settings.get(PASSWORD)) {
        (Some(user), Some(password)) => {
            secrets::learn_password(&user, &password);
            Some((user, password))
        }
        (None, None) => None,
        _ => {
            return Err(invalid(
                "AQUIFER_WEBDAV_USER and AQUIFER_WEBDAV_PASSWORD go together: set both or none",
            ));
        }
    };
    let mut top = location.url().clone();
    top.set_path("/");
    let runtime = HttpRuntime::start(options)?;
    let exchange = Exchange::new(&top, options)?;
    let shown = format!("{top}{}", root.trim_end_matches('/'));
    let verbs = Arc::new(WebDav {
        server: Server::new(exchange, top, credentials),
        root,
        runtime: Arc::clone(&runtime),
        has_temporaries: AtomicBool::new(false),
    });
    Ok(Arc::new(Front::new(verbs, runtime, options, &shown)))
}

impl WebDav {
    /// Where the object lies: under its name, or, while nobody has moved it there after a decision, in what was decided; then
    /// once more under its name, as it may have been moved between the two looks.
    fn places(&self, name: &ObjectName) -> [String; 3] {
        let path = self.path(name);
        [path.clone(), claim::decided_object(&path), path]
    }

    /// The length of an object, none when there is none.
    async fn bytes_of(&self, name: &ObjectName) -> Result<Option<u64>, Trouble> {
        for path in self.places(name) {
            if let Some(bytes) = self.steadily(|| self.server.length(&path)).await? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    async fn children(&self, folder: &str) -> Result<Children, RemoteError> {
        let path = format!("{}{folder}", self.root);
        let path = path.trim_end_matches('/');
        let found = match self.steadily(|| self.server.children(path)).await {
            Ok(found) => found.unwrap_or_default(),
            Err(Trouble::Fault(Fault::TooLong { .. })) => {
                return Err(RemoteError::new(RemoteErrorKind::Other, "list").with_cause(
                    "a folder has more entries than fit into an answer of 64 MiB: use another server",
                ));
            }
            Err(trouble) => return Err(trouble.error("list")),
        };
        let mut entries: Vec<Child> = Vec::with_capacity(found.len());
        let mut decided: BTreeSet<String> = BTreeSet::new();
        for entry in found {
            match (entry.is_folder, entry.path.strip_suffix(claim::DECIDED)) {
                (true, Some(name)) => drop(decided.insert(name.to_owned())),
                (true, None) => entries.push(Child { name: entry.path, bytes: None }),
                (false, _) => {
                    let bytes = entry.bytes.ok_or_else(|| {
                        RemoteError::new(RemoteErrorKind::Other, "list")
                            .with_cause("the server tells no getcontentlength: use another server")
                    })?;
                    entries.push(Child { name: entry.path, bytes: Some(bytes) });
                }
            }
        }
        for entry in &entries {
            decided.remove(&entry.name);
        }
        // Decided, but not yet seen under their names: rare, each asked for.
        for child in decided {
            let path = if folder.is_empty() { child.clone() } else { format!("{folder}/{child}") };
            let Ok(name) = ObjectName::new(path) else { continue };
            if let Some(bytes) = self.bytes_of(&name).await.map_err(|trouble| trouble.error("list"))? {
                entries.push(Child { name: child, bytes: Some(bytes) });
            }
        }
        Ok(Children { entries, rest_after: None })
    }
}

#[async_trait]
impl Verbs for WebDav {
    type Sink = StreamSink;

    async fn put(
        self: Arc<Self>,
        name: &ObjectName,
        content: Content,
        unique: u64,
    ) -> Result<(), RemoteError> {
        let temporary =
            self.write_temporary(&content, unique).await.map_err(|trouble| trouble.error("put"))?;
        self.rename(temporary, &self.path(name), Mode::Replace, "put").await.map(|_| ())
    }

    async fn put_if_absent(
        self: Arc<Self>,
        name: &ObjectName,
        content: Content,
        unique: u64,
    ) -> Result<PutOutcome, RemoteError> {
        self.claim(name, &content, unique).await
    }

    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, RemoteError> {
        for path in self.places(name) {
            match self.steadily(|| self.server.get(&path, bytes_max)).await {
                Ok(Some(bytes)) => return Ok(bytes),
                Ok(None) => {}
                Err(Trouble::Beyond(bytes)) => {
                    let error = RemoteError::new(RemoteErrorKind::TooLarge, "get");
                    return Err(error.with_bytes(bytes_max, bytes));
                }
                Err(trouble) => return Err(trouble.error("get")),
            }
        }
        Err(RemoteError::new(RemoteErrorKind::NotFound, "get"))
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, RemoteError> {
        for path in self.places(name) {
            match self.steadily(|| self.server.get_range(&path, &range)).await {
                Ok(Some(bytes)) => return Ok(bytes),
                Ok(None) => {}
                Err(Trouble::Beyond(bytes)) => return Err(bad_range(&range, bytes)),
                Err(trouble) => return Err(trouble.error("get_range")),
            }
        }
        Err(RemoteError::new(RemoteErrorKind::NotFound, "get_range"))
    }

    async fn object_bytes(&self, name: &ObjectName) -> Result<u64, RemoteError> {
        match self.bytes_of(name).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(RemoteError::new(RemoteErrorKind::NotFound, "head")),
            Err(trouble) => Err(trouble.error("head")),
        }
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), RemoteError> {
        let path = self.path(name);
        // In this order: without its object, what was decided would block the name for ever.
        for path in [claim::decided(&path), path] {
            self.steadily(|| self.server.delete(&path)).await.map_err(|trouble| trouble.error("delete"))?;
        }
        Ok(())
    }

    async fn list(
        &self,
        folder: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
        soon: Instant,
    ) -> Result<ListPage, RemoteError> {
        let read = |folder: String, _| async move { self.children(&folder).await };
        walk::page(folder, start_after, entries_max, soon, read).await
    }

    fn sink(self: Arc<Self>, name: &ObjectName, unique: u64) -> StreamSink {
        let path = self.path(name);
        StreamSink::new(self, path, unique)
    }
}
