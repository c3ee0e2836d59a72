//! What every document begins with: the version of its form, and the command that it is of.

use serde::{Deserialize, Serialize};

/// Version of the document.
pub(crate) const SCHEMA: &str = "aquifer-bench/1";

/// Which command a document is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// `run`.
    Run,
    /// `compare`.
    Compare,
}
