//! Places in a table that the kernel keeps beside the ring: of registered buffers, of registered files.
//!
//! ```text
//! take ──> Slot (a place, owned) ──> the ring enters buffer or file there
//! drop ──> retired ──> the ring's next turn empties the place in the kernel ──> free
//! ```
//!
//! Invariant: a place is given out again only after the kernel has let go of what was there.

use std::sync::{Arc, Mutex, PoisonError};

/// The places of one table. Behind a lock, because memory that holds one may be dropped on another thread.
#[derive(Debug)]
pub(crate) struct Slots {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: Vec<u16>,
    retired: Vec<u16>,
    /// The kernel refused one, or has no such table: no more are given out.
    closed: bool,
}

/// One place, as long as this lives.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    index: u16,
}

impl Slots {
    /// A table of so many places; of none when the kernel has none.
    pub(crate) fn new(count: u16) -> Arc<Self> {
        let state = State { free: (0..count).rev().collect(), retired: Vec::new(), closed: false };
        Arc::new(Self { state: Mutex::new(state) })
    }

    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        let mut state = self.locked();
        if state.closed {
            return None;
        }
        let index = state.free.pop()?;
        drop(state);
        Some(Slot { slots: Arc::clone(self), index })
    }

    /// Places that the kernel is to empty; say [`freed`](Self::freed) when it has.
    pub(crate) fn take_retired(&self) -> Vec<u16> {
        std::mem::take(&mut self.locked().retired)
    }

    pub(crate) fn freed(&self, index: u16) {
        self.locked().free.push(index);
    }

    /// Gives out no more: the kernel's limit is reached.
    pub(crate) fn close(&self) {
        self.locked().closed = true;
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        // A poisoned lock cannot be: nothing here panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(crate) fn index(&self) -> u16 {
        self.index
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.locked().retired.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_only_after_the_kernel_let_go() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take().unwrap(), slots.take().unwrap());
        assert_eq!((first.index(), second.index()), (0, 1));
        assert!(slots.take().is_none());
        drop(first);
        assert!(slots.take().is_none(), "the kernel still has it");
        assert_eq!(slots.take_retired(), [0]);
        slots.freed(0);
        assert_eq!(slots.take().unwrap().index(), 0);
        slots.close();
        assert!(slots.take().is_none());
    }
}
