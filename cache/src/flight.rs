//! One load for all who wait for the same block.
//!
//! ```text
//! first caller ──► Flight ◄── read plan: SSD, else the object
//! later caller ──►   │
//! later caller ──►   └─ result ─► every caller that is still there
//! ```
//!
//! The plan owns the work, callers only wait: a caller that is dropped takes its place with it and changes nothing
//! else. A flight always ends: if nobody is left to carry it out, all who wait get [`LoadError::Stopped`].

use crate::ask::Ask;
use crate::cached::Cached;
use crate::error::LoadError;
use crate::key::{CacheKey, ReadClass, Tier};
use crate::ready::Ready;
use bytes::Bytes;
use hashbrown::HashTable;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A value, or why there is none.
pub(crate) type Loaded<V> = Result<V, LoadError<<V as Cached>::Error>>;

/// What is shared between the plan and those who wait.
pub(crate) struct Flight<V: Cached> {
    key: CacheKey,
    state: RefCell<State<V>>,
    /// Where the block comes from, as far as is known.
    pub(crate) tier: Cell<Tier>,
    /// The most urgent of those who wait.
    pub(crate) reads: Cell<ReadClass>,
    /// It has left the plan's queues.
    pub(crate) has_left: Cell<bool>,
    /// What is of use beside the block, and to how many requests of those who wait it would come.
    span: RefCell<Option<Range<u64>>>,
    span_uses: Cell<u32>,
    /// Wants that may still carry it out.
    tickets: Cell<u32>,
}

struct State<V: Cached> {
    result: Option<Loaded<V>>,
    /// What came with the block: see [`Load::take_along`].
    along: Bytes,
    waiting: Vec<Option<Waiter>>,
    vacant: Vec<usize>,
}

enum Waiter {
    Task(Waker),
    /// One of many that a batch waits for, by its number there.
    Batch(Rc<Ready>, usize),
}

impl Waiter {
    fn wake(self) {
        match self {
            Self::Task(waker) => waker.wake(),
            Self::Batch(ready, token) => ready.push(token),
        }
    }
}

impl<V: Cached> Flight<V> {
    pub(crate) fn new(key: CacheKey, reads: ReadClass) -> Rc<Self> {
        let state = State { result: None, along: Bytes::new(), waiting: Vec::new(), vacant: Vec::new() };
        Rc::new(Self {
            key,
            state: RefCell::new(state),
            tier: Cell::new(Tier::Ssd),
            reads: Cell::new(reads),
            has_left: Cell::new(false),
            span: RefCell::default(),
            span_uses: Cell::new(0),
            tickets: Cell::new(0),
        })
    }

    /// Somebody who waits could use what lies around the block as well.
    pub(crate) fn wants_span(&self, ask: &Ask) {
        let Some(span) = &ask.span else { return };
        self.span_uses.set(self.span_uses.get().saturating_add(ask.span_uses));
        let mut known = self.span.borrow_mut();
        debug_assert!(known.as_ref().is_none_or(|known| known == span), "a block has one span around it");
        if known.is_none() {
            *known = Some(span.clone());
        }
    }

    /// What is of use beside the block, and how many requests it saves.
    pub(crate) fn span(&self) -> Option<(Range<u64>, u32)> {
        self.span.borrow().clone().map(|span| (span, self.span_uses.get()))
    }

    /// Whether the result is there.
    pub(crate) fn is_done(&self) -> bool {
        self.state.borrow().result.is_some()
    }

