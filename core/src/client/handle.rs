//! The handle that callers on other threads have.

use crate::embedder_panics;
use crate::error::{Error, Result};
use crate::key_ref::Key;
use crate::mailbox::Mailbox;
use crate::reply::{Answered, ReplyTo, reply};
use crate::request::{Keyed, Reply, Request};
use crate::shard::handle::Shard;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::stats::EngineStats;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes that an operation counts in a mailbox beside its key and value.
pub(super) const REQUEST_OVERHEAD_BYTES: usize = 64;

/// A handle for operations: `Send`, `Sync`, cheap to clone, works from any runtime or none.
///
/// An operation is in its shard's mailbox, or in those of all shards that it concerns, when the call returns; the returned [`Reply`] only waits for its
/// outcome. So operations that one thread issues on one key take effect in the order of its calls, awaited or not, and a get sees every earlier put.
/// A full mailbox answers `Busy`: await some operations before issuing more. Dropping a [`Reply`] loses the answer and takes nothing back.
///
/// What has no place in that order is an `async fn`, and begins when it is first polled: [`Client::stats`], and the pages of a [`crate::Scan`].
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Puts an operation on a key into the mailbox of the shard that owns it.
    pub(super) fn keyed<T>(
        &self,
        key: Key<'_>,
        value_bytes: usize,
        operation: impl FnOnce(ReplyTo<T>) -> Keyed,
    ) -> Reply<T> {
        let sent = key.engine_key(self.shared.route).and_then(|(group, key)| {
            let (reply, outcome) = reply();
            let bytes = key.len() + value_bytes + REQUEST_OVERHEAD_BYTES;
            let mailbox = self.mailbox(self.shared.route.shard(group))?;
            mailbox.push(Request::Keyed(key, operation(reply)), bytes).map(|()| outcome)
        });
        match sent {
            Ok(outcome) => Reply::waiting(outcome),
            Err(error) => Reply::refused(error),
        }
    }

    /// The state of this moment, kept readable: it holds all that was called before on this client and nothing that is called after.
    ///
    /// Dropping the reply releases whatever was pinned.
    ///
    /// # Errors
    /// `Busy` with 1,024 snapshots and open scans; `Closed`.
    pub fn snapshot(&self) -> Reply<Snapshot> {
        let id = self.shared.snapshot_next.fetch_add(1, Ordering::Relaxed);
        // Released on every shard if any of them refuses, or if the reply is dropped.
        let snapshot = Snapshot::new(Arc::clone(&self.shared), id);
        match self.send_all(|reply| Request::Snapshot { id, reply }) {
            Ok(waiting) => Reply::together(async move {
                for outcome in waiting {
                    outcome.await?;
                }
                Ok(snapshot)
            }),
            Err(error) => Reply::refused(error),
        }
    }

    /// Event time, in milliseconds; `None` for a store whose times to live do not follow it ([`crate::TtlTime`]). An opening goes on from that of the
    /// checkpoint.
    pub fn event_time_ms(&self) -> Option<u64> {
        self.shared.clock.event_time_ms()
    }

    /// Moves event time on to `to_ms`, for example with a watermark: what expires up to then is gone. It never goes back. Each checkpoint keeps it.
    ///
    /// # Errors
    /// `Invalid` for a store whose times to live do not follow it ([`crate::TtlTime`]).
    pub fn advance_event_time(&self, to_ms: u64) -> Result<()> {
        self.shared.clock.advance_event_time(to_ms)
    }

    /// The key group of `key` in this store.
    pub fn key_group<'a>(&self, key: impl Into<Key<'a>>) -> u16 {
        key.into().group(self.shared.route.key_groups())
    }

    /// The shard that owns `key`; of a key group that does not exist, the last one.
    pub fn shard_of<'a>(&self, key: impl Into<Key<'a>>) -> usize {
        let group = self.key_group(key).min(self.shared.route.key_groups() - 1);
        self.shared.route.shard(group)
    }

    /// Runs `job` on a shard's own thread, beside its data, as a task of that thread. It shares the thread with every other
    /// operation of the shard: await often, compute little. The job goes on to its end even if the reply is dropped; when the engine is
    /// closed, it is dropped where it waits.
    ///
    /// # Errors
    /// `Invalid` for a shard that does not exist; `Busy`; `Closed`; `Panicked` when the job panicked: it has ended, and all else goes on.
    pub fn run_on_shard<T, F, Fut>(&self, shard: usize, job: F) -> Reply<T>
    where
        F: FnOnce(Shard) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let (to_caller, outcome) = reply();
        let start = Box::new(move |shard: Shard| {
            let core = shard.core();
            core.spawn(async move {
                let done = embedder_panics::run(|| "a job of run_on_shard".to_owned(), || job(shard)).await;
                to_caller.send(done);
            });
        });
        match self
            .mailbox(shard)
            .and_then(|mailbox| mailbox.push(Request::Run(start), REQUEST_OVERHEAD_BYTES))
        {
            Ok(()) => Reply::waiting(outcome),
            Err(error) => Reply::refused(error),
        }
    }

    /// Numbers of every shard. Dropping the future changes nothing.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn stats(&self) -> Result<EngineStats> {
        let shards = self.ask_all(|reply| Request::Stats { reply }).await?;
        Ok(EngineStats { shards })
    }

    /// Asks every shard at once and collects their answers in the order of the shards.
    pub(super) async fn ask_all<T>(&self, request: impl Fn(ReplyTo<T>) -> Request) -> Result<Vec<T>> {
        let waiting = self.send_all(request)?;
        let mut answers = Vec::with_capacity(waiting.len());
        for outcome in waiting {
            answers.push(outcome.await?);
        }
        Ok(answers)
    }

    /// Puts a request into every mailbox, however full.
    fn send_all<T>(&self, request: impl Fn(ReplyTo<T>) -> Request) -> Result<Vec<Answered<T>>> {
        let mut waiting = Vec::with_capacity(self.shared.mailboxes.len());
        for mailbox in &self.shared.mailboxes {
            let (reply, outcome) = reply();
            mailbox.push_control(request(reply))?;
            waiting.push(outcome);
        }
        Ok(waiting)
    }

    pub(super) fn mailbox(&self, shard: usize) -> Result<&Mailbox<Request>> {
        self.shared.mailboxes.get(shard).map(Arc::as_ref).ok_or_else(|| {
            Error::invalid(format!("shard {shard} does not exist; there are {}", self.shared.mailboxes.len()))
        })
    }
}
