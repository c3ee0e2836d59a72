//! The place of one executor in a simulated machine, and what makes the thread its own while one of its tasks is polled.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use super::virtual_time::VirtualTime;
use super::wake::TaskId;
use crate::clock;
use crate::random;

/// Who sits in a seat: an executor, as far as its machine has to know it.
pub(crate) trait Occupant: fmt::Debug {
    /// Makes this thread its own; whose it was.
    fn enter(self: Rc<Self>) -> Option<Rc<dyn Occupant>>;

    /// Makes this thread nobody's.
    fn leave(&self);

    /// Ends its local tasks.
    fn end_main(&self);

    /// Local tasks are over: none is polled any more.
    fn main_ended(&self) -> bool;
}

/// One executor of a machine.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(super) index: usize,
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
    pub(super) fn is_ready(&self) -> bool {
        let is_empty = self.turn.borrow().is_empty()
            && self.next.borrow().is_empty()
            && self.yielded.borrow().is_empty();
        !is_empty
    }
}

/// Makes this thread an executor's for as long as it lives: context, random numbers, virtual time. Nests.
pub(super) struct Seated<'a> {
    time: &'a VirtualTime,
    seat: &'a Seat,
    occupant: Rc<dyn Occupant>,
    outer: Option<Rc<dyn Occupant>>,
    outer_time_ns: Option<u64>,
}

impl<'a> Seated<'a> {
    pub(super) fn new(time: &'a VirtualTime, seat: &'a Seat, occupant: Rc<dyn Occupant>) -> Self {
        let outer = Rc::clone(&occupant).enter();
        random::swap_thread(&mut seat.chance.borrow_mut());
        // Inside another task of the same machine, time is where that one has got to.
        let outer_time_ns = clock::swap_virtual(None);
        time.pass_until(outer_time_ns.unwrap_or_default());
        clock::swap_virtual(Some(time.now_ns()));
        Self { time, seat, occupant, outer, outer_time_ns }
    }
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        // Looking at the clock took time.
        let time_ns = clock::swap_virtual(None).unwrap_or_default();
        self.time.pass_until(time_ns);
        // Time went on for the outer one too.
        clock::swap_virtual(self.outer_time_ns.map(|outer_ns| outer_ns.max(self.time.now_ns())));
        random::swap_thread(&mut self.seat.chance.borrow_mut());
        match self.outer.take() {
            Some(outer) => drop(outer.enter()),
            None => self.occupant.leave(),
        }
    }
}
