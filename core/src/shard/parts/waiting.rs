//! Operations that wait for their turn, by key (see [`crate::shard::order`]).

use crate::limits::{WAITING_KEYS_MAX, WAITING_REQUESTS_MAX};
use crate::request::Keyed;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

/// What waits, by key.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) keys: RefCell<HashMap<Box<[u8]>, VecDeque<Keyed>>>,
    pub(crate) requests: Cell<usize>,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.borrow().is_empty()
    }

    /// Operations that wait.
    pub(crate) fn requests(&self) -> usize {
        self.requests.get()
    }

    pub(crate) fn has(&self, key: &[u8]) -> bool {
        !self.is_empty() && self.keys.borrow().contains_key(key)
    }

    pub(crate) fn has_space(&self) -> bool {
        self.keys.borrow().len() < WAITING_KEYS_MAX && self.requests.get() < WAITING_REQUESTS_MAX
    }

    /// Lets all go that waits.
    pub(crate) fn clear(&self) {
        let keys = self.keys.take();
        self.requests.set(0);
        drop(keys);
    }

    /// Lines an operation up. Whether it is the first of its key.
    pub(crate) fn push(&self, key: &[u8], keyed: Keyed) -> bool {
        self.requests.set(self.requests.get() + 1);
        let mut keys = self.keys.borrow_mut();
        match keys.get_mut(key) {
            Some(queue) => {
                queue.push_back(keyed);
                false
            }
            None => {
                keys.insert(Box::from(key), VecDeque::from([keyed]));
                true
            }
        }
    }

    /// The next operation of a key. `None`: nothing waits on the key any more.
    pub(crate) fn pop(&self, key: &[u8]) -> Option<Keyed> {
        let mut keys = self.keys.borrow_mut();
        let next = keys.get_mut(key)?.pop_front();
        match next {
            Some(_) => self.requests.set(self.requests.get() - 1),
            None => drop(keys.remove(key)),
        }
        next
    }
}
