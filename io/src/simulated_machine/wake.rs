//! Wakes of simulated tasks: the one part of a machine that other threads may touch.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;
use std::thread::Thread;

/// A task of a machine: numbers are given in the order in which tasks begin.
pub(super) type TaskId = u64;

/// The tasks woken since the machine last looked. The only part that other threads see.
#[derive(Debug)]
pub(crate) struct Ready {
    woken: Mutex<Vec<TaskId>>,
    thread: Thread,
    parked: AtomicBool,
}

impl Ready {
    /// The queue of a machine on this thread.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            woken: Mutex::default(),
            thread: std::thread::current(),
            parked: AtomicBool::new(false),
        })
    }

    pub(super) fn push(&self, task: TaskId) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        if self.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    pub(super) fn take(&self) -> Vec<TaskId> {
        mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sleeps until a task is woken. Either the waker sees `parked`, or this sees what it woke.
    pub(super) fn park(&self) {
        self.parked.store(true, Ordering::SeqCst);
        if self.woken.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            std::thread::park();
        }
        self.parked.store(false, Ordering::SeqCst);
    }
}

pub(super) struct TaskWake {
    pub(super) task: TaskId,
    /// Set from the wake until the poll.
    pub(super) queued: AtomicBool,
    pub(super) ready: Arc<Ready>,
}

impl Wake for TaskWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.task);
        }
    }
}

/// Remembers that it was woken, and ends the sleep of the machine's thread.
pub(super) struct Woken {
    pub(super) woken: AtomicBool,
    thread: Thread,
}

impl Woken {
    /// Woken from the start, so that the first poll comes by itself.
    pub(super) fn new(ready: &Ready) -> Arc<Self> {
        Arc::new(Self { woken: AtomicBool::new(true), thread: ready.thread.clone() })
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
