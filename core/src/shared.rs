//! What shards, clients and checkpoints of one engine share.

use crate::clock::Clock;
use crate::compression_options::LevelFormats;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Route;
use crate::mailbox::Mailbox;
use crate::manifest::format::Manifest;
use crate::manifest::store::ManifestStore;
use crate::merge_operator::MergeOperators;
use crate::request::Request;
use aquifer_remote::Remote;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What shards, clients and checkpoints of one engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) remote: Arc<dyn Remote>,
    pub(crate) manifests: ManifestStore,
    pub(crate) route: Route,
    pub(crate) epoch: u64,
    pub(crate) formats: LevelFormats,
    /// Identity of the store.
    pub(crate) store: u64,
    pub(crate) mailboxes: Vec<Arc<Mailbox<Request>>>,
    pub(crate) sequence_next: AtomicU64,
    pub(crate) checkpoint_running: AtomicBool,
    pub(crate) operators: MergeOperators,
    pub(crate) snapshot_next: AtomicU64,
    pub(crate) clock: Clock,
    pub(crate) manifest: Mutex<Manifest>,
    pub(crate) closed: AtomicBool,
    pub(crate) failure: OnceLock<Error>,
    /// How the first shard ended that panicked.
    pub(crate) panicked: OnceLock<Error>,
}

impl Shared {
    /// A sequence number for a segment: higher is newer.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence_next.fetch_add(1, Ordering::AcqRel)
    }

    pub(crate) fn manifest(&self) -> Manifest {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_manifest(&self, manifest: Manifest) {
        *self.manifest.lock().unwrap_or_else(PoisonError::into_inner) = manifest;
    }

    /// Refuses writes from now on, with this error. The first one counts.
    pub(crate) fn poison(&self, error: Error) {
        drop(self.failure.set(error));
    }

    /// Notes that a shard has ended by a panic: what everybody hears from now on who needs it, or any write to last.
    pub(crate) fn shard_panicked(&self, shard: usize, message: &str) -> Error {
        let error = Error::new(
            ErrorKind::Closed,
            format!(
                "shard {shard} has ended by a panic, which is a bug: {message}; what was written since the last checkpoint is lost: close the \
                 engine and open it again"
            ),
        );
        drop(self.panicked.set(error.clone()));
        error
    }

    /// Why nothing that is written lasts any more.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.panicked.get().or_else(|| self.failure.get()).cloned()
    }

    /// Whether writes may go on.
    pub(crate) fn check_writable(&self) -> Result<()> {
        match self.failure() {
            Some(error) => Err(error),
            None if self.is_closed() => Err(Error::closed()),
            None => Ok(()),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Closed, or refusing writes.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_closed() || self.failure.get().is_some() || self.panicked.get().is_some()
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let closed = Error::closed();
        self.mailboxes.iter().for_each(|mailbox| mailbox.close(&closed));
    }
}
