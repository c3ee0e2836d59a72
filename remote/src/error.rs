//! What went wrong at the store, told by what the caller does next.
//!
//! Invariants:
//! * The text of an error never holds a secret: causes are rebuilt from status, code and short message of the server's
//!   answer; bodies (which may repeat signed headers), headers and URLs with user data never enter it; and known secrets are
//!   masked in what does (`secrets.rs`).
//! * One line, with the remedy where there is one.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::secrets::masked;

/// What the caller should do next. Shape borrowed from `SlateDB`'s public error kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemoteErrorKind {
    /// No such object. Final for this name.
    NotFound,
    /// The store refused the credentials or the operation. Fix keys, token, clock or policy.
    PermissionDenied,
    /// Server dead, overloaded or unreachable after bounded retries; nothing was decided. Try again later.
    Unavailable,
    /// A put-if-absent whose answer was lost: it may or may not have been applied. Read the object back and compare the
    /// unique id in it.
    InDoubt,
    /// The object is longer than the caller allowed. `expected` is the limit, `found` the object's bytes.
    TooLarge,
    /// The server sent another number of bytes than it announced. Try again; if it stays, the object is damaged.
    Truncated,
    /// The range reaches beyond the end of the object. `expected` is the range's end, `found` the object's bytes.
    BadRange,
    /// A name or prefix outside the allowed alphabet. Fix the name.
    InvalidName,
    /// The URL, its settings or the bucket it names cannot be used. Fix the URL or the settings.
    InvalidUrl,
    /// The call breaks the contract of this crate (a short part before the last one, say). Fix the caller.
    Invalid,
    /// The store does not keep the promise that a writer relies on. Use another store.
    Unsafe,
    /// Anything else; the text says what.
    Other,
}

impl RemoteErrorKind {
    fn meaning(self) -> &'static str {
        match self {
            Self::NotFound => "no such object",
            Self::PermissionDenied => "refused by the store: check credentials, clock and access policy",
            Self::Unavailable => {
                "store unavailable: check that the server runs and is reachable, then try again"
            }
            Self::InDoubt => {
                "answer lost, the object may or may not exist: read it back and compare the unique id in it"
            }
            Self::TooLarge => "object longer than allowed",
            Self::Truncated => "wrong number of bytes received: try again",
            Self::BadRange => "range reaches beyond the end of the object",
            Self::InvalidName => "invalid name",
            Self::InvalidUrl => "store cannot be opened with this URL and these settings",
            Self::Invalid => "call breaks the contract",
            Self::Unsafe => "store is not safe for writing",
            Self::Other => "failed",
        }
    }
}

/// An error of a store. Cheap to clone, so that it can reach all who wait for one request.
#[derive(Clone)]
pub struct RemoteError {
    kind: RemoteErrorKind,
    context: Arc<Context>,
}

#[derive(Clone, Default)]
struct Context {
    operation: &'static str,
    object: Option<Arc<str>>,
    range: Option<Range<u64>>,
    expected: Option<u64>,
    found: Option<u64>,
    status: Option<u16>,
    retry_after: Option<Duration>,
    cause: Option<Cause>,
}

/// The cleaned text of what lies below.
#[derive(Clone, Debug)]
struct Cause(Arc<str>);

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for Cause {}

impl RemoteError {
    /// A new error of an operation; more is added with the `with_` methods. For wrappers and stores of an embedder.
    #[must_use]
    pub fn new(kind: RemoteErrorKind, operation: &'static str) -> Self {
        Self { kind, context: Arc::new(Context { operation, ..Context::default() }) }
    }

    /// Names the object by its text: see `name.rs`.
    pub(crate) fn with_object_text(mut self, name: Arc<str>) -> Self {
        Arc::make_mut(&mut self.context).object = Some(name);
        self
    }

    /// Names the range that was asked for.
    #[must_use]
    pub fn with_range(mut self, range: Range<u64>) -> Self {
        Arc::make_mut(&mut self.context).range = Some(range);
        self
    }

    /// Adds the number of bytes that was expected and the number found.
    #[must_use]
    pub fn with_bytes(mut self, expected: u64, found: u64) -> Self {
        let context = Arc::make_mut(&mut self.context);
        context.expected = Some(expected);
        context.found = Some(found);
        self
    }

    /// Adds the cause as text. Known secrets in it are masked.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.context).cause = Some(Cause(Arc::from(masked(&cause.into()))));
        self
    }

    /// Adds that the server answered, with this status, and for how long it asked to be left alone.
    #[must_use]
    pub fn with_status(mut self, status: u16, retry_after: Option<Duration>) -> Self {
        let context = Arc::make_mut(&mut self.context);
        (context.status, context.retry_after) = (Some(status), retry_after);
        self
    }

    /// The same error of another kind.
    pub(crate) fn with_kind(mut self, kind: RemoteErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same error of another operation.
    #[cfg(feature = "webhdfs")]
    pub(crate) fn with_operation(mut self, operation: &'static str) -> Self {
        Arc::make_mut(&mut self.context).operation = operation;
        self
    }

    /// What to do next.
    #[must_use]
    pub fn kind(&self) -> RemoteErrorKind {
        self.kind
    }

    /// The operation that failed, as the method is called: `"get_range"`, `"put"`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.context.operation
    }

    /// The object it was about.
    #[must_use]
    pub fn object(&self) -> Option<&str> {
        self.context.object.as_deref()
    }

    /// The byte range it was about.
    #[must_use]
    pub fn range(&self) -> Option<Range<u64>> {
        self.context.range.clone()
    }

    /// The status of the server's answer; none when there was no answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.context.status
    }

    /// How long the server asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.context.retry_after
    }

    /// What lies below, as text; "" when nothing is known.
    pub(crate) fn cause(&self) -> &str {
        self.context.cause.as_ref().map_or("", |cause| &cause.0)
    }

    /// Bytes that were expected; see the kind for what exactly.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        self.context.expected
    }

    /// Bytes that were found; see the kind for what exactly.
    #[must_use]
    pub fn found(&self) -> Option<u64> {
        self.context.found
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = &self.context;
        write!(formatter, "{}", context.operation)?;
        if let Some(object) = &context.object {
            // Also a name may come from a server.
            write!(formatter, " {}", masked(object))?;
        }
        if let Some(range) = &context.range {
            write!(formatter, " bytes {}..{}", range.start, range.end)?;
        }
        write!(formatter, ": {}", self.kind.meaning())?;
        if let (Some(expected), Some(found)) = (context.expected, context.found) {
            write!(formatter, " (expected {expected} bytes, found {found})")?;
        }
        if let Some(cause) = &context.cause {
            write!(formatter, ": {cause}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RemoteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RemoteError({:?}, \"{self}\")", self.kind)
    }
}

impl Error for RemoteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.context.cause.as_ref().map(|cause| cause as &(dyn Error + 'static))
    }
}
