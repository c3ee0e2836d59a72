//! Many loads and one who waits for all of them, without a task or a waker for each.

use crate::cached::Cached;
use crate::flight::{Load, Loaded};
use crate::key::Tier;
use crate::ready::Ready;
use bytes::Bytes;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A load of a batch that is done.
pub struct FinishedLoad<V: Cached> {
    /// Its number, from [`LoadSet::add`].
    pub token: usize,
    /// As the load gives it.
    pub result: Loaded<V>,
    /// Where it came from.
    pub tier: Tier,
    /// What came with it: [`Load::take_along`].
    pub along: Bytes,
}

impl<V: Cached> fmt::Debug for FinishedLoad<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ok = self.result.is_ok();
        f.debug_struct("Gathered").field("token", &self.token).field("ok", &ok).finish_non_exhaustive()
    }
}

/// The loads of a batch: each is handed out when it is done, in the order in which they are.
///
/// Dropping it cancels nothing that others need.
pub struct LoadSet<V: Cached> {
    ready: Rc<Ready>,
    loads: Vec<Option<Load<V>>>,
    vacant: Vec<usize>,
}

impl<V: Cached> Default for LoadSet<V> {
    fn default() -> Self {
        Self { ready: Rc::default(), loads: Vec::new(), vacant: Vec::new() }
    }
}

impl<V: Cached> fmt::Debug for LoadSet<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("waiting", &self.len()).finish()
    }
}

impl<V: Cached> LoadSet<V> {
    /// Takes a load in. The number it is known by until it is handed out; then the number is free for another.
    pub fn add(&mut self, mut load: Load<V>) -> usize {
        let token = self.vacant.pop().unwrap_or_else(|| {
            self.loads.push(None);
            self.loads.len() - 1
        });
        if !load.tell(&self.ready, token) {
            self.ready.tokens.borrow_mut().push_back(token);
        }
        if let Some(slot) = self.loads.get_mut(token) {
            *slot = Some(load);
        }
        token
    }

    /// Loads that were not handed out yet.
    pub fn len(&self) -> usize {
        self.loads.len() - self.vacant.len()
    }

    /// Whether all were handed out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next one that is done; `None` if none is left.
    pub async fn next(&mut self) -> Option<FinishedLoad<V>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<FinishedLoad<V>>> {
        loop {
            let token = self.ready.tokens.borrow_mut().pop_front();
            let Some(token) = token else { break };
            let Some(mut load) = self.loads.get_mut(token).and_then(Option::take) else { continue };
            let Some(result) = load.take_ready() else {
                if let Some(slot) = self.loads.get_mut(token) {
                    *slot = Some(load);
                }
                continue;
            };
            self.vacant.push(token);
            let (tier, along) = (load.tier(), load.take_along());
            return Poll::Ready(Some(FinishedLoad { token, result, tier, along }));
        }
        if self.is_empty() {
            return Poll::Ready(None);
        }
        let before = self.ready.waker.borrow_mut().replace(cx.waker().clone());
        // A waker may own anything: dropped when nothing is borrowed.
        drop(before);
        Poll::Pending
    }
}
