//! Why a command ends early, and with which exit code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done; of `verify`: no fault |
//! | 1 | what was asked for is not there (store, checkpoint, segment, block, key), or `verify` found faults |
//! | 2 | flags or a URL that make no sense |
//! | 3 | the store cannot be reached, or refuses |
//! | 4 | damaged bytes were met |
//! | 5 | this machine is at fault |

use crate::error::{Error, ErrorKind};
use aquifer_remote::{RemoteError, RemoteErrorKind};
use std::process::ExitCode;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    NotThere(String),
    #[error("{0} faults: the report names object, offset, expected and found of each")]
    Faults(u64),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Engine(#[from] Error),
    #[error("{0}")]
    Remote(#[from] RemoteError),
    #[error("{doing}: {source}")]
    Local { doing: &'static str, source: std::io::Error },
    #[error("the standard output is closed")]
    OutputClosed,
}

impl Failure {
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::OutputClosed => 0,
            Self::NotThere(_) | Self::Faults(_) => 1,
            Self::Usage(_) => 2,
            Self::Engine(error) => match error.kind() {
                ErrorKind::Invalid => 2,
                ErrorKind::Unavailable | ErrorKind::Store => 3,
                ErrorKind::Corrupt => 4,
                _ => 5,
            },
            Self::Remote(error) => match error.kind() {
                RemoteErrorKind::InvalidUrl | RemoteErrorKind::InvalidName => 2,
                RemoteErrorKind::NotFound | RemoteErrorKind::BadRange | RemoteErrorKind::TooLarge => 4,
                _ => 3,
            },
            Self::Local { .. } => 5,
        })
    }
}
