//! How many completions a turn of the loop takes, of operations on a ring.
//!
//! A device hands over completions in bunches: with 32 reads in flight often all 32 at once. A loop that deals with all of
//! them before it submits what follows leaves the device without work meanwhile, and then waits for it in turn. So a
//! turn takes a part, and submits, and takes the next part:
//! ```text
//! completions ─> take: the turn's share ─> tasks go on, begin the next ─> submission
//!                  └─ the rest waits here for the next turn (the runtimes have no way to leave them in the ring)
//! ```
//!
//! Invariant: while anyone waits here, the loop comes round again without sleep.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Poll, Waker};

use super::completions::completions_max;

/// See the module. Closed until the first turn.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    left: Cell<usize>,
    waiting: RefCell<VecDeque<Waker>>,
}

impl Gate {
    /// A new turn begins: the oldest of those who wait go on, and as many more as its share has left.
    pub(super) fn open(&self, in_flight: usize, completions_min: usize) {
        let count = completions_max(in_flight, completions_min);
        self.left.set(count);
        for _ in 0..count {
            // Not while borrowed: a waker may do anything.
            let oldest = self.waiting.borrow_mut().pop_front();
            match oldest {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Resolves when a turn may deal with one more completion. Given up when dropped; another goes then.
    pub(super) async fn pass(&self) {
        std::future::poll_fn(|context| {
            let Some(left) = self.left.get().checked_sub(1) else {
                self.waiting.borrow_mut().push_back(context.waker().clone());
                return Poll::Pending;
            };
            self.left.set(left);
            Poll::Ready(())
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::completions::COMPLETIONS_MAX;
    use futures_util::FutureExt;

    #[test]
    fn a_turn_takes_its_share_and_the_rest_comes_in_the_next() {
        let gate = Gate::default();
        let pass = || gate.pass().now_or_never().is_some();
        assert!(!pass() && gate.has_waiting());
        gate.open(1, 1);
        assert!(!gate.has_waiting());
        assert!(pass() && !pass());
        gate.open(1000, 1);
        assert!((0..COMPLETIONS_MAX).all(|_| pass()) && !pass());
    }
}
