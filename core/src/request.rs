//! What callers ask of a shard, and how the answers travel back.

use crate::checkpoint::{BarrierPart, CheckpointRequest};
use crate::error::{Error, Result};
use crate::memtable::Slot;
use crate::shard::Shard;
use crate::shard::scan::{ScanPage, ScanRequest};
use crate::stats::ShardStats;
use bytes::Bytes;
use futures_channel::oneshot;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A closure that starts a task on the shard's thread.
pub(crate) type Job = Box<dyn FnOnce(Shard) + Send>;

/// An operation in a shard's mailbox. Keys are engine keys.
pub(crate) enum Request {
    Get {
        key: Box<[u8]>,
        reply: oneshot::Sender<Result<Option<Bytes>>>,
    },
    Write {
        key: Box<[u8]>,
        slot: Slot,
        reply: oneshot::Sender<Result<()>>,
    },
    Scan {
        request: ScanRequest,
        reply: oneshot::Sender<Result<ScanPage>>,
    },
    /// Everything before it in the mailbox belongs to the checkpoint, nothing after it.
    Barrier {
        reply: oneshot::Sender<BarrierPart>,
    },
    /// Goes to shard 0, which commits the checkpoint once every shard has met its barrier.
    Checkpoint(Box<CheckpointRequest>),
    Stats {
        reply: oneshot::Sender<ShardStats>,
    },
    /// Empties the memory tier of the cache.
    ForgetMemory {
        reply: oneshot::Sender<()>,
    },
    Run(Job),
}

/// The answer to an operation that is already in its shard's mailbox.
///
/// Await it on any runtime or none ([`aquifer_io::block_on`]). Dropping it does not take the operation back: a write is still
/// applied, only its answer is lost.
#[must_use = "the operation is under way; its outcome is only known by awaiting it"]
#[derive(Debug)]
pub struct Reply<T> {
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Waiting(oneshot::Receiver<Result<T>>),
    Refused(Option<Error>),
}

impl<T> Reply<T> {
    pub(crate) fn waiting(receiver: oneshot::Receiver<Result<T>>) -> Self {
        Self { state: State::Waiting(receiver) }
    }

    pub(crate) fn refused(error: Error) -> Self {
        Self { state: State::Refused(Some(error)) }
    }
}

impl<T> Unpin for Reply<T> {}

impl<T> Future for Reply<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            // A lost sender means that the shard ended with the operation still in its mailbox.
            State::Waiting(receiver) => {
                Poll::Ready(ready!(Pin::new(receiver).poll(context)).unwrap_or_else(|_| Err(Error::closed())))
            }
            State::Refused(error) => Poll::Ready(Err(error.take().unwrap_or_else(Error::closed))),
        }
    }
}