    /// Hands the result to all who wait. The first call counts.
    pub(crate) fn complete(&self, result: Loaded<V>, along: Bytes) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            if state.result.is_none() {
                state.result = Some(result);
                state.along = along;
            }
            std::mem::take(&mut state.waiting)
        };
        for waiter in waiting.into_iter().flatten() {
            waiter.wake();
        }
    }

    fn result(&self) -> Option<(Loaded<V>, Bytes)> {
        let state = self.state.borrow();
        state.result.as_ref().map(|result| (result.clone(), state.along.clone()))
    }

    /// Takes the caller's place, or a new one; what was there before is handed back, to be dropped when nothing is borrowed.
    fn wait(&self, place: &mut Option<usize>, waiter: Waiter) -> Option<Waiter> {
        let mut state = self.state.borrow_mut();
        let at = match *place {
            Some(at) => at,
            None => state.vacant.pop().unwrap_or_else(|| {
                state.waiting.push(None);
                state.waiting.len() - 1
            }),
        };
        *place = Some(at);
        state.waiting.get_mut(at).and_then(|slot| slot.replace(waiter))
    }

    fn poll(&self, place: &mut Option<usize>, cx: &Context<'_>) -> Poll<(Loaded<V>, Bytes)> {
        if let Some(result) = self.result() {
            *place = None;
            return Poll::Ready(result);
        }
        let is_known = place.is_some_and(|at| {
            let state = self.state.borrow();
            let waiter = state.waiting.get(at).and_then(Option::as_ref);
            matches!(waiter, Some(Waiter::Task(waker)) if waker.will_wake(cx.waker()))
        });
        if !is_known {
            // A waker may own a task, and that task a load of this flight: dropped only after the state is free again.
            drop(self.wait(place, Waiter::Task(cx.waker().clone())));
        }
        Poll::Pending
    }

    fn leave(&self, at: usize) {
        let mut state = self.state.borrow_mut();
        let Some(left) = state.waiting.get_mut(at).map(Option::take) else { return };
        state.vacant.push(at);
        drop(state);
        drop(left);
    }
}

/// The flights of one cache, by key.
pub(crate) struct Flights<V: Cached> {
    by_key: RefCell<HashTable<Rc<Flight<V>>>>,
}

impl<V: Cached> Flights<V> {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { by_key: RefCell::new(HashTable::new()) })
    }

    pub(crate) fn count(&self) -> usize {
        self.by_key.borrow().len()
    }

    #[inline]
    pub(crate) fn find(&self, key: &CacheKey) -> Option<Rc<Flight<V>>> {
        let by_key = self.by_key.borrow();
        if by_key.is_empty() {
            return None;
        }
        by_key.find(key.hash64(), |flight| flight.key == *key).map(Rc::clone)
    }

    /// A new flight, and leave to carry it out.
    pub(crate) fn begin(self: &Rc<Self>, key: CacheKey, reads: ReadClass) -> Ticket<V> {
        let flight = Flight::new(key, reads);
        let hash_of = |flight: &Rc<Flight<V>>| flight.key.hash64();
        self.by_key.borrow_mut().insert_unique(key.hash64(), Rc::clone(&flight), hash_of);
        self.ticket(flight)
    }

    /// The same, of a flight that nobody else finds.
    pub(crate) fn begin_apart(self: &Rc<Self>, key: CacheKey, reads: ReadClass) -> Ticket<V> {
        self.ticket(Flight::new(key, reads))
    }

    /// One more leave to carry a flight out.
    pub(crate) fn ticket(self: &Rc<Self>, flight: Rc<Flight<V>>) -> Ticket<V> {
        flight.tickets.set(flight.tickets.get() + 1);
        Ticket { flights: Rc::clone(self), flight }
    }

    fn remove(&self, flight: &Rc<Flight<V>>) {
        let mut by_key = self.by_key.borrow_mut();
        let hash = flight.key.hash64();
        if let Ok(entry) = by_key.find_entry(hash, |other| Rc::ptr_eq(other, flight)) {
            entry.remove();
        }
    }
}

/// Leave to carry a flight out. The last one that is dropped without a result ends the flight with [`LoadError::Stopped`]; the key is
/// free for the next load before anybody is woken.
pub(crate) struct Ticket<V: Cached> {
    flights: Rc<Flights<V>>,
    pub(crate) flight: Rc<Flight<V>>,
}

impl<V: Cached> Ticket<V> {
    pub(crate) fn land(&self, result: Loaded<V>, tier: Tier, along: Bytes) {
        self.flight.tier.set(tier);
        self.flights.remove(&self.flight);
        self.flight.complete(result, along);
    }
}

