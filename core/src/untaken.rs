//! Answers that nobody has taken yet: their bytes are counted from the moment a shard gives them until their caller takes or drops them.
//!
//! ```text
//! shard:   grant ── bytes up ──┐                      ┌── below its share again: goes on with new reads
//! caller:                      └─ takes or drops it ──┘   bytes down, the shard is woken if it waits
//! ```

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// What of one shard's answers is with nobody.
#[derive(Debug, Default)]
pub(crate) struct Untaken {
    bytes: AtomicUsize,
    /// Some of the shard's tasks wait for less.
    waits: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

/// Bytes that count until this is dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    untaken: Arc<Untaken>,
    bytes: usize,
}

impl Untaken {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Counts so many bytes more.
    pub(crate) fn grant(self: &Arc<Self>, bytes: usize) -> Grant {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        Grant { untaken: Arc::clone(self), bytes }
    }

    /// Waits until there are fewer than `bytes`. Those who wait are bounded by what the shard lets line up.
    pub(crate) async fn fewer_than(&self, bytes: usize) {
        poll_fn(|context| {
            let mut wakers = self.wakers();
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            drop(wakers);
            // Said before it looks: whoever takes an answer after that look sees it.
            self.waits.store(true, Ordering::SeqCst);
            if self.bytes() < bytes { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn wakers(&self) -> MutexGuard<'_, Vec<Waker>> {
        // Nothing that runs under the lock can leave it half changed.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.untaken.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        if self.untaken.waits.swap(false, Ordering::SeqCst) {
            let wakers = std::mem::take(&mut *self.untaken.wakers());
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_by_another_thread_wakes_whoever_waits_for_it() {
        let untaken = Arc::new(Untaken::default());
        for round in 0..2_000 {
            let grants: Vec<_> = (0..4).map(|_| untaken.grant(10)).collect();
            assert_eq!(untaken.bytes(), 40);
            let taker = std::thread::spawn(move || drop(grants));
            aquifer_io::block_on(untaken.fewer_than(1));
            taker.join().unwrap();
            assert_eq!(untaken.bytes(), 0, "round {round}");
        }
    }
}
