//! The tasks of one shard: reads that wait, flushes, merges, and what callers run beside the data. All end with their shard, at once,
//! whatever they wait for; whoever waits for one of them hears why.
//!
//! ```text
//! spawn ──> alive ──┬─ done ────────────────────────────> gone
//!                   ├─ the shard ends: dropped at once ──> gone      nothing waits for the DFS any more
//!                   └─ panics: a bug ──> the shard ends, and with it all others
//! ```

use crate::error::Error;
use crate::reply::because;
use crate::shard::shard_core::ShardCore;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

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