impl<V: Cached> Drop for Ticket<V> {
    fn drop(&mut self) {
        let left = self.flight.tickets.get() - 1;
        self.flight.tickets.set(left);
        if left == 0 && !self.flight.is_done() {
            self.land(Err(LoadError::Stopped), self.flight.tier.get(), Bytes::new());
        }
    }
}

/// A block on its way, from [`Cache::get_or_load`](crate::Cache::get_or_load).
///
/// The load has begun when this is returned; awaiting it only waits. Dropping it at any time is fine: the load goes on, for
/// whoever else waits and for the cache. Polled again after it gave its result, it reports [`LoadError::Stopped`].
#[must_use = "a load whose value nobody takes: await it"]
pub struct Load<V: Cached> {
    inner: LoadState<V>,
    tier: Tier,
    along: Bytes,
}

enum LoadState<V: Cached> {
    Ready(Option<Loaded<V>>),
    Waiting { flight: Rc<Flight<V>>, place: Option<usize> },
}

impl<V: Cached> Load<V> {
    pub(crate) const fn ready(result: Loaded<V>, tier: Tier) -> Self {
        Self { inner: LoadState::Ready(Some(result)), tier, along: Bytes::new() }
    }

    pub(crate) const fn waiting(flight: Rc<Flight<V>>) -> Self {
        Self { inner: LoadState::Waiting { flight, place: None }, tier: Tier::Memory, along: Bytes::new() }
    }

    /// Whether the answer is there: awaiting it will not wait.
    pub fn is_ready(&self) -> bool {
        match &self.inner {
            LoadState::Ready(_) => true,
            LoadState::Waiting { flight, .. } => flight.is_done(),
        }
    }

    /// Where the block came from. Known once the load is done; before that, a guess.
    pub fn tier(&self) -> Tier {
        match &self.inner {
            LoadState::Ready(_) => self.tier,
            LoadState::Waiting { flight, .. } => flight.tier.get(),
        }
    }

    /// The bytes of [`Ask::span`](crate::Ask::span) that anybody named for the block, if a read of the object brought them with it; else
    /// empty. Known once the load is done.
    pub fn take_along(&mut self) -> Bytes {
        std::mem::take(&mut self.along)
    }

    /// The result, if it is there.
    pub fn take_ready(&mut self) -> Option<Loaded<V>> {
        let (result, along, tier) = match &mut self.inner {
            LoadState::Ready(result) => return Some(result.take().unwrap_or(Err(LoadError::Stopped))),
            LoadState::Waiting { flight, .. } => {
                let (result, along) = flight.result()?;
                (result, along, flight.tier.get())
            }
        };
        self.end(along, tier);
        Some(result)
    }

    fn end(&mut self, along: Bytes, tier: Tier) {
        self.inner = LoadState::Ready(None);
        self.along = along;
        self.tier = tier;
    }

    /// Has `ready` told of `token` once the result is there. `false` if it is there already.
    pub(crate) fn tell(&mut self, ready: &Rc<Ready>, token: usize) -> bool {
        match &mut self.inner {
            LoadState::Waiting { flight, place } if !flight.is_done() => {
                drop(flight.wait(place, Waiter::Batch(Rc::clone(ready), token)));
                true
            }
            _ => false,
        }
    }
}

// Nothing in it is pinned: it may move between polls.
impl<V: Cached> Unpin for Load<V> {}

impl<V: Cached> Future for Load<V> {
    type Output = Loaded<V>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (polled, tier) = match &mut self.inner {
            LoadState::Ready(result) => return Poll::Ready(result.take().unwrap_or(Err(LoadError::Stopped))),
            LoadState::Waiting { flight, place } => (flight.poll(place, cx), flight.tier.get()),
        };
        polled.map(|(result, along)| {
            self.end(along, tier);
            result
        })
    }
}

impl<V: Cached> Drop for Load<V> {
    fn drop(&mut self) {
        if let LoadState::Waiting { flight, place: Some(at) } = &self.inner {
            flight.leave(*at);
        }
    }
}

