//! What is handed to the kernel through the ring: the bytes of a transfer, and a file's descriptor.
//!
//! Who keeps which duty:
//! * tokio-uring keeps a transfer (moved, not copied) from submission to completion, in the future or, when that
//!   is dropped, in its driver. One gap is ours to close: its driver, when dropped with operations in flight, frees their
//!   buffers before it waits for the kernel. `executor/run/tokio_uring.rs` never drops it so: it drains first,
//!   and leaks the driver when draining fails.
//! * A transfer keeps the address of its bytes fixed and hands out no reference to them.
#![expect(unsafe_code, reason = "promises to tokio-uring and to std that the compiler cannot check")]

use std::os::fd::{AsRawFd, BorrowedFd};

use tokio_uring::buf::{IoBuf, IoBufMut};

use crate::transfer::Transfer;

// SAFETY: `stable_ptr` points into memory that the transfer's buffer owns by raw pointer; its address does not
// change when the transfer moves, and it is freed only when the transfer is dropped (`buffer_memory.rs`).
unsafe impl IoBuf for Transfer {
    fn stable_ptr(&self) -> *const u8 {
        self.buffer.start().wrapping_add(self.start).cast_const()
    }

    fn bytes_init(&self) -> usize {
        self.bytes_total()
    }

    fn bytes_total(&self) -> usize {
        self.buffer.bytes().saturating_sub(self.start)
    }
}

// SAFETY: as for IoBuf; the memory is writable, and the transfer is its only owner.
unsafe impl IoBufMut for Transfer {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.buffer.start().wrapping_add(self.start)
    }

    unsafe fn set_init(&mut self, _position: usize) {
        // All bytes are initialised from the start.
    }
}

/// The descriptor of an open file.
pub(crate) fn descriptor(file: &tokio_uring::fs::File) -> BorrowedFd<'_> {
    // SAFETY: the file keeps its descriptor open until it is dropped or `close` consumes it, and the result
    // borrows the file for as long as it lives.
    unsafe { BorrowedFd::borrow_raw(file.as_raw_fd()) }
}
