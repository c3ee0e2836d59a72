//! Settles put-if-absents whose answer was lost.
//!
//! ```text
//! put_if_absent ─> Created, Exists, an error: passed on
//!              └─> InDoubt ─> read back ─ our bytes ──> Created
//!                     ^          ├─────── other bytes > Exists
//!                     │          └─────── no object ──> put the same bytes again ─> Created
//!                     └──────────────────────────────────────┴─ Exists, InDoubt: read back
//! ```
//!
//! It rests on the content being the caller's alone (a random number in it): who finds his bytes in place wrote them. The first
//! attempt may still reach the store after "no object": then it finds the second one's object, or the second one finds its, and
//! the bytes are the same. What it cannot see is an object that was made and then deleted by somebody else: names that are
//! claimed this way are not deleted while a claim may be under way.
//!
//! Invariants:
//! * Without doubt not one request more is made.
//! * All ends by the deadline of the call, longer by the patience for a store that answers but cannot (`patience.rs`); what is not
//!   settled by then is `InDoubt`, as before.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aquifer_io::{Backoff, Instant, now};
use bytes::Bytes;

use super::patience::Patience;
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::options::RemoteOptions;
use crate::store::{ListPage, ObjectMeta, PutOutcome, Remote, RemoteFuture, Upload};
use crate::timer::{Timers, within};

/// Times that the same bytes are put again after "no object".
const ROUNDS_MAX: usize = 5;

#[derive(Debug)]
struct Resolve {
    inner: Arc<dyn Remote>,
    options: RemoteOptions,
    backoff: Backoff,
    patience: Arc<Patience>,
}

/// What stands under the name.
enum Found {
    Ours,
    Others,
    Nothing,
}

/// Puts it around a store.
pub(crate) fn resolved(
    inner: Arc<dyn Remote>,
    options: &RemoteOptions,
    backoff: Backoff,
    patience: Arc<Patience>,
) -> Arc<dyn Remote> {
    Arc::new(Resolve { inner, options: options.clone(), backoff, patience })
}

/// One put-if-absent that has to be settled.
struct Claim {
    inner: Arc<dyn Remote>,
    name: ObjectName,
    content: Content,
    backoff: Backoff,
    timers: Timers,
    begun: Instant,
    patience: Arc<Patience>,
}

impl Claim {
    async fn settle(self, mut outcome: Result<PutOutcome, RemoteError>) -> Result<PutOutcome, RemoteError> {
        let mut lost: Option<RemoteError> = None;
        for round in 0.. {
            let exists = match outcome {
                Ok(PutOutcome::Created) => return Ok(PutOutcome::Created),
                Ok(PutOutcome::Exists) => true,
                Err(error) if error.kind() == RemoteErrorKind::InDoubt => {
                    lost = Some(error);
                    false
                }
                // This attempt was not applied, but an earlier one may be.
                Err(error) => return Err(lost.unwrap_or(error)),
            };
            match (self.look().await, exists) {
                (Ok(Found::Ours), _) => return Ok(PutOutcome::Created),
                (Ok(Found::Others), _) => return Ok(PutOutcome::Exists),
                (Ok(Found::Nothing), true) => return lost.map_or(Ok(PutOutcome::Exists), Err),
                (Ok(Found::Nothing), false) => {}
                (Err(error), _) => return Err(lost.unwrap_or_else(|| self.cannot_look(&error))),
            }
            let patience = lost.as_ref().map_or(Duration::ZERO, |lost| self.patience.limit_of_doubt(lost));
            if round >= ROUNDS_MAX && self.begun.elapsed() >= patience {
                break;
            }
            self.timers.wait(self.backoff.pause(round)).await;
            outcome = self.inner.put_if_absent(&self.name, self.content.clone()).await;
        }
        Err(lost.unwrap_or_else(|| unsettled(&self.name)))
    }

    /// Reads the object back. One that is longer than what was written is not ours, and is not read.
    async fn look(&self) -> Result<Found, RemoteError> {
        match self.inner.get(&self.name, self.content.bytes()).await {
            Ok(bytes) if same(&bytes, &self.content) => Ok(Found::Ours),
            Ok(_) => Ok(Found::Others),
            Err(error) if error.kind() == RemoteErrorKind::TooLarge => Ok(Found::Others),
            Err(error) if error.kind() == RemoteErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    fn cannot_look(&self, error: &RemoteError) -> RemoteError {
        RemoteError::new(RemoteErrorKind::InDoubt, "put_if_absent")
            .with_object(&self.name)
            .with_cause(format!("the name is taken, and who took it cannot be read back: {error}"))
    }
}

fn unsettled(name: &ObjectName) -> RemoteError {
    RemoteError::new(RemoteErrorKind::InDoubt, "put_if_absent")
        .with_object(name)
        .with_cause("reading it back did not settle it in time")
}

fn same(bytes: &Bytes, content: &Content) -> bool {
    let mut rest: &[u8] = bytes;
    for chunk in content.chunks() {
        match rest.strip_prefix(&chunk[..]) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

fn time_left(begun: Instant, deadline: Duration) -> Duration {
    deadline.saturating_sub(begun.elapsed())
}

impl Remote for Resolve {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome> {
        let begun = now();
        let first = self.inner.put_if_absent(name, content.clone());
        let doubts_exists = self.options.exists_read_back;
        let (deadline, timers) = (self.options.deadline_of(content.bytes()), self.options.timers);
        let patience = Arc::clone(&self.patience);
        let claim = Claim {
            inner: Arc::clone(&self.inner),
            name: name.clone(),
            content,
            backoff: self.backoff,
            timers,
            begun,
            patience: Arc::clone(&patience),
        };
        Box::pin(async move {
            let outcome = first.await;
            let lost = match &outcome {
                Err(error) if error.kind() == RemoteErrorKind::InDoubt => error.clone(),
                Ok(PutOutcome::Exists) if doubts_exists => unsettled(&claim.name),
                _ => return outcome,
            };
            let deadline = deadline.saturating_add(patience.limit_of_doubt(&lost));
            let settled = Box::pin(claim.settle(outcome));
            within(timers, time_left(begun, deadline), settled, || lost).await
        })
    }

    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        self.inner.put(name, content)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        self.inner.get(name, bytes_max)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        self.inner.get_range(name, range)
    }

    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        self.inner.head(name)
    }

    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        self.inner.delete(name)
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
    ) -> RemoteFuture<ListPage> {
        self.inner.list(prefix, start_after, entries_max)
    }

    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        self.inner.upload(name)
    }
}
