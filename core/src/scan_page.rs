//! A page of a scan.

use crate::key_ref::KeyRange;
use bytes::Bytes;

/// One page of a scan, in the scan's order of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanPage {
    /// Keys and values.
    pub entries: Vec<(Bytes, Bytes)>,
    /// There may be more: the next page begins after this key. It may lie beyond the last entry (deleted keys), even on an empty page.
    pub next: Option<Bytes>,
    /// The key group of its entries.
    pub group: u16,
    /// What is left of the range: ask for it to get the next page. `None`: nothing.
    pub rest: Option<KeyRange>,
}

impl ScanPage {
    /// Bytes of its keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}
