//! The wants of one class of readers for one tier, in a fair order, and what of them is in flight.
//!
//! Callers take turns: of a batch, each [`WANTS_A_TURN`] wants belong to one turn, and a want that comes later begins with the turn that is
//! served now. So somebody who asks for one block waits for a turn of each batch at most, however many blocks they ask for.

use super::want::Want;
use crate::cached::Cached;
use crate::ssd::SsdEntry;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Wants of one batch that may be served before everybody else gets a turn.
pub(crate) const WANTS_A_TURN: u32 = 16;

/// What may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) requests_max: usize,
    /// A single request that is larger goes alone.
    pub(crate) bytes_max: u64,
}

/// A want in its queue.
pub(crate) struct Waiting<V: Cached> {
    turn: u64,
    arrival: u64,
    pub(crate) want: Want<V>,
    /// Where it lies in the file, if that is known.
    pub(crate) place: Option<SsdEntry>,
}

impl<V: Cached> Waiting<V> {
    pub(crate) fn order(&self) -> (u64, u64) {
        (self.turn, self.arrival)
    }
}

impl<V: Cached> PartialEq for Waiting<V> {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}
impl<V: Cached> Eq for Waiting<V> {}
impl<V: Cached> PartialOrd for Waiting<V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<V: Cached> Ord for Waiting<V> {
    /// The heap's greatest is the one to serve first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.order().cmp(&self.order())
    }
}

/// The queue.
pub(crate) struct Queue<V: Cached> {
    waiting: BinaryHeap<Waiting<V>>,
    limit: Limit,
    turn: u64,
    arrivals: u64,
    requests: usize,
    bytes: u64,
}

impl<V: Cached> Queue<V> {
    pub(crate) fn new(limit: Limit) -> Self {
        Self { waiting: BinaryHeap::new(), limit, turn: 0, arrivals: 0, requests: 0, bytes: 0 }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    /// Requests that may begin now.
    pub(crate) fn requests_free(&self) -> usize {
        self.limit.requests_max.saturating_sub(self.requests)
    }

    pub(crate) fn push(&mut self, want: Want<V>, place: Option<SsdEntry>) {
        self.arrivals += 1;
        let turn = self.turn + u64::from(want.ask.in_batch / WANTS_A_TURN);
        self.waiting.push(Waiting { turn, arrival: self.arrivals, want, place });
    }

    /// Hands a want back that could not be served: it keeps its place in the order.
    pub(crate) fn put_back(&mut self, mut waiting: Waiting<V>) {
        // It may wait for long: what it holds of the file must not.
        waiting.place = None;
        self.waiting.push(waiting);
    }

    /// The next `count` wants, in their order; those that others carried out meanwhile are let go.
    pub(crate) fn take(&mut self, count: usize) -> Vec<Waiting<V>> {
        let mut taken = Vec::with_capacity(count.min(self.waiting.len()));
        while taken.len() < count
            && let Some(next) = self.waiting.pop()
        {
            let flight = &next.want.ticket.flight;
            if !flight.has_left.get() && !flight.is_done() {
                taken.push(next);
            }
        }
        taken
    }

    /// Whether a request of so many bytes may begin; if so, it has.
    pub(crate) fn begin(&mut self, bytes: u64, turn: u64) -> bool {
        let fits = self.requests == 0
            || self.requests < self.limit.requests_max
                && self.bytes.saturating_add(bytes) <= self.limit.bytes_max;
        if fits {
            self.requests += 1;
            self.bytes += bytes;
            self.turn = self.turn.max(turn);
        }
        fits
    }

    pub(crate) fn end(&mut self, bytes: u64) {
        self.requests -= 1;
        self.bytes -= bytes;
    }
}
