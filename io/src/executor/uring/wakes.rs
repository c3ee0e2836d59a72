//! Wakes of the root task, from any thread and at any time, also after its executor.
//!
//! ```text
//! wake: woken := true ─ asleep? ─ yes ─> write to the eventfd ──> poll on the ring completes ──> the thread returns
//! loop: asleep := true ─ woken? ─ no ──> io_uring_enter, waits ──────────────────────────────────────┘
//! ```
//!
//! No wake is lost: `handshake.rs` says why.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::Wake;

use rustix::event::{EventfdFlags, eventfd};

use crate::executor::handshake::Handshake;

#[derive(Debug)]
pub(super) struct Wakes {
    handshake: Handshake,
    eventfd: OwnedFd,
}

impl Wakes {
    /// As if woken already: the root's first poll.
    pub(super) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { handshake: Handshake::new(true), eventfd })
    }

    /// Whether the root is to be polled, which clears it.
    pub(super) fn take(&self) -> bool {
        self.handshake.take()
    }

    pub(super) fn is_woken(&self) -> bool {
        self.handshake.is_woken()
    }

    /// The thread is about to sleep, unless this says that it was woken.
    pub(super) fn fall_asleep(&self) -> bool {
        self.handshake.go_away()
    }

    pub(super) fn awake(&self) {
        self.handshake.come_back();
    }

    /// Readable after a wake that found the thread asleep. Never read: the ring sees each write as an edge.
    pub(super) fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    fn remember(&self) {
        if self.handshake.wake() {
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
