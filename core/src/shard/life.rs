//! The life of a shard: its loop takes one request after another out of the mailbox, until that is closed or the shard panics.

use crate::embedder_panics;
use crate::error::{Error, Result};
use crate::limits::MAILBOX_BATCH;
use crate::mailbox::Mailbox;
use crate::opening::ShardOpening;
use crate::reply::because;
use crate::request::Request;
use crate::shard::compaction;
use crate::shard::handle::Shard;
use crate::shard::local_copies::keep;
use crate::shard::shard_core::{ShardCore, ShardStart, open};
use crate::shard::warm_up::fetch;
use crate::shard::writes::flush;
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

/// A shard's life: it opens, says how that went, and serves its mailbox until that is closed.
pub(crate) async fn live(
    start: ShardStart,
    mailbox: Arc<Mailbox<Request>>,
    opening: Option<ShardOpening>,
    ready: oneshot::Sender<Result<()>>,
) {
    let core = match open(start).await {
        Ok(core) => core,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if let Some(opening) = opening {
        let outcome = {
            // Nobody has a client yet: the mailbox only says that the opening was given up.
            let mut nothing = VecDeque::new();
            let (pinned, given_up) = (core.open_pinned(opening), mailbox.take_all(&mut nothing));
            futures_util::pin_mut!(pinned, given_up);
            match select(pinned, given_up).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => Err(Error::closed()),
            }
        };
        if let Err(error) = outcome {
            // What is local by now is there for the next to open the store here.
            core.blocks.cache.close().await;
            return drop(ready.send(Err(error)));
        }
    }
    drop(ready.send(Ok(())));
    run(core, mailbox).await;
}

/// Serves the mailbox until it is closed, or something of the shard panics; then ends all that the shard does, at once.
async fn run(core: Rc<ShardCore>, mailbox: Arc<Mailbox<Request>>) {
    core.spawn(flush::run(Rc::clone(&core)));
    core.spawn(compaction::task::run(Rc::clone(&core)));
    core.spawn(fetch::run(Rc::clone(&core)));
    if core.keeper.is_some() {
        core.spawn(keep::run(Rc::clone(&core)));
    }
    core.note_depth();
    // Unwind safe: after a panic nothing of the shard is asked any more.
    let mut serving = Box::pin(AssertUnwindSafe(serve(&core, &mailbox)).catch_unwind());
    let panicked = {
        let panicked = std::pin::pin!(aquifer_io::vital_panic());
        let closed = std::pin::pin!(mailbox.closed());
        let served = async { serving.as_mut().await.err() };
        let served = std::pin::pin!(served);
        match select(served, select(closed, panicked)).await {
            Either::Left((served, _)) => {
                served.map(|payload| embedder_panics::message(payload.as_ref()).to_owned())
            }
            Either::Right((Either::Left(_), _)) => None,
            Either::Right((Either::Right((message, _)), _)) => Some(message),
        }
    };
    let why = match &panicked {
        None => mailbox.closed().await,
        Some(message) => core.shared.shard_panicked(core.id, message),
    };
    mailbox.close(&why);
    // What is being handled, and what was taken out of the mailbox with it.
    because(&why, || drop(serving));
    because(&why, || core.waiting.clear());
    core.end_tasks(&why).await;
    because(&why, || core.flushes.clear());
    if panicked.is_none() {
        core.resized().await;
        // What is on the SSD is there for the next to open the store here.
        core.blocks.cache.close().await;
    }
}

/// Handles what is in the mailbox, in order, until it is closed.
async fn serve(core: &Rc<ShardCore>, mailbox: &Mailbox<Request>) {
    let mut batch = VecDeque::new();
    while mailbox.take_all(&mut batch).await {
        let mut handled = 0;
        while let Some(request) = batch.pop_front() {
            core.handle(request).await;
            handled += 1;
            if handled % MAILBOX_BATCH == 0 {
                aquifer_io::yield_now().await;
            }
        }
        aquifer_io::yield_now().await;
    }
}

impl ShardCore {
    async fn handle(self: &Rc<Self>, request: Request) {
        match request {
            Request::Keyed(key, keyed) => self.in_turn(key, keyed).await,
            Request::MultiGet { keys, ask, reply } => {
                self.after_all().await;
                self.effect_multi_get(keys, ask, reply).await;
            }
            Request::Batch { writes, reply } => {
                self.after_all().await;
                reply.send(self.apply_batch(&writes).await);
            }
            Request::ScanGroups { request, reply } => {
                self.after_all().await;
                self.effect_scan_groups(request, reply).await;
            }
            Request::Scan { request, reply } => {
                self.after_all().await;
                self.effect_scan(request, reply).await;
            }
            Request::Snapshot { id, reply } => {
                self.after_all().await;
                reply.send(self.pin_snapshot(id));
            }
            Request::ReleaseSnapshot { id } => self.release_snapshot(id),
            Request::Barrier { reply } => {
                self.after_all().await;
                self.freeze_for_barrier(reply);
            }
            Request::Checkpoint(request) => {
                let shared = Arc::clone(&self.shared);
                self.spawn(crate::checkpoint::commit(shared, *request));
            }
            Request::Stats { reply } => reply.send(Ok(self.stats())),
            Request::ForgetMemory { reply } => {
                self.blocks.cache.set_memory_bytes(0);
                self.cache_share.set(0);
                self.balance_memory();
                reply.send(Ok(()));
            }
            Request::SetMemory { budget, reply } => self.set_memory(&budget, reply),
            Request::SetDisk { disk_bytes, reply } => self.set_disk(disk_bytes, reply),
            Request::Run(job) => job(Shard::new(Rc::clone(self))),
        }
    }
}
