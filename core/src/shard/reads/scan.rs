//! Pages of a range of keys, ascending or descending.

use crate::cursors::merge::{Copied, Merge, Run, Writes};
use crate::cursors::read_ahead::{PageNeed, ReadAhead};
use crate::cursors::run_cursor::RunCursor;
use crate::cursors::source::BlockSource;
use crate::error::{Error, Result};
use crate::key::{of_key, user_key};
use crate::key_ref::EngineRange;
use crate::limits::SCAN_PAGE_BYTES;
use crate::memtable::{Memtable, Memtables};
use crate::request::{GroupsRequest, ScanRequest};
use crate::resolve::{Base, Folded, Resolver};
use crate::scan_page::ScanPage;
use crate::shard::reads::lookup::View;
use crate::shard::shard_core::ShardCore;
use bytes::Bytes;
use futures_util::future::try_join_all;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;

/// Entries of a scan that cost as much, for each run that is merged, as one search of it.
const ENTRIES_A_SEARCH: u64 = 4;

/// Key groups without an entry that a scan of several passes before other tasks run.
const EMPTY_GROUPS_A_TURN: usize = 16;

/// A page whose view is fixed: what memtables hold was copied, segments are pinned by the version.
pub(crate) struct Scan {
    request: ScanRequest,
    view: View,
    copied: Vec<Copied>,
    /// A memtable had more than was copied: the page must not go beyond this key.
    last: Option<Box<[u8]>>,
}

impl ShardCore {
    /// Fixes the view of a page at this moment.
    pub(crate) fn begin_scan(&self, request: ScanRequest) -> Result<Scan> {
        let view = match request.snapshot {
            Some(snapshot) => self.view_of(snapshot)?,
            None => self.view_now(),
        };
        if let Some(id) = request.pin {
            self.pin_snapshot(id)?;
        }
        let mut scan = Scan { request, copied: Vec::new(), last: None, view };
        if scan.request.range.is_empty() {
            return Ok(scan);
        }
        if scan.view.with_memtable {
            scan.copy_parts(&self.memtable.borrow());
        }
        for frozen in Rc::clone(&scan.view.version).frozen.iter() {
            scan.copy_parts(&frozen.memtable);
        }
        Ok(scan)
    }

    /// Reads the page.
    pub(crate) async fn scan(&self, scan: Scan) -> Result<ScanPage> {
        let pin = scan.request.pin;
        let page = self.read_page(scan).await;
        if let Some(id) = pin
            && page.as_ref().map_or(true, |page| page.next.is_none())
        {
            self.release_snapshot(id);
        }
        page
    }

    /// Reads the first page that has an entry, of one key group; an empty one at the end.
    pub(crate) async fn scan_groups(&self, request: GroupsRequest) -> Result<ScanPage> {
        let GroupsRequest { stretches, reverse, entries_max, snapshot } = request;
        let mut left = stretches.clone();
        let mut visited = 0;
        let mut page = ScanPage::default();
        while let Some(range) = left.next(reverse)? {
            let group = range.group;
            let scan = self.begin_scan(ScanRequest { range, reverse, entries_max, snapshot, pin: None })?;
            page = self.scan(scan).await?;
            (page.group, page.rest) = (group, stretches.after_page(group, page.next.as_deref(), reverse));
            if !page.entries.is_empty() || page.next.is_some() {
                break;
            }
            left.leave(group, reverse);
            visited += 1;
            if visited % EMPTY_GROUPS_A_TURN == 0 {
                aquifer_io::yield_now().await;
            }
        }
        Ok(page)
    }

