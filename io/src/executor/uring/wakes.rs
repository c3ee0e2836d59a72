//! Wakes of the root task, from any thread and at any time, also after its executor.
//!
//! ```text
//! wake: woken := true ─ asleep? ─ yes ─> write to the eventfd ──> poll on the ring completes ──> the thread returns
//! loop: asleep := true ─ woken? ─ no ──> io_uring_enter, waits ──────────────────────────────────────┘
//! ```
//!
//! Invariant: both flags are sequentially consistent and each side writes its own before it reads the other's, so
//! either the waker sees the sleep or the loop sees the wake.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use rustix::event::{EventfdFlags, eventfd};

#[derive(Debug)]
pub(super) struct Wakes {
    /// Somebody was woken since the flag was cleared.
    woken: AtomicBool,
    /// The thread sleeps in the kernel, or is about to: who wakes it writes to the eventfd.
    asleep: AtomicBool,
    eventfd: OwnedFd,
}

impl Wakes {
    /// As if woken already: the root's first poll.
    pub(super) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { woken: AtomicBool::new(true), asleep: AtomicBool::new(false), eventfd })
    }

    /// Whether the root is to be polled, which clears it.
    pub(super) fn take(&self) -> bool {
        self.woken.swap(false, Ordering::SeqCst)
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// The thread is about to sleep, unless this says that it was woken.
    pub(super) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        !self.is_woken()
    }

    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Readable after a wake that found the thread asleep. Never read: the ring sees each write as an edge.
    pub(super) fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    fn remember(&self) {
        if !self.woken.swap(true, Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            // Any number but zero will do, and it fails only after 2^56 writes.
            let _ = rustix::io::write(&self.eventfd, &1_u64.to_le_bytes());
        }
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.remember();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.remember();
    }
}
