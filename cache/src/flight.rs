//! One load for all who wait for the same block.
//!
//! ```text
//! first caller ──► Flight ◄── task: SSD, then fetch()
//! later caller ──►   │
//! later caller ──►   └─ result ─► every caller that is still there
//! ```
//!
//! The task owns the work, callers only wait: a caller that is dropped takes its waker with it and changes nothing
//! else. A flight always ends: if its task is dropped or panics, all who wait get [`LoadError::Stopped`].

use crate::error::LoadError;
use crate::key::Tier;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What is shared between the task and those who wait.
pub(crate) struct Flight<V, E> {
    state: RefCell<State<V, E>>,
    /// Where the block comes from, as far as is known.
    tier: Cell<Tier>,
}

struct State<V, E> {
    result: Option<Result<V, LoadError<E>>>,
    waiting: Vec<Option<Waker>>,
    vacant: Vec<usize>,
}

impl<V: Clone, E: Clone> Flight<V, E> {
    pub(crate) fn new() -> Rc<Self> {
        let state = State { result: None, waiting: Vec::new(), vacant: Vec::new() };
        Rc::new(Self { state: RefCell::new(state), tier: Cell::new(Tier::Ssd) })
    }

    /// The SSD does not have it: the block comes from remote.
    pub(crate) fn goes_remote(&self) {
        self.tier.set(Tier::Remote);
    }

    /// Hands the result to all who wait. The first call counts.
    pub(crate) fn complete(&self, result: Result<V, LoadError<E>>) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            if state.result.is_none() {
                state.result = Some(result);
            }
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting.into_iter().flatten() {
            waker.wake();
        }
    }

    fn poll(&self, place: &mut Option<usize>, cx: &Context<'_>) -> Poll<Result<V, LoadError<E>>> {
        let mut state = self.state.borrow_mut();
        if let Some(result) = &state.result {
            *place = None;
            return Poll::Ready(result.clone());
        }
        let at = match *place {
            Some(at) => at,
            None => state.vacant.pop().unwrap_or_else(|| {
                state.waiting.push(None);
                state.waiting.len() - 1
            }),
        };
        *place = Some(at);
        let slot = state.waiting.get_mut(at);
        let replaced = match slot {
            Some(slot) if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) => {
                slot.replace(cx.waker().clone())
            }
            _ => None,
        };
        drop(state);
        // A waker may own a task, and that task a load of this flight: dropped only after the state is free again.
        drop(replaced);
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

/// A block on its way, from [`Cache::get_or_load`](crate::Cache::get_or_load).
///
/// The load has begun when this is returned; awaiting it only waits. Dropping it at any time is fine: the load goes on, for
/// whoever else waits and for the cache. Polled again after it gave its result, it reports [`LoadError::Stopped`].
#[must_use = "a load whose value nobody takes: await it"]
pub struct Load<V: Clone, E: Clone> {
    inner: Inner<V, E>,
    tier: Tier,
}

enum Inner<V, E> {
    Ready(Option<Result<V, LoadError<E>>>),
    Waiting { flight: Rc<Flight<V, E>>, place: Option<usize> },
}

impl<V: Clone, E: Clone> Load<V, E> {
    pub(crate) const fn ready(result: Result<V, LoadError<E>>) -> Self {
        Self { inner: Inner::Ready(Some(result)), tier: Tier::Memory }
    }

    pub(crate) const fn waiting(flight: Rc<Flight<V, E>>) -> Self {
        Self { inner: Inner::Waiting { flight, place: None }, tier: Tier::Memory }
    }

    /// Whether the answer came from memory: awaiting it will not wait.
    pub const fn is_ready(&self) -> bool {
        matches!(self.inner, Inner::Ready(_))
    }

    /// Where the block came from. Known once the load has given its result; [`Tier::Memory`] before.
    pub const fn tier(&self) -> Tier {
        self.tier
    }
}

// Nothing in it is pinned: it may move between polls.
impl<V: Clone, E: Clone> Unpin for Load<V, E> {}

impl<V: Clone, E: Clone> Future for Load<V, E> {
    type Output = Result<V, LoadError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (result, tier) = match &mut self.inner {
            Inner::Ready(result) => return Poll::Ready(result.take().unwrap_or(Err(LoadError::Stopped))),
            Inner::Waiting { flight, place } => (flight.poll(place, cx), flight.tier.get()),
        };
        if result.is_ready() {
            self.tier = tier;
            self.inner = Inner::Ready(None);
        }
        result
    }
}

impl<V: Clone, E: Clone> Drop for Load<V, E> {
    fn drop(&mut self) {
        if let Inner::Waiting { flight, place: Some(at) } = &self.inner {
            flight.leave(*at);
        }
    }
}

impl<V: Clone, E: Clone> fmt::Debug for Load<V, E> {
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

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    type TestFlight = Flight<u32, String>;

    fn poll(load: &mut Load<u32, String>, count: &Arc<Count>) -> Poll<Result<u32, LoadError<String>>> {
        let waker = Waker::from(Arc::clone(count));
        Pin::new(load).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn all_who_wait_get_the_result_and_those_who_left_are_not_woken() {
        let flight = TestFlight::new();
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
        flight.complete(Ok(7));
        flight.complete(Ok(8));
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        for load in &mut loads {
            assert_eq!(poll(load, &count), Poll::Ready(Ok(7)));
            assert_eq!(poll(load, &count), Poll::Ready(Err(LoadError::Stopped)), "only once");
        }
    }

    /// A waker that owns a load of the flight it waits for, as a task queue's does. Dropping it inside the flight
    /// would borrow the flight twice.
    #[test]
    fn a_waker_may_own_a_load_of_the_same_flight() {
        thread_local! {
            static OWNED: RefCell<Option<Load<u32, String>>> = const { RefCell::new(None) };
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
        let flight = TestFlight::new();
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
        let flight = TestFlight::new();
        let count = Arc::new(Count::default());
        let mut load = Load::waiting(Rc::clone(&flight));
        for _ in 0..3 {
            assert!(poll(&mut load, &count).is_pending());
        }
        assert_eq!(flight.state.borrow().waiting.len(), 1);
        flight.complete(Err(LoadError::Source("gone".to_owned())));
        assert_eq!(poll(&mut load, &count), Poll::Ready(Err(LoadError::Source("gone".to_owned()))));
    }
}