    async fn read_page(&self, scan: Scan) -> Result<ScanPage> {
        let Scan { request: ScanRequest { range, reverse, entries_max, .. }, view, copied, last } = scan;
        let mut page = ScanPage::default();
        if range.is_empty() {
            return Ok(page);
        }
        let mut runs: Vec<Run> = copied.into_iter().map(Run::Copied).collect();
        // All runs at once: what they begin with is planned together.
        let need = Rc::new(PageNeed { entries: Cell::new(entries_max), runs: view.version.runs.len() });
        let seeks = view.version.runs.iter().map(|run| {
            let source = BlockSource::Ahead(ReadAhead::new(Rc::clone(&need), reverse));
            RunCursor::seek(&self.blocks, run, source, &range.from, &range.to, reverse)
        });
        let cursors = try_join_all(seeks).await?;
        runs.extend(cursors.into_iter().map(|cursor| Run::Segments(Box::new(cursor))));
        let mut merge = Merge::new(runs, reverse);
        let further_runs = view.version.runs.len().saturating_sub(1) as u64;
        let mut page_bytes = 0;
        let is_beyond = |key: &[u8]| match last.as_deref() {
            Some(last) => {
                if reverse {
                    key < last
                } else {
                    key > last
                }
            }
            None => false,
        };
        loop {
            let step = merge.next(&self.blocks, |writes| {
                if is_beyond(writes.key) {
                    return Ok::<_, Error>(ControlFlow::Break(None));
                }
                let user = Bytes::copy_from_slice(user_key(writes.key));
                let value = match self.value_of(&writes) {
                    // What was read before it is given first; the next page begins with the error, which names the key.
                    Err(error) if error.key().is_some() && !page.entries.is_empty() => {
                        let last = page.entries.last().map(|(key, _)| key.clone());
                        return Ok(ControlFlow::Break(last));
                    }
                    value => value?,
                };
                if let Some(value) = value {
                    page_bytes += user.len() + value.len();
                    page.entries.push((user.clone(), value));
                    need.entries.set(entries_max.saturating_sub(page.entries.len()));
                }
                let full = page.entries.len() >= entries_max || page_bytes >= SCAN_PAGE_BYTES;
                Ok(if full { ControlFlow::Break(Some(user)) } else { ControlFlow::Continue(()) })
            });
            page.next = match step.await?.transpose()? {
                Some(ControlFlow::Continue(())) => continue,
                Some(ControlFlow::Break(Some(user))) => Some(user),
                // Beyond `last` a memtable's copy may lack entries: the next page copies anew.
                Some(ControlFlow::Break(None)) | None => {
                    last.as_deref().map(|last| Bytes::copy_from_slice(user_key(last)))
                }
            };
            self.pay(further_runs * (1 + page.entries.len() as u64 / ENTRIES_A_SEARCH));
            return Ok(page);
        }
    }

    /// The value that a key's writes come to, nothing older being left.
    fn value_of(&self, writes: &Writes<'_>) -> Result<Option<Bytes>> {
        self.resolved(writes).map_err(|error| of_key(error, writes.key))
    }

    fn resolved(&self, writes: &Writes<'_>) -> Result<Option<Bytes>> {
        let mut resolver = Resolver::new();
        for entry in writes.entries {
            if let ControlFlow::Break(base) = self.feed(&mut resolver, *entry)? {
                return resolver.finish(base, &self.shared.operators);
            }
        }
        resolver.finish(Base::Nothing, &self.shared.operators)
    }
}

impl Scan {
    /// Copies what the page may need of the parts of a memtable, in the order of the scan. Once one has more, those beyond it have nothing
    /// for this page.
    fn copy_parts(&mut self, memtables: &Memtables) {
        let reverse = self.request.reverse;
        let mut tables = memtables.tables();
        while let Some(table) = if reverse { tables.next_back() } else { tables.next() } {
            if !self.copy(table) {
                break;
            }
        }
    }

    /// Copies what the page may need of one part of a memtable; `false` if that part had more.
    fn copy(&mut self, memtable: &Memtable) -> bool {
        let EngineRange { from, to, .. } = &self.request.range;
        let mut copied = Copied::default();
        for deletion in memtable.range_deletions(self.view.at) {
            if deletion.from < &**to && &**from < deletion.to {
                copied.range_deletions.push((Box::from(deletion.from), Box::from(deletion.to)));
            }
        }
        let mut cursor = memtable.cursor(self.view.at);
        let mut bytes = 0;
        let mut is_whole = true;
        if self.request.reverse {
            cursor.seek_before(to);
        } else {
            cursor.seek_before(from);
        }
        loop {
            let visible = if self.request.reverse { cursor.previous() } else { cursor.next() };
            let Some(visible) = visible.filter(|visible| **from <= *visible.key && *visible.key < **to)
            else {
                break;
            };
            if copied.entries.len() > self.request.entries_max || bytes > SCAN_PAGE_BYTES {
                let stopped = copied.entries.back().map(|(key, _)| key.clone());
                let nearer =
                    |a: Box<[u8]>, b: Box<[u8]>| if self.request.reverse { a.max(b) } else { a.min(b) };
                self.last = match (self.last.take(), stopped) {
                    (Some(a), Some(b)) => Some(nearer(a, b)),
                    (a, b) => a.or(b),
                };
                is_whole = false;
                break;
            }
            bytes += visible.key.len() + visible.entry.payload().len();
            copied.entries.push_back((Box::from(visible.key), Folded::from(visible.entry).into_owned()));
        }
        if !copied.entries.is_empty() || !copied.range_deletions.is_empty() {
            self.copied.push(copied);
        }
        is_whole
    }
}
