//! Waiting on virtual time.

use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use super::machine::{Machine, TimerKey};
use crate::clock;

/// Resolves when the machine's time has come so far.
#[derive(Debug)]
pub(crate) struct Sleep {
    machine: Weak<Machine>,
    at_ns: u64,
    timer: Option<TimerKey>,
}

impl Sleep {
    pub(crate) fn new(machine: &Rc<Machine>, duration: Duration) -> Self {
        let at = clock::now() + duration;
        Self { machine: Rc::downgrade(machine), at_ns: at.as_nanos(), timer: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // Without its machine nobody is left to see it end.
        let Some(machine) = self.machine.upgrade() else { return Poll::Pending };
        if machine.time_ns() >= self.at_ns {
            if let Some(timer) = self.timer.take() {
                machine.clear_timer(timer);
            }
            return Poll::Ready(());
        }
        match self.timer {
            Some(timer) => machine.renew_timer(timer, context.waker()),
            None => self.timer = Some(machine.set_timer(self.at_ns, context.waker())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some(timer), Some(machine)) = (self.timer.take(), self.machine.upgrade()) {
            machine.clear_timer(timer);
        }
    }
}
