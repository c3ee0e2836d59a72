//! The handle to a running executor thread.

use std::thread::JoinHandle;

use super::panics::{panic_message, panicked};
use crate::error::IoError;
use crate::simulated_machine::drive::drive_to;
use crate::simulated_machine::end::SimulatedEnd;

/// A running executor thread. Dropping it lets the thread run on alone.
#[derive(Debug)]
pub struct ExecutorThread {
    pub(super) handle: Handle,
    pub(super) pin_note: Option<String>,
}

/// Where it runs.
#[derive(Debug)]
pub(super) enum Handle {
    Thread(JoinHandle<Result<(), IoError>>),
    /// It is on the thread of its world.
    Simulated(SimulatedEnd),
}

impl ExecutorThread {
    /// Waits for the thread to end. Blocks; not for a thread that the other one needs to end. An executor of a simulated
    /// world is driven to its end, with all others of its world.
    ///
    /// # Errors
    /// `Panicked` when `main`, or a local task whose [`Task`](crate::Task) was dropped, panicked; `Other` when
    /// operations were still in flight a minute after `main` ended (a dead device), and were left behind, and when a
    /// simulated world came to rest, or crashed, before `main` ended.
    pub fn join(self) -> Result<(), IoError> {
        match self.handle {
            Handle::Thread(thread) => match thread.join() {
                Ok(ended) => ended,
                Err(payload) => Err(panicked(&panic_message(payload.as_ref()))),
            },
            Handle::Simulated(end) => drive_to(&end),
        }
    }

    /// Whether it has ended: `join` does not block then.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match &self.handle {
            Handle::Thread(thread) => thread.is_finished(),
            Handle::Simulated(end) => end.get().is_some(),
        }
    }

    /// Why the thread is not tied to its CPU, when it is not: one line. It runs all the same.
    #[must_use]
    pub fn pin_note(&self) -> Option<&str> {
        self.pin_note.as_deref()
    }
}
