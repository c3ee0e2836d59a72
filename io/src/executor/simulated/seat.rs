//! The place of one executor in a simulated machine, and what makes the thread its own while one of its tasks is polled.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use super::machine::{Class, Machine, Running, TaskId};
use crate::clock;
use crate::executor::context::{self, Executor};
use crate::random;

/// One executor of a machine.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(super) index: usize,
    pub(super) machine: Weak<Machine>,
    /// Tasks of the turn under way.
    pub(super) turn: RefCell<VecDeque<TaskId>>,
    /// Tasks woken since it began.
    pub(super) next: RefCell<Vec<TaskId>>,
    /// Tasks that woke themselves since it began, in order: they come after those.
    pub(super) yielded: RefCell<VecDeque<TaskId>>,
    /// Its random numbers, while it is not the one that runs.
    pub(super) chance: RefCell<fastrand::Rng>,
}

impl Seat {
    /// The machine, while it runs.
    pub(crate) fn machine(&self) -> Option<Rc<Machine>> {
        self.machine.upgrade()
    }

    pub(super) fn is_ready(&self) -> bool {
        let is_empty = self.turn.borrow().is_empty()
            && self.next.borrow().is_empty()
            && self.yielded.borrow().is_empty();
        !is_empty
    }

    /// Adds a task, ready at the next turn. A machine that is over drops it.
    pub(crate) fn spawn(self: &Rc<Self>, class: Class, running: Running) {
        if let Some(machine) = self.machine.upgrade() {
            machine.spawn(self, class, running);
        }
    }
}

/// Makes this thread an executor's for as long as it lives: context, random numbers, virtual time. Nests.
pub(super) struct Seated<'a> {
    machine: &'a Machine,
    seat: &'a Seat,
    outer: Option<Rc<Executor>>,
    outer_time_ns: Option<u64>,
}

impl<'a> Seated<'a> {
    pub(super) fn new(machine: &'a Machine, seat: &'a Seat, executor: Rc<Executor>) -> Self {
        let outer = context::swap(Some(executor));
        random::swap_thread(&mut seat.chance.borrow_mut());
        // Inside another task of the same machine, time is where that one has got to.
        let outer_time_ns = clock::swap_virtual(None);
        machine.pass_until(outer_time_ns.unwrap_or_default());
        clock::swap_virtual(Some(machine.time_ns()));
        Self { machine, seat, outer, outer_time_ns }
    }
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        // Looking at the clock took time.
        let time_ns = clock::swap_virtual(None).unwrap_or_default();
        self.machine.pass_until(time_ns);
        // Time went on for the outer one too.
        clock::swap_virtual(self.outer_time_ns.map(|outer_ns| outer_ns.max(self.machine.time_ns())));
        random::swap_thread(&mut self.seat.chance.borrow_mut());
        drop(context::swap(self.outer.take()));
    }
}
