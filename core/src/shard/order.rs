//! Operations that must wait before they can take effect: a write without room, a comparison whose block is not in memory.
//!
//! ```text
//! mailbox ─> loop ─┬─ nothing waits on its key, and it need not wait ──> takes effect at once
//!                  ├─ else: lines up behind what waits on its key ──> a task of the key, one after the other
//!                  └─ concerns more than one key: the loop rests until no key has anything that waits
//! ```
//! So operations of one caller on one key take effect in the order issued, whatever they wait for, and all others pass by: reads of
//! what is cached go on while writes wait for the DFS. Keys and operations that wait are bounded; at the bound the loop rests.

use super::ShardCore;
use crate::limits::{WAITING_KEYS_MAX, WAITING_REQUESTS_MAX};
use crate::request::Keyed;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// What waits, by key.
#[derive(Default)]
pub(crate) struct Waiting {
    keys: RefCell<HashMap<Box<[u8]>, VecDeque<Keyed>>>,
    requests: Cell<usize>,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.borrow().is_empty()
    }

    /// Operations that wait.
    pub(crate) fn requests(&self) -> usize {
        self.requests.get()
    }

    fn has(&self, key: &[u8]) -> bool {
        !self.is_empty() && self.keys.borrow().contains_key(key)
    }

    fn has_space(&self) -> bool {
        self.keys.borrow().len() < WAITING_KEYS_MAX && self.requests.get() < WAITING_REQUESTS_MAX
    }

    /// Lets all go that waits.
    pub(super) fn clear(&self) {
        let keys = self.keys.take();
        self.requests.set(0);
        drop(keys);
    }

    /// Lines an operation up. Whether it is the first of its key.
    fn push(&self, key: &[u8], keyed: Keyed) -> bool {
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
    fn pop(&self, key: &[u8]) -> Option<Keyed> {
        let mut keys = self.keys.borrow_mut();
        let next = keys.get_mut(key)?.pop_front();
        match next {
            Some(_) => self.requests.set(self.requests.get() - 1),
            None => drop(keys.remove(key)),
        }
        next
    }
}

impl ShardCore {
    /// Lets an operation on one key take effect, now or in its turn.
    pub(crate) async fn in_turn(self: &Rc<Self>, key: Box<[u8]>, keyed: Keyed) {
        let keyed = if self.waiting.has(&key) {
            keyed
        } else {
            match self.effect_now(&key, keyed).await {
                None => return,
                Some(keyed) => keyed,
            }
        };
        self.progress.wait(|| self.waiting.has_space().then_some(())).await;
        if self.waiting.push(&key, keyed) {
            let core = Rc::clone(self);
            self.spawn(async move {
                while let Some(keyed) = core.waiting.pop(&key) {
                    core.effect_waiting(&key, keyed).await;
                }
                core.progress.notify();
            });
        }
    }

    /// Rests until nothing waits: for operations on more than one key.
    pub(crate) async fn after_all(&self) {
        if !self.waiting.is_empty() {
            self.progress.wait(|| self.waiting.is_empty().then_some(())).await;
        }
    }
}
