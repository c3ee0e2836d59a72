//! Limits on what is in flight, one pair for requests that somebody waits for and one for background work.
//!
//! ```text
//! foreground ─┬─ requests: a permit each ─┬─> store      who finds no permit waits in line,
//!             └─ bytes: a permit a KiB  ──┘              first come first served
//! background ─── its own two ───────────────> store
//! ```
//!
//! Invariants:
//! * Requests and bytes of a class in flight never pass its limits. Bytes count as many as a request may move at most: the length of a
//!   range, the limit of a `get`. One that is larger than the whole limit waits until nothing else is under way and goes alone.
//! * A request that waits or runs and is dropped gives back what it held or was promised.
//! * Nothing waits for one permit while it holds the other in a circle: requests come first, then bytes.
//!
//! Parts of an upload are not counted: their order is the order of the calls, and the caller bounds how many there are.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::layer::{Layer, Request, layered};
use super::operation::Answer;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::store::{Remote, RemoteFuture};

const KIB: u64 = 1 << 10;
/// More KiB than this (1 TiB) are no limit.
const KIB_MAX: u64 = 1 << 30;

/// What one class of requests may have in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimit {
    /// Requests at once, at least 1.
    pub requests_max: usize,
    /// Bytes at once, either way, at least 1; counted in KiB, rounded up.
    pub bytes_max: u64,
}

/// What one class has in flight now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Requests.
    pub requests: usize,
    /// Bytes they may move at most, each rounded up to KiB, and what is promised to the first in line.
    pub bytes: u64,
}

/// The limits of one store. Any number of stores and wrappers may share them.
#[derive(Debug)]
pub struct Limits {
    foreground: Arc<Gate>,
    background: Arc<Gate>,
}

impl Limits {
    /// New limits, with nothing in flight.
    ///
    /// # Errors
    /// Kind `Invalid` for a limit of 0.
    pub fn new(foreground: ClassLimit, background: ClassLimit) -> Result<Arc<Self>, RemoteError> {
        Ok(Arc::new(Self { foreground: Gate::new(foreground)?, background: Gate::new(background)? }))
    }

    /// The store for requests that somebody waits for: reads of the hot path.
    #[must_use]
    pub fn foreground(&self, remote: Arc<dyn Remote>) -> Arc<dyn Remote> {
        layered(remote, Arc::clone(&self.foreground))
    }

    /// The store for work that can wait: compaction, uploads, warming up.
    #[must_use]
    pub fn background(&self, remote: Arc<dyn Remote>) -> Arc<dyn Remote> {
        layered(remote, Arc::clone(&self.background))
    }

    /// What the foreground has in flight.
    #[must_use]
    pub fn foreground_in_flight(&self) -> InFlight {
        self.foreground.in_flight()
    }

    /// What the background has in flight.
    #[must_use]
    pub fn background_in_flight(&self) -> InFlight {
        self.background.in_flight()
    }

    pub(super) fn foreground_gate(&self) -> Arc<Gate> {
        Arc::clone(&self.foreground)
    }
}

/// The permits of one class.
#[derive(Debug)]
pub(super) struct Gate {
    requests: Arc<Semaphore>,
    requests_max: usize,
    kib: Arc<Semaphore>,
    kib_max: u32,
}

/// Held while a request is in flight.
#[derive(Debug)]
pub(super) struct Permit {
    _request: OwnedSemaphorePermit,
    _kib: OwnedSemaphorePermit,
}

impl Gate {
    fn new(limit: ClassLimit) -> Result<Arc<Self>, RemoteError> {
        if limit.requests_max == 0 || limit.bytes_max == 0 {
            return Err(RemoteError::new(RemoteErrorKind::Invalid, "open")
                .with_cause("a limit of requests or bytes in flight is 0: nothing could run"));
        }
        let requests_max = limit.requests_max.min(Semaphore::MAX_PERMITS);
        let kib_max = u32::try_from(limit.bytes_max.div_ceil(KIB).min(KIB_MAX)).unwrap_or(u32::MAX >> 3);
        Ok(Arc::new(Self {
            requests: Arc::new(Semaphore::new(requests_max)),
            requests_max,
            kib: Arc::new(Semaphore::new(usize::try_from(kib_max).unwrap_or(Semaphore::MAX_PERMITS))),
            kib_max,
        }))
    }

    fn kib_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX).min(self.kib_max)
    }

    /// Permits at once or not at all; never past those that wait.
    pub(super) fn try_pass(&self, bytes: u64) -> Option<Permit> {
        let request = Arc::clone(&self.requests).try_acquire_owned().ok()?;
        let kib = Arc::clone(&self.kib).try_acquire_many_owned(self.kib_of(bytes)).ok()?;
        Some(Permit { _request: request, _kib: kib })
    }

    /// Permits in turn. None only if the semaphores were closed, which nobody does.
    async fn pass(&self, bytes: u64) -> Option<Permit> {
        let request = Arc::clone(&self.requests).acquire_owned().await.ok()?;
        let kib = Arc::clone(&self.kib).acquire_many_owned(self.kib_of(bytes)).await.ok()?;
        Some(Permit { _request: request, _kib: kib })
    }

    fn in_flight(&self) -> InFlight {
        let free = u64::try_from(self.kib.available_permits()).unwrap_or(u64::MAX);
        InFlight {
            requests: self.requests_max.saturating_sub(self.requests.available_permits()),
            bytes: u64::from(self.kib_max).saturating_sub(free) * KIB,
        }
    }
}

impl Layer for Gate {
    fn run<T: Answer>(
        self: &Arc<Self>,
        request: Request,
        send: impl Fn() -> RemoteFuture<T> + Send + 'static,
    ) -> RemoteFuture<T> {
        let bytes = request.moved_bytes_max();
        if let Some(permit) = self.try_pass(bytes) {
            let sent = send();
            return Box::pin(async move {
                let outcome = sent.await;
                drop(permit);
                outcome
            });
        }
        let gate = Arc::clone(self);
        Box::pin(async move {
            let permit = gate.pass(bytes).await;
            let outcome = send().await;
            drop(permit);
            outcome
        })
    }
}
