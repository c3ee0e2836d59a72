//! How a simulated executor ended, told to whoever joins it.

use std::sync::{Arc, Mutex, PoisonError};

use super::machine;
use super::wake::Ready;
use crate::error::{IoError, IoErrorKind};

/// The joining end of a simulated executor. The executor itself stays on the thread of its world.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedEnd {
    outcome: Arc<Mutex<Option<Result<(), IoError>>>>,
    /// Tells which world it is.
    ready: Arc<Ready>,
}

impl SimulatedEnd {
    pub(super) fn new(ready: &Arc<Ready>) -> Self {
        Self { outcome: Arc::default(), ready: Arc::clone(ready) }
    }

    /// The first outcome counts.
    pub(super) fn set(&self, outcome: Result<(), IoError>) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(outcome);
    }

    pub(crate) fn get(&self) -> Option<Result<(), IoError>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Drives the world until the executor has ended. That works inside a task of the same world, too: the other
    /// tasks go on meanwhile.
    pub(crate) fn join(&self) -> Result<(), IoError> {
        let stuck = |found| IoError::new(IoErrorKind::Other, "join executor").with_found(found);
        let machine = machine::on_this_thread(&self.ready);
        let mut polls = 0;
        loop {
            if let Some(outcome) = self.get() {
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
}
