//! The one error of this crate: what was tried, where, what was expected and what was found.
//!
//! The kind says what the caller does next; the rest is for the person who reads the line. An error is cheap to
//! clone (its source is shared), so one failed operation can answer all who wait for it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What kind of failure it is, chosen by what the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IoErrorKind {
    /// The file ends before the bytes asked for. The file is shorter than its index says: treat it as damaged.
    UnexpectedEof,
    /// An offset or a length is not a multiple of the alignment. A mistake in the calling code: round it.
    Misaligned,
    /// More parts than one operation takes. A mistake in the calling code: split it.
    TooLong,
    /// The buffer pool is at its limit. Wait with [`acquire_buffer`](crate::acquire_buffer), or raise the limit.
    PoolExhausted,
    /// The device, the quota or the file-size limit of the process is full. Free space, or go on without the file.
    NoSpace,
    /// The path, or a folder on the way to it, does not exist.
    NotFound,
    /// The file system or a security policy says no. Change the owner, the mode, or the path.
    PermissionDenied,
    /// Another process (or another part of this one) holds the lock.
    Locked,
    /// Code that ran on the executor thread panicked: a bug, its message is part of the error.
    Panicked,
    /// The kernel, the file system or the calling thread does not offer the operation.
    Unsupported,
    /// Anything else, most often EIO: the source says what.
    Other,
}

impl IoErrorKind {
    /// The kind that an error of the operating system belongs to.
    fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Os;
        match error.kind() {
            Os::NotFound | Os::NotADirectory => Self::NotFound,
            Os::PermissionDenied | Os::ReadOnlyFilesystem => Self::PermissionDenied,
            Os::StorageFull | Os::QuotaExceeded | Os::FileTooLarge => Self::NoSpace,
            Os::Unsupported => Self::Unsupported,
            Os::UnexpectedEof => Self::UnexpectedEof,
            _ => Self::Other,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::UnexpectedEof => "the file ends too early",
            Self::Misaligned => "misaligned request",
            Self::TooLong => "too long",
            Self::PoolExhausted => "the buffer pool is at its limit",
            Self::NoSpace => "no space",
            Self::NotFound => "not found",
            Self::PermissionDenied => "permission denied",
            Self::Locked => "locked by another user",
            Self::Panicked => "panicked",
            Self::Unsupported => "not supported here",
            Self::Other => "failed",
        }
    }
}

/// A failed operation: kind, operation, path, offset, expected, found, source.
///
/// `Display` is one line.
#[derive(Clone, Debug)]
pub struct IoError(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: IoErrorKind,
    operation: &'static str,
    path: Option<PathBuf>,
    offset: Option<u64>,
    expected: Option<String>,
    found: Option<String>,
    source: Option<Arc<io::Error>>,
}

impl IoError {
    /// An error of this kind in this operation ("read", "open", ..), with nothing else known yet.
    #[must_use]
    pub fn new(kind: IoErrorKind, operation: &'static str) -> Self {
        Self(Box::new(Parts {
            kind,
            operation,
            path: None,
            offset: None,
            expected: None,
            found: None,
            source: None,
        }))
    }

    /// An error of the operating system in this operation; its kind follows from the errno.
    #[must_use]
    pub fn from_os(operation: &'static str, source: io::Error) -> Self {
        let mut error = Self::new(IoErrorKind::of(&source), operation);
        error.0.source = Some(Arc::new(source));
        error
    }

    /// Adds the path of the file or folder.
    #[must_use]
    pub fn with_path(mut self, path: &Path) -> Self {
        self.0.path = Some(path.to_owned());
        self
    }

    /// Adds the offset in the file, in bytes.
    #[must_use]
    pub fn with_offset(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// Adds what was expected, in words.
    #[must_use]
    pub fn with_expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    /// Adds what was found instead, in words.
    #[must_use]
    pub fn with_found(mut self, found: impl Into<String>) -> Self {
        self.0.found = Some(found.into());
        self
    }

    /// What the caller does next.
    #[must_use]
    pub fn kind(&self) -> IoErrorKind {
        self.0.kind
    }

    /// The operation that failed ("read", "open", ..).
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The file or folder, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The offset in the file in bytes, where there is one.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// What was expected, in words.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        self.0.expected.as_deref()
    }

    /// What was found instead, in words.
    #[must_use]
    pub fn found(&self) -> Option<&str> {
        self.0.found.as_deref()
    }

    /// The errno of the operating system, where the error came from it.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.source.as_ref().and_then(|source| source.raw_os_error())
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { kind, operation, path, offset, expected, found, source } = &*self.0;
        f.write_str(operation)?;
        if let Some(path) = path {
            write!(f, " {}", path.display())?;
        }
        if let Some(offset) = offset {
            write!(f, " at offset {offset}")?;
        }
        match source {
            Some(source) => write!(f, ": {source}")?,
            None => write!(f, ": {}", kind.text())?,
        }
        if let Some(expected) = expected {
            write!(f, ": expected {expected}")?;
        }
        if let Some(found) = found {
            let joint = if expected.is_some() { ", " } else { ": " };
            write!(f, "{joint}found {found}")?;
        }
        Ok(())
    }
}

impl std::error::Error for IoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_everything_that_is_known() {
        let error = IoError::new(IoErrorKind::UnexpectedEof, "read")
            .with_path(Path::new("/data/cache"))
            .with_offset(4096)
            .with_expected("8192 bytes")
            .with_found("512 bytes");
        assert_eq!(
            error.to_string(),
            "read /data/cache at offset 4096: the file ends too early: expected 8192 bytes, found 512 bytes"
        );
    }

    #[test]
    fn errno_decides_the_kind() {
        for (errno, kind) in [
            (2, IoErrorKind::NotFound),
            (20, IoErrorKind::NotFound),
            (13, IoErrorKind::PermissionDenied),
            (1, IoErrorKind::PermissionDenied),
            (28, IoErrorKind::NoSpace),
            (27, IoErrorKind::NoSpace),
            (5, IoErrorKind::Other),
        ] {
            let error = IoError::from_os("open", io::Error::from_raw_os_error(errno));
            assert_eq!(error.kind(), kind, "errno {errno}");
            assert_eq!(error.clone().errno(), Some(errno));
        }
    }
}
