//! The SSD tier of row `restart`, as the row and its processes both know it: how large its file is, and what is found when it is opened.

use serde::{Deserialize, Serialize};

/// On the file, with the header.
const ENTRY_FILE_BYTES: u64 = 1_536;

/// A file for so many entries, a twentieth more for the index's snapshot and for what is written on.
pub(super) fn file_bytes(entries: u64) -> u64 {
    entries.saturating_mul(ENTRY_FILE_BYTES) / 20 * 21 + (32 << 20)
}

/// What a process found when it opened the tier.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Restarted {
    /// From before opening to the end of opening.
    pub(super) open_ms: f64,
    /// To the first hit.
    pub(super) first_hit_ms: f64,
    /// Entries that were there.
    pub(super) entries: u64,
    /// Memory of the index by its own account.
    pub(super) index_bytes: u64,
    /// By which the process's resident memory grew.
    pub(super) resident_bytes: u64,
    /// Of keys chosen at random over all that were ever written, how many of a thousand were hit.
    pub(super) hit_permille: u64,
    /// Answers that were not what was written.
    pub(super) wrong: u64,
}
