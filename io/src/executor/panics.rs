//! Panics of one executor's tasks, kept for whoever asks.

use std::any::Any;
use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use crate::error::{IoError, IoErrorKind};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Panics {
    /// Message of the first task that panicked with nobody waiting for it.
    first: RefCell<Option<String>>,
    /// Message of the first vital task that panicked, and who waits for one.
    vital: RefCell<(Option<String>, Option<Waker>)>,
}

impl Panics {
    /// Notes the panic of a task that nobody waits for.
    pub(super) fn note(&self, message: &str) {
        self.first.borrow_mut().get_or_insert_with(|| message.to_owned());
    }

    /// Notes the panic of a vital task, and wakes who waits for one.
    pub(super) fn note_vital(&self, message: &str) {
        let waker = {
            let mut vital = self.vital.borrow_mut();
            vital.0.get_or_insert_with(|| message.to_owned());
            vital.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Message of the first vital task that panicked; until then the context's task waits for one.
    pub(super) fn poll_vital(&self, context: &Context<'_>) -> Poll<String> {
        let mut vital = self.vital.borrow_mut();
        if let Some(message) = &vital.0 {
            return Poll::Ready(message.clone());
        }
        let is_known = vital.1.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        let before = if is_known { None } else { vital.1.replace(context.waker().clone()) };
        drop(vital);
        // A waker may own anything: dropped when nothing is borrowed.
        drop(before);
        Poll::Pending
    }

    /// Message of the first task that panicked with nobody waiting for it.
    pub(super) fn message(&self) -> Option<String> {
        self.first.borrow().clone()
    }
}

/// The text of a panic.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// The error of an executor that ended with a panic.
pub(super) fn panicked(message: &str) -> IoError {
    IoError::new(IoErrorKind::Panicked, "run executor").with_found(message)
}
