//! Reads taking effect: what they see is fixed when the loop meets them; what memory does not hold is read by tasks of their own.

use crate::answer::Answer;
use crate::error::Result;
use crate::limits::READS_IN_FLIGHT_MAX;
use crate::reply::ReplyTo;
use crate::request::{GroupsRequest, MultiGetAsk, ScanRequest};
use crate::scan_page::ScanPage;
use crate::shard::reads::lookup::Now;
use crate::shard::reads::multi_get;
use crate::shard::shard_core::ShardCore;
use bytes::Bytes;
use std::rc::Rc;

/// Reads that are counted as under way until this is dropped, however they end.
struct ReadsInFlight {
    core: Rc<ShardCore>,
    reads: usize,
}

impl ReadsInFlight {
    fn new(core: &Rc<ShardCore>, reads: usize) -> Self {
        core.reads_in_flight.set(core.reads_in_flight.get() + reads);
        Self { core: Rc::clone(core), reads }
    }
}

impl Drop for ReadsInFlight {
    fn drop(&mut self) {
        self.core.reads_in_flight.set(self.core.reads_in_flight.get() - self.reads);
        self.core.progress.notify();
    }
}

impl ShardCore {
    pub(crate) async fn effect_get(
        self: &Rc<Self>,
        key: &[u8],
        snapshot: Option<u64>,
        reply: ReplyTo<Option<Bytes>>,
    ) {
        if !self.has_room_for_answers()
            && let Err(error) = self.room_for_answers().await
        {
            return reply.send(Err(error));
        }
        let view = snapshot.map(|snapshot| self.view_of(snapshot)).transpose();
        match view.and_then(|view| self.get_now(key, view.as_ref())) {
            Ok(Now::Known(answer)) => self.answer_to(reply, Ok(answer.value)),
            Err(error) => reply.send(Err(error)),
            Ok(Now::Waits(pending)) => {
                let (core, key) = (Rc::clone(self), Box::<[u8]>::from(key));
                let read = async move {
                    let answer = core.get_waiting(&key, pending).await;
                    core.answer_to(reply, answer.map(|answer| answer.value));
                };
                self.spawn_read(1, read).await;
            }
        }
    }

    /// Runs so many reads as a task of its own; rests while too many are under way.
    pub(crate) async fn spawn_read(self: &Rc<Self>, reads: usize, read: impl Future<Output = ()> + 'static) {
        self.progress.wait(|| (self.reads_in_flight.get() < READS_IN_FLIGHT_MAX).then_some(())).await;
        let in_flight = ReadsInFlight::new(self, reads);
        self.spawn(async move {
            read.await;
            drop(in_flight);
        });
    }

    /// A batch of reads: what it sees is fixed now.
    pub(crate) async fn effect_multi_get(
        self: &Rc<Self>,
        keys: Vec<Box<[u8]>>,
        ask: MultiGetAsk,
        reply: ReplyTo<Vec<Result<Answer>>>,
    ) {
        if let Err(error) = self.room_for_answers().await {
            return reply.send(Err(error));
        }
        let view = match ask.snapshot.map(|snapshot| self.view_of(snapshot)).transpose() {
            Ok(view) => view,
            Err(error) => return reply.send(Err(error)),
        };
        let batch = self.multi_get_now(keys, view.as_ref(), ask.bytes_max);
        if batch.is_complete() {
            let grant = self.grant(batch.bytes());
            return reply.send_counted(Ok(multi_get::finish(self, batch)), grant);
        }
        let core = Rc::clone(self);
        let reads = batch.waits();
        let read = async move {
            let (answers, bytes) = core.multi_get(batch, ask.deadline).await;
            reply.send_counted(Ok(answers), core.grant(bytes));
        };
        self.spawn_read(reads, read).await;
    }

    /// A page of a scan: what memtables hold is taken now; blocks are read by a task.
    pub(crate) async fn effect_scan(self: &Rc<Self>, request: ScanRequest, reply: ReplyTo<ScanPage>) {
        if let Err(error) = self.room_for_answers().await {
            return reply.send(Err(error));
        }
        match self.begin_scan(request) {
            Ok(scan) => {
                let core = Rc::clone(self);
                let read = async move {
                    let page = core.scan(scan).await;
                    let bytes = page.as_ref().map_or(0, ScanPage::bytes);
                    reply.send_counted(page, core.grant(bytes));
                };
                self.spawn_read(1, read).await;
            }
            Err(error) => reply.send(Err(error)),
        }
    }

    /// A page of a scan over several key groups, read by a task.
    pub(crate) async fn effect_scan_groups(
        self: &Rc<Self>,
        request: GroupsRequest,
        reply: ReplyTo<ScanPage>,
    ) {
        if let Err(error) = self.room_for_answers().await {
            return reply.send(Err(error));
        }
        let core = Rc::clone(self);
        let read = async move {
            let page = core.scan_groups(request).await;
            let bytes = page.as_ref().map_or(0, ScanPage::bytes);
            reply.send_counted(page, core.grant(bytes));
        };
        self.spawn_read(1, read).await;
    }
}