impl<V: Cached> fmt::Debug for Load<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("ready", &self.is_ready()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Number(u32);

    impl Cached for Number {
        type Error = String;
        fn memory_bytes(&self) -> usize {
            4
        }
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flight() -> Rc<Flight<Number>> {
        Flight::new(CacheKey { object: 1, offset: 2, bytes: 3 }, ReadClass::Foreground)
    }

    fn poll(load: &mut Load<Number>, count: &Arc<Count>) -> Poll<Loaded<Number>> {
        let waker = Waker::from(Arc::clone(count));
        Pin::new(load).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn all_who_wait_get_the_result_and_those_who_left_are_not_woken() {
        let flight = flight();
        let count = Arc::new(Count::default());
        let mut loads: Vec<_> = (0..3).map(|_| Load::waiting(Rc::clone(&flight))).collect();
        for load in &mut loads {
            assert!(poll(load, &count).is_pending());
        }
        drop(loads.remove(1));
        // The place of the one that left is taken by the next.
        let mut late = Load::waiting(Rc::clone(&flight));
        assert!(poll(&mut late, &count).is_pending());
        assert_eq!(flight.state.borrow().waiting.len(), 3);
        drop(late);
        flight.complete(Ok(Number(7)), Bytes::from_static(b"beside"));
        flight.complete(Ok(Number(8)), Bytes::new());
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        for load in &mut loads {
            assert_eq!(poll(load, &count), Poll::Ready(Ok(Number(7))));
            assert_eq!(load.take_along(), "beside");
            assert_eq!(poll(load, &count), Poll::Ready(Err(LoadError::Stopped)), "only once");
        }
    }

    /// A waker that owns a load of the flight it waits for, as a task queue's does. Dropping it inside the flight
    /// would borrow the flight twice.
    #[test]
    fn a_waker_may_own_a_load_of_the_same_flight() {
        thread_local! {
            static OWNED: RefCell<Option<Load<Number>>> = const { RefCell::new(None) };
        }
        struct Owner;
        impl Wake for Owner {
            fn wake(self: Arc<Self>) {}
        }
        impl Drop for Owner {
            fn drop(&mut self) {
                drop(OWNED.take());
            }
        }
        let flight = flight();
        let count = Arc::new(Count::default());
        let mut inner = Load::waiting(Rc::clone(&flight));
        assert!(poll(&mut inner, &count).is_pending());
        OWNED.set(Some(inner));
        let waker = Waker::from(Arc::new(Owner));
        let mut outer = Load::waiting(Rc::clone(&flight));
        assert!(Pin::new(&mut outer).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert!(poll(&mut outer, &count).is_pending(), "the old waker goes, and the inner load with it");
        assert_eq!(flight.state.borrow().vacant.len(), 1);
        drop(outer);
        assert_eq!(flight.state.borrow().vacant.len(), 2);
    }

    #[test]
    fn polling_again_keeps_one_place() {
        let flight = flight();
        let count = Arc::new(Count::default());
        let mut load = Load::waiting(Rc::clone(&flight));
        for _ in 0..3 {
            assert!(poll(&mut load, &count).is_pending());
        }
        assert_eq!(flight.state.borrow().waiting.len(), 1);
        flight.complete(Err(LoadError::Source("gone".to_owned())), Bytes::new());
        assert_eq!(poll(&mut load, &count), Poll::Ready(Err(LoadError::Source("gone".to_owned()))));
    }

    #[test]
    fn the_last_ticket_that_goes_without_a_result_stops_the_flight() {
        let flights = Flights::<Number>::new();
        let key = CacheKey { object: 1, offset: 2, bytes: 3 };
        let first = flights.begin(key, ReadClass::WarmUp);
        let second = flights.ticket(Rc::clone(&first.flight));
        let mut load = Load::waiting(flights.find(&key).unwrap());
        drop(first);
        assert!(!load.is_ready());
        drop(second);
        assert_eq!(load.take_ready(), Some(Err(LoadError::Stopped)));
        assert_eq!(flights.count(), 0);
    }
}
