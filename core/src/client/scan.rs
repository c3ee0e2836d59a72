//! Scans from other threads: pages of one state, asked for as they are needed.

use super::handle::{Client, REQUEST_OVERHEAD_BYTES};
use crate::error::{Error, Result};
use crate::key::{engine_key, user_key};
use crate::key_ref::{EngineRange, KeyRange, Stretches};
use crate::reply::reply;
use crate::request::{GroupsRequest, Reply, Request, ScanRequest};
use crate::scan_options::ScanOptions;
use crate::scan_page::ScanPage;
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
    /// The key group of the entries.
    group: Option<u16>,
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
    /// The rest of a range of all key groups.
    Groups(Stretches),
    /// An error to report, once.
    Refused(Option<Error>),
    Ended,
}

impl Client {
    /// The keys and values of a range, in order. Reads its first page when it is first asked for an entry.
    ///
    /// All pages see one state: the caller's snapshot, or what was there when the shard met the first page, including all that was
    /// called before on this client. A range of all key groups ([`KeyRange::prefix`] of plain bytes) takes a snapshot of its own when it is first asked for
    /// an entry, and is read group by group.
    pub fn scan(&self, range: &KeyRange, options: &ScanOptions<'_>) -> Scan {
        let checked = options.check().and_then(|()| {
            options.snapshot.map(|snapshot| self.check_snapshot(snapshot)).transpose()?;
            let state = if range.is_of_all() {
                State::Groups(range.stretches(self.shared.route)?)
            } else {
                State::More(range.engine_range(self.shared.route)?)
            };
            Ok((state, options.snapshot.cloned()))
        });
        let (state, snapshot) = match checked {
            Ok(checked) => checked,
            Err(error) => (State::Refused(Some(error)), None),
        };
        Scan {
            client: self.clone(),
            state,
            reverse: options.reverse,
            page_entries: options.page_entries,
            snapshot,
            entries: VecDeque::new(),
            group: None,
            asked: None,
        }
    }

    pub(super) fn send_scan(&self, request: ScanRequest) -> Reply<ScanPage> {
        let (reply, outcome) = reply();
        let shard = self.shared.route.shard(request.range.group);
        let bytes = request.range.from.len() + request.range.to.len() + REQUEST_OVERHEAD_BYTES;
        match self.mailbox(shard).and_then(|mailbox| mailbox.push(Request::Scan { request, reply }, bytes)) {
            Ok(()) => Reply::waiting(outcome),
            Err(error) => Reply::refused(error),
        }
    }

    fn send_groups(&self, shard: usize, request: GroupsRequest, bytes: usize) -> Reply<ScanPage> {
        let (reply, outcome) = reply();
        let request = Request::ScanGroups { request, reply };
        match self.mailbox(shard).and_then(|mailbox| mailbox.push(request, bytes + REQUEST_OVERHEAD_BYTES)) {
            Ok(()) => Reply::waiting(outcome),
            Err(error) => Reply::refused(error),
        }
    }
}

impl Scan {
    /// The next entry; `None` at the end. Dropping the future (as `select!` does) loses nothing: the next call goes on with the same page.
    ///
    /// # Errors
    /// As [`Client::get`]; the scan goes on at the same place when it is asked again, or behind the key if the error names one ([`Error::key`]): its value
    /// is too long, or a merge operator does not fit it.
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
            let asked = match &mut self.state {
                State::More(range) => {
                    let range = range.clone();
                    Some(self.ask(range))
                }
                State::Groups(left) => {
                    let left = left.clone();
                    self.ask_groups(&left).await?
                }
                State::Refused(error) => return error.take().map_or(Ok(false), Err),
                State::Ended => None,
            };
            let Some(asked) = asked else {
                (self.state, self.snapshot) = (State::Ended, None);
                return Ok(false);
            };
            self.asked = Some(asked);
        }
        let Some(Asked { page, pins }) = &mut self.asked else { return Ok(false) };
        let (page, pins) = (page.await, *pins);
        self.asked = None;
        if page.is_err() && pins {
            self.snapshot = None;
        }
        match &self.state {
            State::More(range) => {
                let range = range.clone();
                self.take_page(range, page)
            }
            State::Groups(left) => {
                let left = left.clone();
                self.take_page_of_groups(left, page)
            }
            State::Refused(_) | State::Ended => Ok(false),
        }
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

    fn take_page(&mut self, range: EngineRange, page: Result<ScanPage>) -> Result<bool> {
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                if let Some(key) = error.key() {
                    self.state = State::More(after(range, key, self.reverse)?);
                }
                return Err(error);
            }
        };
        self.group = Some(range.group);
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

    /// Asks for the next page of several key groups; `None` if nothing is left.
    async fn ask_groups(&mut self, left: &Stretches) -> Result<Option<Asked>> {
        let Some(next) = left.next(self.reverse)? else { return Ok(None) };
        let snapshot = match &self.snapshot {
            Some(snapshot) => snapshot.id(),
            // All shards see one moment.
            None => self.snapshot.insert(self.client.snapshot().await?).id(),
        };
        let route = self.client.shared.route;
        let shard = route.shard(next.group);
        let request = GroupsRequest {
            stretches: left.within(&route.groups(shard)),
            reverse: self.reverse,
            entries_max: self.page_entries,
            snapshot: Some(snapshot),
        };
        let page = self.client.send_groups(shard, request, next.from.len() + next.to.len());
        Ok(Some(Asked { page, pins: false }))
    }

    fn take_page_of_groups(&mut self, mut left: Stretches, page: Result<ScanPage>) -> Result<bool> {
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                if let (Some(key), Some(group)) = (error.key(), error.key_group()) {
                    left.skip_to(group, self.reverse);
                    left.go_behind(key, self.reverse)?;
                    self.state = State::Groups(left);
                }
                return Err(error);
            }
        };
        match &page.next {
            Some(next) => {
                left.skip_to(page.group, self.reverse);
                left.go_behind(next, self.reverse)?;
            }
            None => left.leave(page.group, self.reverse),
        }
        self.group = Some(page.group);
        self.entries = page.entries.into();
        self.state = State::Groups(left);
        Ok(true)
    }

    /// The key group of the entry that was given last; `None` before the first one.
    pub const fn group(&self) -> Option<u16> {
        self.group
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
