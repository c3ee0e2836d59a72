//! Driving a simulated world from the thread that joins one of its executors.

use super::end::SimulatedEnd;
use super::machine::on_this_thread;
use crate::error::{IoError, IoErrorKind};

/// Drives the world of an executor until that has ended. That works inside a task of the same world, too: the other
/// tasks go on meanwhile.
pub(crate) fn drive_to(end: &SimulatedEnd) -> Result<(), IoError> {
    let stuck = |found| IoError::new(IoErrorKind::Other, "join executor").with_found(found);
    let machine = on_this_thread(&end.ready);
    let mut polls = 0;
    loop {
        if let Some(outcome) = end.get() {
            return outcome;
        }
        let Some(machine) = &machine else {
            return Err(stuck("its world is on another thread, or over"));
        };
        if polls >= machine.options.polls_max {
            return Err(stuck("polls_max: its world does not come to rest"));
        }
        if !machine.step() {
            return Err(stuck("its world is at rest and the executor still waits, or the world crashed"));
        }
        polls += 1;
    }
}
