//! Pages of one key group in key order.

use super::ShardCore;
use super::merge::{CopiedEntry, Merge, Run, RunCursor};
use super::source::BlockSource;
use crate::error::Result;
use crate::key::{GROUP_BYTES, group_prefix, user_key};
use crate::limits::SCAN_PAGE_BYTES;
use crate::memtable::Memtable;
use crate::version::Version;
use bytes::Bytes;
use std::ops::{Bound, ControlFlow};
use std::rc::Rc;

/// One page of a scan, in ascending order of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// Keys and values.
    pub entries: Vec<(Bytes, Bytes)>,
    /// There may be more: the next page begins after this key. It may lie beyond the last entry (deleted keys), even on an empty page.
    pub next: Option<Bytes>,
}

/// What a scan asks for.
#[derive(Debug)]
pub(crate) struct ScanRequest {
    pub(crate) group: u16,
    /// Engine key after which to begin.
    pub(crate) after: Option<Box<[u8]>>,
    pub(crate) entries_max: usize,
}

/// A scan whose view is fixed: what memtables hold was copied, segments are pinned by the version.
pub(crate) struct Scan {
    version: Rc<Version>,
    from: Vec<u8>,
    end: [u8; GROUP_BYTES],
    entries_max: usize,
    copied: Vec<Vec<CopiedEntry>>,
    /// A memtable had more than was copied: the page must not go beyond this key.
    key_max: Option<Box<[u8]>>,
}

impl ShardCore {
    /// Fixes the view of a scan at this moment.
    pub(crate) fn begin_scan(&self, request: ScanRequest) -> Scan {
        let version = self.version();
        // The smallest key above `after` is `after` and a zero byte.
        let from = match request.after {
            Some(after) => after.iter().copied().chain([0]).collect(),
            None => group_prefix(request.group).to_vec(),
        };
        let end = group_prefix(request.group + 1);
        let mut scan =
            Scan { version, from, end, entries_max: request.entries_max, copied: Vec::new(), key_max: None };
        scan.copy(&self.memtable.borrow());
        for frozen in Rc::clone(&scan.version).frozen.iter() {
            scan.copy(&frozen.memtable);
        }
        scan
    }

    /// Reads the page of a scan.
    pub(crate) async fn scan(&self, scan: Scan) -> Result<ScanPage> {
        let Scan { version, from, end, entries_max, copied, key_max } = scan;
        let mut runs: Vec<Run> = copied.into_iter().map(Run::copied).collect();
        for run in &version.runs {
            runs.push(Run::Segments(Box::new(
                RunCursor::seek(self, run, BlockSource::Cache, &from, &end).await?,
            )));
        }
        let mut merge = Merge::new(runs);
        let mut page = ScanPage::default();
        let mut page_bytes = 0;
        loop {
            let step = merge
                .next(self, |key, slot| {
                    if key_max.as_deref().is_some_and(|key_max| key > key_max) {
                        return ControlFlow::Break(None);
                    }
                    let user = Bytes::copy_from_slice(user_key(key));
                    if let Some(value) = slot {
                        page_bytes += key.len() + value.len();
                        page.entries.push((user.clone(), Bytes::copy_from_slice(value)));
                    }
                    let full = page.entries.len() >= entries_max || page_bytes >= SCAN_PAGE_BYTES;
                    if full { ControlFlow::Break(Some(user)) } else { ControlFlow::Continue(()) }
                })
                .await?;
            page.next = match step {
                Some(ControlFlow::Continue(())) => continue,
                Some(ControlFlow::Break(Some(last))) => Some(last),
                // Beyond `key_max` a memtable's copy may lack entries: the next page copies anew.
                Some(ControlFlow::Break(None)) | None => {
                    key_max.map(|key_max| Bytes::copy_from_slice(user_key(&key_max)))
                }
            };
            return Ok(page);
        }
    }
}

impl Scan {
    /// Copies what the page may need of a memtable.
    fn copy(&mut self, memtable: &Memtable) {
        let mut copied = Vec::new();
        let mut bytes = 0;
        for (key, slot) in memtable.range_from(Bound::Included(&self.from)) {
            if key >= self.end.as_slice() {
                break;
            }
            if copied.len() > self.entries_max || bytes > SCAN_PAGE_BYTES {
                let last = copied.last().map(|(key, _): &CopiedEntry| key.clone());
                self.key_max = match (self.key_max.take(), last) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                break;
            }
            bytes += key.len() + slot.map_or(0, <[u8]>::len);
            copied.push((Box::from(key), slot.map(Box::from)));
        }
        self.copied.push(copied);
    }
}
