//! Why a run ends early, and with which exit code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | the run is complete and every key agrees with the independent fold |
//! | 1 | the verification found a mismatch, or a benchmark a wrong answer |
//! | 2 | flags that make no sense |
//! | 3 | anything else: the input, the store, the machine |
//! | 4 | `diff --fail-on-regression`: something is slower, beyond the noise |
//! | 130 | ended by Ctrl-C or SIGTERM; temporary folders are removed |

use std::process::ExitCode;

use crate::input::InputError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The state is wrong. The report says how.
    #[error("{0} keys do not agree with the independent fold of the input")]
    Mismatch(u64),
    /// Reads of a benchmark that found what was not written.
    #[error(
        "{0} answers were wrong: values that are not the key's, damaged, missing, or there though never written"
    )]
    WrongAnswers(u64),
    /// Flags that contradict each other or a state of things that other flags would fit.
    #[error("{0}")]
    Usage(String),
    /// The input is at fault.
    #[error("{0}")]
    Input(#[from] InputError),
    /// The engine or its store.
    #[error("{doing}: {source}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// The engine's error.
        source: aquifer::Error,
    },
    /// The DFS, outside the engine.
    #[error("{0}")]
    Remote(#[from] aquifer_remote::RemoteError),
    /// A local file or folder.
    #[error("{doing} {path}: {source}")]
    Local {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// `diff --fail-on-regression` found some.
    #[error("numbers that are worse than before, beyond the noise: {0}")]
    Regression(u64),
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// Everything else, in one line.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// A fault of a local file or folder.
    pub(crate) fn local(doing: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Local { doing, path: path.display().to_string(), source }
    }

    /// For `map_err`: an engine's error with what was being done.
    pub(crate) fn engine(doing: &'static str) -> impl FnOnce(aquifer::Error) -> Self {
        move |source| Self::Engine { doing, source }
    }

    /// The exit code of this failure.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Mismatch(_) | Self::WrongAnswers(_) => 1,
            Self::Usage(_) => 2,
            Self::Regression(_) => 4,
            Self::Interrupted => 130,
            _ => 3,
        })
    }
}
