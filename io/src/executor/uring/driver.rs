//! The loop of a thread with its own ring: run what is ready, hand over what it began, sleep, take completions.
//!
//! ```text
//! ┌─> poll the root (tasks that are ready, a few dozen at most) ─> due timers ─> one io_uring_enter ─> completions ─┐
//! └───────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! One call to the kernel a turn, at most: it submits all that the turn began, sleeps when nothing is ready, and gets
//! completions: of those that are there a part only, for the reason that `completions.rs` gives.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::ring::{Done, Reaped, Ring, Wait, Work};
use super::timers::{TimerKey, Timers};
use super::wakes::Wakes;
use crate::clock::{Instant, now};
use crate::executor::completions::completions_max;
use crate::slots::Slot;

/// The ring and the timers of one thread.
pub(crate) struct Driver {
    ring: RefCell<Ring>,
    timers: RefCell<Timers>,
    wakes: Arc<Wakes>,
    slots_max: usize,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("wakes", &self.wakes).finish_non_exhaustive()
    }
}

impl Driver {
    pub(crate) fn new(entries: u32) -> io::Result<Self> {
        let wakes = Arc::new(Wakes::new()?);
        let ring = Ring::new(entries, Arc::clone(&wakes))?;
        let slots_max = ring.slots_max();
        Ok(Self { ring: RefCell::new(ring), timers: RefCell::default(), wakes, slots_max })
    }

    pub(crate) fn slots_max(&self) -> usize {
        self.slots_max
    }

    /// A place for an open file in the kernel's table, if there is one.
    pub(super) fn register_file(&self, descriptor: &std::os::fd::OwnedFd) -> Option<Slot> {
        self.ring.borrow().register_file(descriptor)
    }

    /// Runs the root and all it spawns.
    ///
    /// # Errors
    /// The kernel's own, when the ring became unusable.
    pub(crate) fn block_on<T>(&self, root: impl Future<Output = T>) -> io::Result<T> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        let mut root = std::pin::pin!(root);
        let mut reaped = Reaped::default();
        let mut all_taken = true;
        loop {
            if self.wakes.take()
                && let Poll::Ready(output) = root.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Ok(output);
            }
            let wait = self.wait_after_timers(all_taken);
            let completions_max = completions_max(self.ring.borrow().in_flight(), 1);
            all_taken = self.ring.borrow_mut().turn(wait, completions_max, &mut reaped)?;
            for waker in reaped.wakers.drain(..) {
                waker.wake();
            }
            // What nobody waits for goes here, where the ring is not borrowed.
            reaped.let_go();
        }
    }

    /// Wakes whose time has come; how long the thread may sleep now.
    fn wait_after_timers(&self, all_taken: bool) -> Wait {
        let next = self.timers.borrow().next();
        if let Some(at) = next {
            let time = now();
            if at <= time {
                self.fire(time);
            } else if all_taken && !self.wakes.is_woken() {
                return Wait::AtMost(at.duration_since(time));
            }
        }
        if all_taken && next.is_none() && !self.wakes.is_woken() { Wait::Completion } else { Wait::Not }
    }

    fn fire(&self, time: Instant) {
        loop {
            // Not while borrowed: a waker may do anything.
            let due = self.timers.borrow_mut().due(time);
            match due {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    /// Begins an operation; it runs to its end, also when the result is dropped.
    pub(super) fn begin(self: &Rc<Self>, work: Work) -> Operation {
        let state = match self.ring.borrow_mut().begin(work) {
            Ok(key) => Begun::Key(key),
            Err(work) => Begun::Refused(Some(work)),
        };
        Operation { driver: Rc::clone(self), state }
    }

    /// Resolves after this time.
    pub(crate) fn sleep(self: &Rc<Self>, duration: Duration) -> Sleep {
        Sleep { driver: Rc::clone(self), at: now() + duration, timer: None }
    }
}

enum Begun {
    Key(usize),
    /// There was no room: a bug of ours, as there are fewer slots than entries. Said, not waited for.
    Refused(Option<Work>),
    Finished,
}

/// An operation that the kernel works on. Dropping it leaves it to its end.
pub(super) struct Operation {
    driver: Rc<Driver>,
    state: Begun,
}

impl Future for Operation {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Done> {
        let this = &mut *self;
        let done = match &mut this.state {
            Begun::Key(key) => {
                let polled = this.driver.ring.borrow_mut().poll(*key, context.waker());
                let Some(done) = polled else { return Poll::Pending };
                done
            }
            Begun::Refused(work) => {
                let Some(work) = work.take() else { return Poll::Pending };
                Done { outcome: Err(io::ErrorKind::ResourceBusy.into()), work, opened: None }
            }
            Begun::Finished => return Poll::Pending,
        };
        this.state = Begun::Finished;
        Poll::Ready(done)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Begun::Key(key) = self.state {
            let done = self.driver.ring.borrow_mut().abandon(key);
            // After the borrow: what it holds may wake others.
            drop(done);
        }
    }
}

/// Resolves when the time has come. Dropping it cancels it.
pub(crate) struct Sleep {
    driver: Rc<Driver>,
    at: Instant,
    timer: Option<TimerKey>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if now() >= self.at {
            return Poll::Ready(());
        }
        let this = &mut *self;
        let mut timers = this.driver.timers.borrow_mut();
        match this.timer {
            Some(timer) => timers.renew(timer, context.waker()),
            None => this.timer = Some(timers.set(this.at, context.waker())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.driver.timers.borrow_mut().clear(timer);
        }
    }
}
