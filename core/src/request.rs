//! What callers ask of a shard, and how the answers travel back.

use crate::answer::{Answer, CompareOutcome};
use crate::checkpoint_parts::{BarrierPart, CheckpointRequest};
use crate::error::{Error, Result};
use crate::key_ref::{EngineRange, Stretches};
use crate::reply::{Answered, ReplyTo};
use crate::scan_page::ScanPage;
use crate::shard::handle::Shard;
use crate::shard_budget::ShardBudget;
use crate::stats::ShardStats;
use crate::write::Write;
use aquifer_io::Instant;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A closure that starts a task on the shard's thread.
pub(crate) type Job = Box<dyn FnOnce(Shard) + Send>;

/// An operation in a shard's mailbox. Keys are engine keys.
pub(crate) enum Request {
    /// What concerns one key: its order among others of that key counts.
    Keyed(Box<[u8]>, Keyed),
    MultiGet {
        keys: Vec<Box<[u8]>>,
        ask: MultiGetAsk,
        reply: ReplyTo<Vec<Result<Answer>>>,
    },
    /// Writes that take effect together.
    Batch {
        writes: Vec<(Box<[u8]>, Write)>,
        reply: ReplyTo<()>,
    },
    Scan {
        request: ScanRequest,
        reply: ReplyTo<ScanPage>,
    },
    /// A page of the first of several key groups that has an entry.
    ScanGroups {
        request: GroupsRequest,
        reply: ReplyTo<ScanPage>,
    },
    /// Pins the state of this moment under a number that the caller chose.
    Snapshot {
        id: u64,
        reply: ReplyTo<()>,
    },
    ReleaseSnapshot {
        id: u64,
    },
    /// Everything before it in the mailbox belongs to the checkpoint, nothing after it.
    Barrier {
        reply: ReplyTo<BarrierPart>,
    },
    /// Goes to shard 0, which commits the checkpoint once every shard has met its barrier.
    Checkpoint(Box<CheckpointRequest>),
    Stats {
        reply: ReplyTo<ShardStats>,
    },
    /// Empties the memory tier of the cache.
    #[cfg_attr(
        not(feature = "internals"),
        expect(dead_code, reason = "only measurements ask for it, which have this feature")
    )]
    ForgetMemory {
        reply: ReplyTo<()>,
    },
    /// Goes on with its share of another memory budget, which is known to be enough.
    SetMemory {
        budget: Box<ShardBudget>,
        reply: ReplyTo<()>,
    },
    /// Goes on with another budget for the SSD tier: this shard's share.
    SetDisk {
        disk_bytes: u64,
        reply: ReplyTo<()>,
    },
    Run(Job),
}

/// What a scan of several key groups asks one shard for.
#[derive(Clone, Debug)]
pub(crate) struct GroupsRequest {
    pub(crate) stretches: Stretches,
    pub(crate) reverse: bool,
    pub(crate) entries_max: usize,
    /// A snapshot to read; the present state, of each key group when it is its turn, if `None`.
    pub(crate) snapshot: Option<u64>,
}

/// What a scan asks for.
#[derive(Clone, Debug)]
pub(crate) struct ScanRequest {
    pub(crate) range: EngineRange,
    pub(crate) reverse: bool,
    pub(crate) entries_max: usize,
    /// A snapshot to read; the present state if `None`.
    pub(crate) snapshot: Option<u64>,
    /// Pin what the page saw under this number if there is more, so that later pages see the same.
    pub(crate) pin: Option<u64>,
}

/// How a multi-get reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MultiGetAsk {
    /// A snapshot to read; the present state if `None`.
    pub(crate) snapshot: Option<u64>,
    /// Keys that have no answer by then are answered with [`crate::Source::TimedOut`].
    pub(crate) deadline: Option<Instant>,
    /// Once values take so much, the other keys are left for another call.
    pub(crate) bytes_max: usize,
}

/// An operation on one key.
pub(crate) enum Keyed {
    Get {
        snapshot: Option<u64>,
        reply: ReplyTo<Option<Bytes>>,
    },
    Write {
        write: Write,
        reply: ReplyTo<()>,
    },
    /// `write`, if the key has the value `expected` (`None`: no value).
    Compare {
        expected: Option<Box<[u8]>>,
        write: Write,
        reply: ReplyTo<CompareOutcome>,
    },
}

/// The answer to an operation that is already in its shard's mailbox, or in the mailboxes of all shards that it concerns.
///
/// Await it on any runtime or none ([`crate::block_on`]). Dropping it, also between two polls, does not take the operation back: a write
/// is still applied, only its answer is lost.
#[must_use = "the operation is under way; its outcome is only known by awaiting it"]
#[derive(Debug)]
pub struct Reply<T> {
    state: State<T>,
}

enum State<T> {
    /// For one shard.
    Waiting(Answered<T>),
    /// For several, whose answers are put together.
    Together(Together<T>),
    Refused(Option<Error>),
}

type Together<T> = Pin<Box<dyn Future<Output = Result<T>> + Send + Sync>>;

impl<T> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(_) => f.write_str("Waiting"),
            Self::Together(_) => f.write_str("Together"),
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
        }
    }
}

impl<T> Reply<T> {
    pub(crate) fn waiting(answer: Answered<T>) -> Self {
        Self { state: State::Waiting(answer) }
    }

    /// `answers` only waits: what was asked for is in the mailboxes.
    pub(crate) fn together(answers: impl Future<Output = Result<T>> + Send + Sync + 'static) -> Self {
        Self { state: State::Together(Box::pin(answers)) }
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
            State::Waiting(answer) => Pin::new(answer).poll(context),
            State::Together(answers) => answers.as_mut().poll(context),
            State::Refused(error) => Poll::Ready(Err(error.take().unwrap_or_else(Error::closed))),
        }
    }
}
