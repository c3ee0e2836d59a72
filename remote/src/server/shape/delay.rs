//! Waiting to the microsecond: tokio's timers go by the millisecond, which is no way to be a device that answers in 68 µs.
//!
//! ```text
//! until(at) ──> queue by time ──> one timerfd, set to the earliest ──> epoll ──> ring() ──> wakers of all that are due
//! ```
//!
//! A `timerfd` is a high-resolution timer of the kernel, without the 50 µs of slack that sleeping threads are given, and its
//! expiry is an event like a socket's: no thread of its own, no spinning, nothing to do while nobody waits.
//!
//! Invariants:
//! * The timer is never set to a later time than the earliest in the queue.
//! * A dropped wait leaves the queue: it holds no more than there are requests and connections.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use aquifer_io::Instant;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const NANOS_PER_S: u64 = 1_000_000_000;

/// All waits of one server.
#[derive(Debug)]
pub(super) struct Delays {
    timer: AsyncFd<OwnedFd>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By time; numbers tell equal times apart.
    due: BTreeMap<(u64, u64), Waker>,
    /// What the timer is set to.
    set_to: Option<u64>,
    next: u64,
}

impl Delays {
    /// Within a tokio runtime. Somebody must run [`Delays::ring`] on it.
    #[expect(
        deprecated,
        reason = "its successor is unsafe because of types that change their descriptor; an `OwnedFd` cannot"
    )]
    pub(super) fn new() -> io::Result<Arc<Self>> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Arc::new(Self { timer, queue: Mutex::default() }))
    }

    /// Waits until then. Dropping it gives the wait up.
    pub(super) fn until(self: &Arc<Self>, at: Instant) -> Delay {
        Delay { delays: Arc::clone(self), at: at.as_nanos(), number: None }
    }

    /// Wakes whoever is due, for ever.
    pub(super) async fn ring(&self) {
        let mut expirations = [0; 8];
        // An error here means that the runtime is going down.
        while let Ok(mut ready) = self.timer.readable().await {
            ready.clear_ready();
            // How often it expired does not matter, and "not yet" only means that it was set anew meanwhile.
            let _not_yet = rustix::io::read(self.timer.get_ref(), &mut expirations);
            for waker in self.take_due() {
                waker.wake();
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_due(&self) -> Vec<Waker> {
        let mut queue = self.queue();
        let later = queue.due.split_off(&(aquifer_io::now().as_nanos().saturating_add(1), 0));
        let due = std::mem::replace(&mut queue.due, later);
        queue.set_to = None;
        if let Some((&(at, _), _)) = queue.due.first_key_value() {
            self.set(&mut queue, at);
        }
        due.into_values().collect()
    }

    /// Sets the timer where it is not set to an earlier time.
    fn set(&self, queue: &mut Queue, at: u64) {
        if queue.set_to.is_some_and(|earlier| earlier <= at) {
            return;
        }
        queue.set_to = Some(at);
        // Zero would turn the timer off.
        let left = at.saturating_sub(aquifer_io::now().as_nanos()).max(1);
        let part = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
        let it_value = Timespec { tv_sec: part(left / NANOS_PER_S), tv_nsec: part(left % NANOS_PER_S) };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        // It fails for a time that is none, or no timer at all: neither can be here.
        let set = timerfd_settime(
            self.timer.get_ref(),
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval, it_value },
        );
        debug_assert!(set.is_ok(), "{set:?}");
    }
}

/// A wait.
#[derive(Debug)]
pub(super) struct Delay {
    delays: Arc<Delays>,
    at: u64,
    /// In the queue, once it is there.
    number: Option<u64>,
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let delays = Arc::clone(&self.delays);
        let mut queue = delays.queue();
        if aquifer_io::now().as_nanos() >= self.at {
            if let Some(number) = self.number.take() {
                queue.due.remove(&(self.at, number));
            }
            return Poll::Ready(());
        }
        let number = self.number.unwrap_or_else(|| {
            queue.next += 1;
            queue.next
        });
        self.number = Some(number);
        // Also on a later poll: the waker may be another one, or have been taken a moment too early.
        queue.due.insert((self.at, number), context.waker().clone());
        delays.set(&mut queue, self.at);
        Poll::Pending
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.delays.queue().due.remove(&(self.at, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn waits_end_and_never_early() {
        runtime().block_on(async {
            let delays = Delays::new().unwrap();
            let ringing = tokio::spawn({
                let delays = Arc::clone(&delays);
                async move { delays.ring().await }
            });
            let start = aquifer_io::now();
            let waits = [900_u64, 100, 0, 500, 300].map(|us| {
                let delays = Arc::clone(&delays);
                tokio::spawn(async move {
                    let at = start + Duration::from_micros(us);
                    delays.until(at).await;
                    assert!(aquifer_io::now() >= at);
                })
            });
            for wait in waits {
                wait.await.unwrap();
            }
            assert!(delays.queue().due.is_empty());
            ringing.abort();
        });
    }

    #[test]
    fn a_dropped_wait_leaves_the_queue() {
        runtime().block_on(async {
            let delays = Delays::new().unwrap();
            let at = aquifer_io::now() + Duration::from_secs(1_000);
            let mut wait = Box::pin(delays.until(at));
            let first = futures_util::poll!(&mut wait);
            assert!(first.is_pending());
            assert_eq!(delays.queue().due.len(), 1);
            drop(wait);
            assert!(delays.queue().due.is_empty());
        });
    }
}
