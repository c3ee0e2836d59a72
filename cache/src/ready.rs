//! Loads of a batch that have ended, for the one who waits for all of them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::Waker;

/// Loads of a batch that have their results, by their numbers there.
#[derive(Default)]
pub(crate) struct Ready {
    pub(crate) tokens: RefCell<VecDeque<usize>>,
    pub(crate) waker: RefCell<Option<Waker>>,
}

impl Ready {
    pub(crate) fn push(&self, token: usize) {
        self.tokens.borrow_mut().push_back(token);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
