//! Which backend serves the files: those there are, and what a user may ask for.

use std::fmt;
use std::str::FromStr;

use crate::error::{IoError, IoErrorKind};

/// How an executor's files reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// io_uring, by our own loop: Linux 6.1.
    Uring,
    /// io_uring, through the tokio-uring runtime, in a build with the feature `tokio-uring`.
    TokioUring,
    /// io_uring, through the glommio runtime, in a build with the feature `glommio`: reads and syncs; writes go through
    /// a pool of threads. Each of its threads leaves one descriptor open when it ends, for good: not for processes that
    /// open and close engines all day.
    Glommio,
    /// pread and pwrite on a bounded pool of threads.
    Threads,
    /// A machine in memory that one seed replays: see [`simulated`](crate::simulated).
    Simulated,
}

impl Backend {
    /// The Cargo feature that it takes and that this program was built without.
    #[must_use]
    pub fn missing_feature(self) -> Option<&'static str> {
        match self {
            Self::TokioUring if !cfg!(feature = "tokio-uring") => Some("tokio-uring"),
            Self::Glommio if !cfg!(feature = "glommio") => Some("glommio"),
            _ => None,
        }
    }

    /// Refuses one that is not in this program.
    pub(crate) fn check_built_in(self, operation: &'static str) -> Result<(), IoError> {
        let Some(feature) = self.missing_feature() else { return Ok(()) };
        Err(IoError::new(IoErrorKind::Unsupported, operation)
            .with_expected(format!("{self}, as asked for (choose `auto` to do without)"))
            .with_found(format!("a program built without it: build it with `--features {feature}`")))
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::TokioUring => "tokio-uring",
            Self::Glommio => "glommio",
            Self::Threads => "threads",
            Self::Simulated => "simulated",
        })
    }
}

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum BackendChoice {
    /// The best that works here: [`Backend::Uring`], else [`Backend::TokioUring`], else [`Backend::Threads`].
    #[default]
    Auto,
    /// [`Backend::Uring`] or an error.
    Uring,
    /// [`Backend::TokioUring`] or an error.
    TokioUring,
    /// [`Backend::Glommio`] or an error.
    Glommio,
    /// [`Backend::Threads`].
    Threads,
}

impl BackendChoice {
    /// Every choice, by the name that [`FromStr`] takes.
    pub const NAMES: [&'static str; 5] = ["auto", "uring", "tokio-uring", "glommio", "threads"];

    /// The one backend that is asked for; `None` for `Auto`.
    #[must_use]
    pub fn backend(self) -> Option<Backend> {
        match self {
            Self::Auto => None,
            Self::Uring => Some(Backend::Uring),
            Self::TokioUring => Some(Backend::TokioUring),
            Self::Glommio => Some(Backend::Glommio),
            Self::Threads => Some(Backend::Threads),
        }
    }
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Uring => Backend::Uring.fmt(f),
            Self::TokioUring => Backend::TokioUring.fmt(f),
            Self::Glommio => Backend::Glommio.fmt(f),
            Self::Threads => Backend::Threads.fmt(f),
        }
    }
}

/// A name that is no backend: the line lists those there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown I/O backend {0:?}: expected auto, uring, tokio-uring, glommio or threads")]
pub struct UnknownBackend(String);

impl FromStr for BackendChoice {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<Self, UnknownBackend> {
        match text {
            "auto" => Ok(Self::Auto),
            "uring" => Ok(Self::Uring),
            "tokio-uring" => Ok(Self::TokioUring),
            "glommio" => Ok(Self::Glommio),
            "threads" => Ok(Self::Threads),
            other => Err(UnknownBackend(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for (name, choice) in BackendChoice::NAMES.into_iter().zip([
            BackendChoice::Auto,
            BackendChoice::Uring,
            BackendChoice::TokioUring,
            BackendChoice::Glommio,
            BackendChoice::Threads,
        ]) {
            assert_eq!(name.parse(), Ok(choice));
            assert_eq!(choice.to_string(), name);
        }
        assert!("kqueue".parse::<BackendChoice>().unwrap_err().to_string().contains("expected auto"));
    }
}
