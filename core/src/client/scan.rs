//! Scans from other threads: pages of one state, asked for as they are needed.

use super::{Client, REQUEST_OVERHEAD_BYTES};
use crate::error::{Error, Result};
use crate::key::{engine_key, user_key};
use crate::key_ref::{EngineRange, KeyRange};
use crate::limits::SCAN_ENTRIES_MAX;
use crate::reply::reply;
use crate::request::{Reply, Request};
use crate::scan_options::ScanOptions;
use crate::shard::scan::{ScanPage, ScanRequest};
use crate::snapshot::Snapshot;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The entries of a range in order, page by page. Dropping it ends it: nothing is read that was not asked for, but for the
/// page under way.
#[derive(Debug)]
pub struct Scan {
    client: Client,
    state: State,
    reverse: bool,
    page_entries: usize,
    /// What it reads: the caller's, or what its first page pinned.
    snapshot: Option<Snapshot>,
    entries: VecDeque<(Bytes, Bytes)>,
    /// The page under way. It stays when the future that waits for it is dropped: the next one goes on waiting.
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    page: Reply<ScanPage>,
    /// Its page pins what the scan sees.
    pins: bool,
}

#[derive(Debug)]
enum State {
    /// The rest of the range to read.
    More(EngineRange),
    /// An error to report, once.
    Refused(Option<Error>),
    Ended,
}

impl Client {
    /// The keys and values of a range, in order. Reads its first page when it is first asked for an entry.
    ///
    /// All pages see one state: the caller's snapshot, or what was there when the shard met the first page, including all that was
    /// called before on this client.
    pub fn scan(&self, range: &KeyRange, options: &ScanOptions<'_>) -> Scan {
        let checked = options.check().and_then(|()| {
            options.snapshot.map(|snapshot| self.check_snapshot(snapshot)).transpose()?;
            Ok((range.engine_range(self.shared.route)?, options.snapshot.cloned()))
        });
        let (state, snapshot) = match checked {
            Ok((range, snapshot)) => (State::More(range), snapshot),
            Err(error) => (State::Refused(Some(error)), None),
        };
        Scan {
            client: self.clone(),
            state,
            reverse: options.reverse,
            page_entries: options.page_entries,
            snapshot,
            entries: VecDeque::new(),
            asked: None,
        }
    }

    /// One page of the keys and values of key group `group`, in ascending order of keys, beginning after the key `after`; at most
    /// `entries_max` of them (1 to 16,384), and few enough for about 1 MiB. Sees what was there when its shard met the request.
    /// Pass [`ScanPage::next`] on as `after` until it is `None`.
    ///
    /// # Errors
    /// `Invalid` for a group or number out of bounds; else as [`Self::get`].
    pub fn scan_group(&self, group: u16, after: Option<&[u8]>, entries_max: usize) -> Reply<ScanPage> {
        let groups = self.shared.route.key_groups();
        if group >= groups || entries_max == 0 || entries_max > SCAN_ENTRIES_MAX {
            return Reply::refused(Error::invalid(format!(
                "scan of group {group} by {entries_max} entries: groups are 0 to {}, entries 1 to {SCAN_ENTRIES_MAX}",
                groups - 1
            )));
        }
        let after = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = KeyRange::in_group(group, (after, std::ops::Bound::Unbounded));
        match range.engine_range(self.shared.route) {
            Ok(range) => {
                self.send_scan(ScanRequest { range, reverse: false, entries_max, snapshot: None, pin: None })
            }
            Err(error) => Reply::refused(error),
        }
    }

    fn send_scan(&self, request: ScanRequest) -> Reply<ScanPage> {
        let (reply, outcome) = reply();
        let shard = self.shared.route.shard(request.range.group);
        let bytes = request.range.from.len() + request.range.to.len() + REQUEST_OVERHEAD_BYTES;
        match self.mailbox(shard).and_then(|mailbox| mailbox.push(Request::Scan { request, reply }, bytes)) {
            Ok(()) => Reply::waiting(outcome),
            Err(error) => Reply::refused(error),
        }
    }
}

impl Scan {
    /// The next entry; `None` at the end. Dropping the future (as `select!` does) loses nothing: the next call goes on with the same page.
    ///
    /// # Errors
    /// As [`Client::get`]; the scan goes on at the same place when it is asked again.
    pub async fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Ok(Some(entry));
            }
            if !self.load().await? {
                return Ok(None);
            }
        }
    }

    /// The entries of the next page, or what is left of the present one; `None` at the end. Never empty. Dropping the future
    /// loses nothing, as with [`Self::next`].
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<(Bytes, Bytes)>>> {
        while self.entries.is_empty() {
            if !self.load().await? {
                return Ok(None);
            }
        }
        Ok(Some(self.entries.drain(..).collect()))
    }

    /// Reads a page; `false` if there is none. Dropped, it is as if it had not been called, but that the page is on its way.
    async fn load(&mut self) -> Result<bool> {
        if self.asked.is_none() {
            let range = match &mut self.state {
                State::More(range) => range.clone(),
                State::Refused(error) => {
                    return match error.take() {
                        Some(error) => Err(error),
                        None => Ok(false),
                    };
                }
                State::Ended => return Ok(false),
            };
            self.asked = Some(self.ask(range));
        }
        let Some(Asked { page, pins }) = &mut self.asked else { return Ok(false) };
        let (page, pins) = (page.await, *pins);
        self.asked = None;
        if page.is_err() && pins {
            self.snapshot = None;
        }
        let page = page?;
        let State::More(range) = &self.state else { return Ok(false) };
        let range = range.clone();
        self.entries = page.entries.into();
        self.state = match page.next {
            None => {
                self.snapshot = None;
                State::Ended
            }
            Some(last) => State::More(after(range, &last, self.reverse)?),
        };
        Ok(true)
    }

    /// Asks for the page that `range` begins with.
    fn ask(&mut self, range: EngineRange) -> Asked {
        let seen = self.snapshot.as_ref().map(Snapshot::id);
        // The first page pins what it sees, unless it is the last one as well: its shard lets go then.
        let pin = match seen {
            Some(_) => None,
            None => {
                let id = self.client.shared.snapshot_next.fetch_add(1, Ordering::Relaxed);
                self.snapshot = Some(Snapshot::new(Arc::clone(&self.client.shared), id));
                Some(id)
            }
        };
        let request =
            ScanRequest { range, reverse: self.reverse, entries_max: self.page_entries, snapshot: seen, pin };
        Asked { page: self.client.send_scan(request), pins: pin.is_some() }
    }
}

/// What is left of a range beyond `last`.
fn after(range: EngineRange, last: &[u8], reverse: bool) -> Result<EngineRange> {
    let last = engine_key(range.group, last)?;
    debug_assert!(
        range.from <= last && last < range.to,
        "a page ends within its range: {:?}",
        user_key(&last)
    );
    if reverse {
        return Ok(EngineRange { to: last, ..range });
    }
    // The smallest key above `last` is `last` and a zero byte.
    let mut from = last.into_vec();
    from.push(0);
    Ok(EngineRange { from: from.into_boxed_slice(), ..range })
}
