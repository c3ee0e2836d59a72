//! What an executor has of the simulated machine that it runs on.

use std::rc::{Rc, Weak};

use super::machine::{Class, Machine, Running};
use super::seat::Seat;

/// Which machine, and which of its seats. It does not keep the machine.
#[derive(Debug)]
pub(crate) struct Ticket {
    machine: Weak<Machine>,
    seat: Rc<Seat>,
}

impl Ticket {
    pub(crate) fn new(machine: &Rc<Machine>, seat: Rc<Seat>) -> Self {
        Self { machine: Rc::downgrade(machine), seat }
    }

    /// The machine, while it runs.
    pub(crate) fn machine(&self) -> Option<Rc<Machine>> {
        self.machine.upgrade()
    }

    /// Adds a task, ready at the next turn. A machine that is over drops it.
    pub(crate) fn spawn(&self, class: Class, running: Running) {
        if let Some(machine) = self.machine.upgrade() {
            machine.spawn(&self.seat, class, running);
        }
    }
}
