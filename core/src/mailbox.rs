//! A shard's mailbox: any thread puts operations in, the shard takes them all at once.
//!
//! Operations of one caller keep the order of its calls. The lock is held for a push or a swap of two queues, never while an operation runs.
//!
//! No wake is lost: the consumer leaves its waker under the same lock under which it found nothing, and whoever puts something in takes it
//! there. `mailbox_test.rs` has each interleaving tried, on this very file.

use super::sync::{AtomicBool, Mutex, MutexGuard, Ordering, PoisonError};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MAILBOX_ENTRIES_MAX;
use crate::reply::because;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A bounded queue of `M`, many producers, one consumer.
pub(crate) struct Mailbox<M> {
    state: Mutex<State<M>>,
    /// Set with the state's `closed`, so that the consumer can look without the lock.
    is_closed: AtomicBool,
}

struct State<M> {
    queue: VecDeque<M>,
    bytes: usize,
    bytes_max: usize,
    consumer: Option<Waker>,
    /// Who waits until it is closed.
    watcher: Option<Waker>,
    /// Why it takes nothing any more.
    closed: Option<Error>,
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
        let state = State {
            queue: VecDeque::new(),
            bytes: 0,
            bytes_max,
            consumer: None,
            watcher: None,
            closed: None,
        };
        Self { state: Mutex::new(state), is_closed: AtomicBool::new(false) }
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
    /// `Busy` when it is full: await some operations first. After [`Self::close`] what that said.
    pub(crate) fn push(&self, message: M, bytes: usize) -> Result<()> {
        let state = self.lock();
        let full =
            state.queue.len() >= MAILBOX_ENTRIES_MAX || state.bytes.saturating_add(bytes) > state.bytes_max;
        if full && !state.queue.is_empty() && state.closed.is_none() {
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
        if let Some(error) = &state.closed {
            return Err(error.clone());
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
            if state.closed.is_some() {
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

    /// Waits until it is closed, whatever is in it: for the consumer while it does something else. Why it is closed.
    pub(crate) async fn closed(&self) -> Error {
        let mut known: Option<Waker> = None;
        poll_fn(|context| {
            let is_known = known.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
            if is_known && !self.is_closed.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            let mut state = self.lock();
            if let Some(error) = &state.closed {
                return Poll::Ready(error.clone());
            }
            state.watcher = Some(context.waker().clone());
            known = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Refuses everything from now on with `error`, and drops what waits: its callers hear the same. The first call counts.
    pub(crate) fn close(&self, error: &Error) {
        let mut state = self.lock();
        let error = state.closed.get_or_insert_with(|| error.clone()).clone();
        self.is_closed.store(true, Ordering::Release);
        let dropped = std::mem::take(&mut state.queue);
        let woken = [state.consumer.take(), state.watcher.take()];
        drop(state);
        because(&error, || drop(dropped));
        woken.into_iter().flatten().for_each(Waker::wake);
    }
}
