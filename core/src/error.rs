//! What can go wrong, sorted by what the caller does next.

use aquifer_io::IoError;
use aquifer_remote::{RemoteError, RemoteErrorKind};
use std::fmt;
use std::sync::Arc;

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument or option is out of bounds. The message names it and its limit: correct it.
    Invalid,
    /// A queue is full, or a checkpoint is already running. Await what is under way, then repeat.
    Busy,
    /// The DFS did not answer in time, or refused for a passing reason. Nothing is lost: try again.
    Unavailable,
    /// Another writer has opened this store since. Stop; whoever must own it opens it again.
    Fenced,
    /// Bytes of the DFS are not what was written. The message names object and offset. Restore an older checkpoint or a copy.
    Corrupt,
    /// The local folder or disk refused. Correct the folder, its rights or its space.
    Local,
    /// The DFS refuses for good (rights, missing bucket, no atomic put-if-absent). Correct the store's setting.
    Store,
    /// The engine is closed, or its shard ended; the message says why. Open it again.
    Closed,
    /// What was written to one key comes to more than a value may have; [`Error::key`] names it. Nothing is lost and other keys are not concerned:
    /// put or delete the key. Of a merge: it would make such a value, and was not taken.
    TooLarge,
    /// This key of a multi-get was not read: the values of others take as much as one call gives ([`crate::MultiGetOptions::bytes_max`]). Take those,
    /// then ask for the keys that have this error again.
    Remaining,
    /// Code of the embedder panicked: a merge operator, a job of [`crate::Client::run_on_shard`], a callback. The message says which, and for
    /// what key; the operation has changed nothing and the engine goes on. Correct that code.
    Panicked,
}

/// Bytes of the DFS that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corruption {
    /// Name of the object, below the store's prefix.
    pub object: String,
    /// Where in it.
    pub offset: u64,
    /// What should stand there.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// An error of the engine: its kind, one clear line, where it arose, and its source.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    corruption: Option<Arc<Corruption>>,
    key: Option<(u16, Arc<[u8]>)>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Keys in messages are shortened: they may have 64 KiB.
const KEY_SHOWN_BYTES: usize = 64;

/// Result of the engine's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What is damaged, and where, if that is known: of kind `Corrupt`, when the bytes could be read.
    pub fn corruption(&self) -> Option<&Corruption> {
        self.corruption.as_deref()
    }

    /// The one key that the error is about, as its caller names it, if others are not concerned: its value is too long, or a merge operator does not
    /// fit it or panicked over it. A scan goes on behind it.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_ref().map(|(_, key)| &**key)
    }

    /// The key group of that key.
    pub fn key_group(&self) -> Option<u16> {
        self.key.as_ref().map(|(group, _)| *group)
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: Arc::from(message.into()), corruption: None, key: None, source: None }
    }

    /// Names the key in an error that is about its value alone.
    pub(crate) fn of_key(self, group: u16, key: &[u8]) -> Self {
        let is_of_value = matches!(self.kind, ErrorKind::TooLarge | ErrorKind::Panicked | ErrorKind::Invalid);
        if self.key.is_some() || !is_of_value {
            return self;
        }
        let shown = key.get(..KEY_SHOWN_BYTES).unwrap_or(key);
        let rest = if shown.len() < key.len() { ".." } else { "" };
        let message =
            format!("key \"{}{rest}\" of key group {group}: {}", shown.escape_ascii(), self.message);
        Self { message: Arc::from(message), key: Some((group, Arc::from(key))), ..self }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Bytes at `offset` of `object` that are not what was written.
    pub(crate) fn corrupt(
        object: &str,
        offset: u64,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        let message = format!(
            "corrupt bytes in {object} at offset {offset}: expected {expected}, found {found}; \
             restore an older checkpoint or a copy of this object"
        );
        let corruption = Corruption { object: object.to_owned(), offset, expected, found };
        Self { corruption: Some(Arc::new(corruption)), ..Self::new(ErrorKind::Corrupt, message) }
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the engine is closed: open it again")
    }

    pub(crate) fn fenced(detail: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::Fenced,
            format!(
                "fenced: {detail}; this engine has stopped writing, open the store again to take it over"
            ),
        )
    }

    fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl From<IoError> for Error {
    fn from(error: IoError) -> Self {
        Self::new(ErrorKind::Local, error.to_string()).with_source(error)
    }
}

impl From<RemoteError> for Error {
    fn from(error: RemoteError) -> Self {
        let kind = match error.kind() {
            RemoteErrorKind::Unavailable | RemoteErrorKind::InDoubt | RemoteErrorKind::Truncated => {
                ErrorKind::Unavailable
            }
            // Only objects whose PUT returned are ever asked for: one that is missing, or of another length, was damaged.
            RemoteErrorKind::NotFound | RemoteErrorKind::BadRange | RemoteErrorKind::TooLarge => {
                ErrorKind::Corrupt
            }
            _ => ErrorKind::Store,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}
