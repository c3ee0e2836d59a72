//! How a scan reads.

use crate::error::{Error, Result};
use crate::limits::SCAN_ENTRIES_MAX;
use crate::snapshot::Snapshot;

/// Options of [`crate::Client::scan`].
#[derive(Clone, Copy, Debug)]
pub struct ScanOptions<'a> {
    /// From the largest key to the smallest.
    pub reverse: bool,
    /// Entries of a page, 1 to 16,384; a page has fewer when they take about 1 MiB. A scan that is dropped has read at most one page more
    /// than it gave.
    pub page_entries: usize,
    /// What it sees; `None`: the state when its shard meets its first page, for all its pages.
    pub snapshot: Option<&'a Snapshot>,
}

impl Default for ScanOptions<'_> {
    /// Ascending, 256 entries a page, the present state.
    fn default() -> Self {
        Self { reverse: false, page_entries: 256, snapshot: None }
    }
}

impl ScanOptions<'_> {
    pub(crate) fn check(&self) -> Result<()> {
        if self.page_entries == 0 || self.page_entries > SCAN_ENTRIES_MAX {
            return Err(Error::invalid(format!(
                "page_entries is {}; 1 to {SCAN_ENTRIES_MAX} are possible",
                self.page_entries
            )));
        }
        Ok(())
    }
}
