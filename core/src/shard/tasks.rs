//! The tasks of one shard: reads that wait, flushes, merges, and what callers run beside the data. All end with their shard, at once,
//! whatever they wait for; whoever waits for one of them hears why.
//!
//! ```text
//! spawn ──> alive ──┬─ done ────────────────────────────> gone
//!                   ├─ the shard ends: dropped at once ──> gone      nothing waits for the DFS any more
//!                   └─ panics: a bug ──> the shard ends, and with it all others
//! ```

use super::ShardCore;
use crate::error::Error;
use crate::notify::LocalNotify;
use crate::reply::because;
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// What is alive.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    state: RefCell<State>,
    one_gone: LocalNotify,
}

#[derive(Debug, Default)]
struct State {
    /// Wakers by place, of tasks that were polled.
    wakers: Vec<Option<Waker>>,
    vacant: Vec<usize>,
    /// Why all end.
    ended: Option<Error>,
}

impl Tasks {
    fn begin(&self) -> usize {
        let mut state = self.state.borrow_mut();
        state.vacant.pop().unwrap_or_else(|| {
            state.wakers.push(None);
            state.wakers.len() - 1
        })
    }

    fn ended(&self) -> Option<Error> {
        self.state.borrow().ended.clone()
    }

    /// Notes how the task is woken; `false` once all end.
    fn goes_on(&self, place: usize, waker: &Waker) -> bool {
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

    fn gone(&self, place: usize) {
        let waker = {
            let mut state = self.state.borrow_mut();
            state.vacant.push(place);
            state.wakers.get_mut(place).and_then(Option::take)
        };
        drop(waker);
        self.one_gone.notify();
    }

    fn alive(&self) -> usize {
        let state = self.state.borrow();
        state.wakers.len() - state.vacant.len()
    }
}

/// A task that was begun and is not gone.
struct Alive {
    core: Rc<ShardCore>,
    place: usize,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.core.tasks.gone(self.place);
    }
}

impl ShardCore {
    /// Runs a task until it is done, or the shard ends. A panic in it ends the shard.
    pub(crate) fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        if let Some(error) = self.tasks.ended() {
            return because(&error, || drop(task));
        }
        let alive = Alive { core: Rc::clone(self), place: self.tasks.begin() };
        drop(aquifer_io::spawn_vital(async move {
            let tasks = &alive.core.tasks;
            let mut task = pin!(Some(task));
            std::future::poll_fn(|context| {
                if !tasks.goes_on(alive.place, context.waker()) {
                    return Poll::Ready(());
                }
                task.as_mut().as_pin_mut().map_or(Poll::Ready(()), |task| task.poll(context))
            })
            .await;
            if let Some(error) = tasks.ended() {
                because(&error, || task.set(None));
            }
        }));
    }

    /// Ends all tasks, with what they wait for, and waits until they are gone.
    pub(crate) async fn end_tasks(&self, why: &Error) {
        let woken = {
            let mut state = self.tasks.state.borrow_mut();
            state.ended.get_or_insert_with(|| why.clone());
            state.wakers.iter_mut().filter_map(Option::take).collect::<Vec<_>>()
        };
        woken.into_iter().for_each(Waker::wake);
        self.tasks.one_gone.wait(|| (self.tasks.alive() == 0).then_some(())).await;
    }
}
