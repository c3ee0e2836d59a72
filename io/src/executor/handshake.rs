//! How a wake reaches a loop that is about to sleep: two flags, of which each side writes its own before it reads the other's.
//!
//! ```text
//! wake   woken := true ── was it false, and is the loop away? ── yes ─> ring the bell (eventfd, the runtime's waker)
//! loop   away := true ─── woken? ── no ─> sleep until the bell rings
//! ```
//!
//! So either the waker sees the loop go, or the loop sees the wake. Every write is a swap, which reads the newest value and what was
//! written before it: the protocol stands on acquire and release alone, and `handshake_test.rs` has each interleaving of it tried.
//!
//! Invariants:
//! * A wake that finds `woken` set leaves the bell to the one that set it, who rings unless the loop is awake.
//! * The bell rings at most once each time the loop goes away.

use std::sync::atomic::{AtomicBool, Ordering};

/// A flag of two threads.
pub(super) trait Flag {
    fn new(value: bool) -> Self;
    /// Sets it; the value before.
    fn swap(&self, value: bool) -> bool;
    fn is_set(&self) -> bool;
}

impl Flag for AtomicBool {
    fn new(value: bool) -> Self {
        Self::new(value)
    }

    fn swap(&self, value: bool) -> bool {
        self.swap(value, Ordering::SeqCst)
    }

    fn is_set(&self) -> bool {
        self.load(Ordering::SeqCst)
    }
}

/// The flags of one loop.
#[derive(Debug)]
pub(super) struct Handshake<F = AtomicBool> {
    /// Somebody was woken since the flag was cleared.
    woken: F,
    /// The loop sleeps, or is about to: who wakes it rings.
    away: F,
}

impl<F: Flag> Handshake<F> {
    /// Of a loop that is awake, and was woken or not.
    pub(super) fn new(woken: bool) -> Self {
        Self { woken: F::new(woken), away: F::new(false) }
    }

    /// Leaves a wake behind, from any thread. True: ring the bell.
    pub(super) fn wake(&self) -> bool {
        !self.woken.swap(true) && self.away.swap(false)
    }

    /// Whether the loop was woken, which clears it. What is looked at after this need not be remembered.
    pub(super) fn take(&self) -> bool {
        self.woken.swap(false)
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.is_set()
    }

    /// The loop goes to sleep until the bell rings, unless this says that it was woken meanwhile.
    pub(super) fn go_away(&self) -> bool {
        self.away.swap(true);
        !self.is_woken()
    }

    /// The loop is awake, and looks at [`Self::take`] by itself.
    pub(super) fn come_back(&self) {
        self.away.swap(false);
    }
}
