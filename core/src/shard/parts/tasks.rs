//! The tasks of a shard that are alive (see [`crate::shard::spawn`]).

use crate::error::Error;
use crate::notify::LocalNotify;
use std::cell::RefCell;
use std::task::Waker;

/// What is alive.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    pub(crate) state: RefCell<State>,
    pub(crate) one_gone: LocalNotify,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Wakers by place, of tasks that were polled.
    pub(crate) wakers: Vec<Option<Waker>>,
    pub(crate) vacant: Vec<usize>,
    /// Why all end.
    pub(crate) ended: Option<Error>,
}

impl Tasks {
    pub(crate) fn begin(&self) -> usize {
        let mut state = self.state.borrow_mut();
        state.vacant.pop().unwrap_or_else(|| {
            state.wakers.push(None);
            state.wakers.len() - 1
        })
    }

    pub(crate) fn ended(&self) -> Option<Error> {
        self.state.borrow().ended.clone()
    }

    /// Notes how the task is woken; `false` once all end.
    pub(crate) fn goes_on(&self, place: usize, waker: &Waker) -> bool {
        let mut state = self.state.borrow_mut();
        if state.ended.is_some() {
            return false;
        }
        let Some(slot) = state.wakers.get_mut(place) else { return true };
        if slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return true;
        }
        let before = slot.replace(waker.clone());
        drop(state);
        // A waker may own anything: dropped when nothing is borrowed.
        drop(before);
        true
    }

    pub(crate) fn gone(&self, place: usize) {
        let waker = {
            let mut state = self.state.borrow_mut();
            state.vacant.push(place);
            state.wakers.get_mut(place).and_then(Option::take)
        };
        drop(waker);
        self.one_gone.notify();
    }

    pub(crate) fn alive(&self) -> usize {
        let state = self.state.borrow();
        state.wakers.len() - state.vacant.len()
    }
}
