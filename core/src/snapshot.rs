//! Snapshots as callers hold them.

use crate::request::Request;
use crate::shared::Shared;
use std::fmt;
use std::sync::Arc;

/// The state of one moment, readable until this and all its clones are dropped: everything that the client was asked for before
/// [`crate::Client::snapshot`], nothing after it. Lives in memory of this engine only; a checkpoint is what outlives it.
///
/// Holding one keeps what later writes replace: at most the memtables of its moment, once more, on the DFS. Times to live go on:
/// what has expired at the time of a read is gone from snapshots as well.
#[derive(Clone, Debug)]
pub struct Snapshot {
    held: Arc<Held>,
}

struct Held {
    shared: Arc<Shared>,
    id: u64,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Shared>, id: u64) -> Self {
        Self { held: Arc::new(Held { shared, id }) }
    }

    pub(crate) fn id(&self) -> u64 {
        self.held.id
    }

    /// Whether it is one of this engine's.
    pub(crate) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.held.shared, shared)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for mailbox in &self.shared.mailboxes {
            // A shard that has ended holds nothing any more.
            drop(mailbox.push_control(Request::ReleaseSnapshot { id: self.id }));
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("id", &self.id).finish()
    }
}
