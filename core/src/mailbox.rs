//! A shard's mailbox: any thread puts operations in, the shard takes them all at once.
//!
//! Operations of one caller keep the order of its calls. The lock is held for a push or a swap of two queues, never while an operation runs.
//!
//! No wake is lost: the consumer leaves its waker under the same lock under which it found nothing, and whoever puts something in takes it
//! there. `mailbox_test.rs` has each interleaving tried, on this very file.

use super::sync::{Mutex, MutexGuard, PoisonError};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MAILBOX_ENTRIES_MAX;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A bounded queue of `M`, many producers, one consumer.
pub(crate) struct Mailbox<M> {
    state: Mutex<State<M>>,
}

struct State<M> {
    queue: VecDeque<M>,
    bytes: usize,
    bytes_max: usize,
    consumer: Option<Waker>,
    closed: bool,
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Mailbox")
            .field("waiting", &state.queue.len())
            .field("bytes", &state.bytes)
            .finish_non_exhaustive()
    }
}

impl<M> Mailbox<M> {
    /// A mailbox that holds at most `bytes_max` bytes of keys and values, and always at least one operation.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let state = State { queue: VecDeque::new(), bytes: 0, bytes_max, consumer: None, closed: false };
        Self { state: Mutex::new(state) }
    }

    /// Changes how many bytes it holds at most; what waits in it stays.
    pub(crate) fn set_bytes_max(&self, bytes_max: usize) {
        self.lock().bytes_max = bytes_max;
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // Nothing that runs under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an operation of `bytes` in.
    ///
    /// # Errors
    /// `Busy` when it is full: await some operations first. `Closed` after [`Self::close`].
    pub(crate) fn push(&self, message: M, bytes: usize) -> Result<()> {
        let state = self.lock();
        let full =
            state.queue.len() >= MAILBOX_ENTRIES_MAX || state.bytes.saturating_add(bytes) > state.bytes_max;
        if full && !state.queue.is_empty() && !state.closed {
            return Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "{} operations with {} bytes wait in this shard's mailbox already: await some before issuing more",
                    state.queue.len(),
                    state.bytes
                ),
            ));
        }
        Self::enqueue(state, message, bytes)
    }

    /// Puts a control message in, however full it is. Their number is bounded by whoever sends them.
    pub(crate) fn push_control(&self, message: M) -> Result<()> {
        Self::enqueue(self.lock(), message, 0)
    }

    fn enqueue(mut state: MutexGuard<'_, State<M>>, message: M, bytes: usize) -> Result<()> {
        if state.closed {
            return Err(Error::closed());
        }
        state.queue.push_back(message);
        state.bytes += bytes;
        let consumer = state.consumer.take();
        drop(state);
        if let Some(consumer) = consumer {
            consumer.wake();
        }
        Ok(())
    }

    /// Waits for operations and moves all of them into `batch`, which must be empty. `false` once the mailbox is closed.
    pub(crate) async fn take_all(&self, batch: &mut VecDeque<M>) -> bool {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.closed {
                return Poll::Ready(false);
            }
            if state.queue.is_empty() {
                state.consumer = Some(context.waker().clone());
                return Poll::Pending;
            }
            std::mem::swap(&mut state.queue, batch);
            state.bytes = 0;
            Poll::Ready(true)
        })
        .await
    }

    /// Refuses everything from now on and drops what waits: its callers learn that the engine is closed.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let dropped = std::mem::take(&mut state.queue);
        let consumer = state.consumer.take();
        drop(state);
        drop(dropped);
        if let Some(consumer) = consumer {
            consumer.wake();
        }
    }
}
