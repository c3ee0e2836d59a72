//! The way in from other threads.

use crate::checkpoint::{CheckpointInfo, CheckpointRequest};
use crate::engine::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{engine_key, key_group};
use crate::limits::{CHECKPOINT_METADATA_BYTES_MAX, SCAN_ENTRIES_MAX, VALUE_BYTES_MAX};
use crate::mailbox::Mailbox;
use crate::memtable::Slot;
use crate::request::{Reply, Request};
use crate::shard::Shard;
use crate::shard::scan::{ScanPage, ScanRequest};
use crate::stats::EngineStats;
use bytes::Bytes;
use futures_channel::oneshot;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes that an operation counts in a mailbox beside its key and value.
const REQUEST_OVERHEAD_BYTES: usize = 64;

/// A handle for operations: `Send`, `Sync`, cheap to clone, works from any runtime or none.
///
/// An operation is in its shard's mailbox when the call returns; the returned [`Reply`] only waits for its outcome. So operations
/// that one thread issues on one key take effect in the order of its calls, awaited or not, and a get sees every earlier put.
/// A full mailbox answers `Busy`: await some operations before issuing more.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The value of `key`, `None` if it has none.
    ///
    /// # Errors
    /// `Invalid` for a too long key; `Busy`; `Unavailable`: the DFS did not answer, try again; `Corrupt`; `Closed`.
    pub fn get(&self, key: &[u8]) -> Reply<Option<Bytes>> {
        self.keyed(key, 0, |key, reply| Request::Get { key, reply })
    }

    /// Stores `value` under `key`, in place of what was there. Durable with the next checkpoint.
    ///
    /// The reply comes late while memtables and uploads take all of their memory: writes wait for the DFS then, they do not fail.
    ///
    /// # Errors
    /// `Invalid` for a too long key or value; `Busy`; `Fenced`: another writer owns the store, stop; `Closed`.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Reply<()> {
        match check_value(value) {
            Ok(()) => self.write(key, Some(Box::from(value))),
            Err(error) => Reply::refused(error),
        }
    }

    /// Deletes `key`; deleting what is not there is no error.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn delete(&self, key: &[u8]) -> Reply<()> {
        self.write(key, None)
    }

    fn write(&self, key: &[u8], slot: Slot) -> Reply<()> {
        let bytes = slot.as_ref().map_or(0, |value| value.len());
        self.keyed(key, bytes, |key, reply| Request::Write { key, slot, reply })
    }

    /// Puts an operation on a key into the mailbox of the shard that owns it.
    fn keyed<T>(
        &self,
        key: &[u8],
        value_bytes: usize,
        request: impl FnOnce(Box<[u8]>, oneshot::Sender<Result<T>>) -> Request,
    ) -> Reply<T> {
        let group = key_group(key, self.shared.route.key_groups());
        let (reply, outcome) = oneshot::channel();
        let bytes = key.len() + value_bytes + REQUEST_OVERHEAD_BYTES;
        let sent = engine_key(group, key)
            .and_then(|key| self.mailbox(self.shared.route.shard(group))?.push(request(key, reply), bytes));
        match sent {
            Ok(()) => Reply::waiting(outcome),
            Err(error) => Reply::refused(error),
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
        let (reply, outcome) = oneshot::channel();
        let sent = after.map(|after| engine_key(group, after)).transpose().and_then(|after| {
            let request = ScanRequest { group, after, entries_max };
            self.mailbox(self.shared.route.shard(group))?
                .push(Request::Scan { request, reply }, REQUEST_OVERHEAD_BYTES)
        });
        match sent {
            Ok(()) => Reply::waiting(outcome),
            Err(error) => Reply::refused(error),
        }
    }

    /// Makes everything that was called before it on this client durable, and nothing that is called after it: the barrier is
    /// in every mailbox when the call returns, so operations may go on at once. `metadata`, for example the position in the source,
    /// is kept with the checkpoint and comes back from [`crate::Engine::restored`].
    ///
    /// The checkpoint goes on to its end even if the reply is dropped.
    ///
    /// # Errors
    /// `Busy` while one is running; `Invalid` for more than 64 KiB of metadata; `Unavailable`: not committed as far as is known, and
    /// all that was written stays in the engine: call again; `Fenced`; `Closed`.
    pub fn checkpoint(&self, metadata: Vec<u8>) -> Reply<CheckpointInfo> {
        if metadata.len() > CHECKPOINT_METADATA_BYTES_MAX {
            return Reply::refused(Error::invalid(format!(
                "checkpoint metadata of {} bytes; at most {CHECKPOINT_METADATA_BYTES_MAX} are possible",
                metadata.len()
            )));
        }
        if self.shared.checkpoint_running.swap(true, Ordering::AcqRel) {
            return Reply::refused(Error::new(
                ErrorKind::Busy,
                "a checkpoint is running: await it, then begin the next",
            ));
        }
        match self.begin_checkpoint(metadata) {
            Ok(reply) => reply,
            Err(error) => {
                self.shared.checkpoint_running.store(false, Ordering::Release);
                Reply::refused(error)
            }
        }
    }

    fn begin_checkpoint(&self, metadata: Vec<u8>) -> Result<Reply<CheckpointInfo>> {
        let begun = aquifer_io::now();
        self.shared.check_writable()?;
        let mut parts = Vec::with_capacity(self.shared.mailboxes.len());
        for mailbox in &self.shared.mailboxes {
            let (reply, part) = oneshot::channel();
            mailbox.push_control(Request::Barrier { reply })?;
            parts.push(part);
        }
        let (reply, outcome) = oneshot::channel();
        let request = CheckpointRequest { metadata, parts, begun, reply };
        self.mailbox(0)?.push_control(Request::Checkpoint(Box::new(request)))?;
        Ok(Reply::waiting(outcome))
    }

    /// The shard that owns `key`.
    pub fn shard_of(&self, key: &[u8]) -> usize {
        self.shared.route.shard(key_group(key, self.shared.route.key_groups()))
    }

    /// Runs `job` on a shard's own thread, beside its data, as a task of that thread. It shares the thread with every other
    /// operation of the shard: await often, compute little.
    ///
    /// # Errors
    /// `Invalid` for a shard that does not exist; `Busy`; `Closed`, also when the job panicked.
    pub fn run_on_shard<T, F, Fut>(&self, shard: usize, job: F) -> Reply<T>
    where
        F: FnOnce(Shard) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let (reply, outcome) = oneshot::channel();
        let start = Box::new(move |shard: Shard| {
            drop(aquifer_io::spawn_local(async move { drop(reply.send(Ok(job(shard).await))) }));
        });
        match self
            .mailbox(shard)
            .and_then(|mailbox| mailbox.push(Request::Run(start), REQUEST_OVERHEAD_BYTES))
        {
            Ok(()) => Reply::waiting(outcome),
            Err(error) => Reply::refused(error),
        }
    }

    /// Numbers of every shard.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn stats(&self) -> Result<EngineStats> {
        let shards = self.ask_all(|reply| Request::Stats { reply }).await?;
        Ok(EngineStats { shards })
    }

    /// Empties the memory tier of every shard's cache, filters and indexes included, so that reads begin at the SSD again. For
    /// measurements: nothing is lost, the next reads fill it anew.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn forget_memory(&self) -> Result<()> {
        self.ask_all(|reply| Request::ForgetMemory { reply }).await.map(drop)
    }

    /// Asks every shard at once and collects their answers in the order of the shards.
    async fn ask_all<T>(&self, request: impl Fn(oneshot::Sender<T>) -> Request) -> Result<Vec<T>> {
        let mut waiting = Vec::with_capacity(self.shared.mailboxes.len());
        for mailbox in &self.shared.mailboxes {
            let (reply, outcome) = oneshot::channel();
            mailbox.push_control(request(reply))?;
            waiting.push(outcome);
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for outcome in waiting {
            answers.push(outcome.await.map_err(|_| Error::closed())?);
        }
        Ok(answers)
    }

    fn mailbox(&self, shard: usize) -> Result<&Mailbox<Request>> {
        self.shared.mailboxes.get(shard).map(Arc::as_ref).ok_or_else(|| {
            Error::invalid(format!("shard {shard} does not exist; there are {}", self.shared.mailboxes.len()))
        })
    }
}

/// Refuses a value that is longer than any shard could take.
pub(crate) fn check_value(value: &[u8]) -> Result<()> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a value has {} bytes; at most {VALUE_BYTES_MAX} are possible",
            value.len()
        )));
    }
    Ok(())
}
