//! The task of the read plan: begun by the first want, ended by none.

use crate::cache_state::CacheState;
use crate::cached::Cached;
use crate::plan::Want;
use crate::turn::Turn;
use std::rc::Rc;

/// Files a want; the plan's task finds it when all that is ready now has run.
pub(crate) fn file<V: Cached>(inner: &Rc<CacheState<V>>, want: Want<V>) {
    let plan = &inner.plan;
    plan.filed.borrow_mut().push(want);
    if plan.is_running.replace(true) {
        plan.wake();
    } else {
        drop(aquifer_io::spawn_vital(run(Rc::clone(inner))));
    }
}

async fn run<V: Cached>(inner: Rc<CacheState<V>>) {
    let _running = Running(&inner);
    let mut turn = Turn::new(&inner);
    std::future::poll_fn(|cx| turn.poll(cx)).await;
}

/// The task lives. When it ends, what was filed and not looked at ends with it: nobody waits for a plan that is not there.
struct Running<'a, V: Cached>(&'a Rc<CacheState<V>>);

impl<V: Cached> Drop for Running<'_, V> {
    fn drop(&mut self) {
        let plan = &self.0.plan;
        plan.is_running.set(false);
        plan.is_woken.set(false);
        plan.waker.take();
        // After the borrow: their waiters are told.
        drop(plan.filed.take());
    }
}
