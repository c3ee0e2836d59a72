//! How a simulated executor ended, told to whoever joins it.

use std::sync::{Arc, Mutex, PoisonError};

use super::wake::Ready;
use crate::error::IoError;

/// The joining end of a simulated executor. The executor itself stays on the thread of its world.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedEnd {
    outcome: Arc<Mutex<Option<Result<(), IoError>>>>,
    /// Tells which world it is.
    pub(super) ready: Arc<Ready>,
}

impl SimulatedEnd {
    pub(super) fn new(ready: &Arc<Ready>) -> Self {
        Self { outcome: Arc::default(), ready: Arc::clone(ready) }
    }

    /// The first outcome counts.
    pub(crate) fn set(&self, outcome: Result<(), IoError>) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(outcome);
    }

    pub(crate) fn get(&self) -> Option<Result<(), IoError>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
