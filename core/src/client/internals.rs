//! What measurements and tests ask of a client beside: no part of the library's interface.

use super::handle::Client;
use crate::error::{Error, Result};
use crate::key_ref::KeyRange;
use crate::limits::SCAN_ENTRIES_MAX;
use crate::request::{Job, Reply, Request, ScanRequest};
use crate::scan_page::ScanPage;
use std::ops::Bound;

impl Client {
    /// Empties the memory tier of every shard's cache, filters and indexes included, so that reads begin at the SSD
    /// again. Nothing is lost, the next reads fill it anew, and blocks that reads under way have asked for still come.
    /// Dropping the future after its first poll takes nothing back.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn forget_memory(&self) -> Result<()> {
        self.ask_all(|reply| Request::ForgetMemory { reply }).await.map(drop)
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
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = KeyRange::in_group(group, (after, Bound::Unbounded));
        match range.engine_range(self.shared.route) {
            Ok(range) => {
                self.send_scan(ScanRequest { range, reverse: false, entries_max, snapshot: None, pin: None })
            }
            Err(error) => Reply::refused(error),
        }
    }

    /// As [`Self::run_on_shard`], but what it does is taken for the engine's own doing.
    pub(crate) fn run_unguarded(&self, shard: usize, job: Job) {
        drop(self.mailbox(shard).and_then(|mailbox| mailbox.push_control(Request::Run(job))));
    }
}
