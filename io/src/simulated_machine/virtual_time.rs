//! The time of a simulated machine: it goes on when the machine says so.

use std::cell::Cell;

/// See the module. In nanoseconds since the machine was made.
#[derive(Debug, Default)]
pub(super) struct VirtualTime(Cell<u64>);

impl VirtualTime {
    pub(super) fn now_ns(&self) -> u64 {
        self.0.get()
    }

    /// Lets time go on to this point, if it is not past it.
    pub(super) fn pass_until(&self, time_ns: u64) {
        self.0.set(self.0.get().max(time_ns));
    }
}
