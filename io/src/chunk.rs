//! Two megabytes that the kernel is asked to back by one huge page, and the buffers that are cut out of them.
//!
//! A device is shown memory by its physical pages. A 64 KiB buffer of scattered 4 KiB pages is sixteen pieces, and a virtual
//! disk without indirect descriptors takes 256 pieces in all: fourteen such reads fill its queue, and each costs the host
//! sixteen look-ups. Out of a huge page it is one piece (measured in `docs/performance.md`).
//!
//! ```text
//! chunk   | buffer | free | buffer        | buffer | free ..      |     512 pages, a bit for each that is taken
//! ```
//!
//! Invariants:
//! * Pages are taken by one buffer at a time, and given back by its drop, on whichever thread that is.
//! * The chunk lives as long as the last of its buffers.
//! * Where the kernel has no huge page, or is told to have none, it is memory like any other.
#![expect(unsafe_code, reason = "memory with an alignment of its own, handed out in parts")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::mm::{Advice, madvise};

use crate::direct_io::BUFFER_ALIGN_BYTES;

/// Length and alignment: a huge page of x86-64 and of AArch64 with 4 KiB pages.
pub(crate) const CHUNK_BYTES: usize = 2 << 20;

const PAGES: usize = CHUNK_BYTES / BUFFER_ALIGN_BYTES;
const LAYOUT: Option<Layout> = match Layout::from_size_align(CHUNK_BYTES, CHUNK_BYTES) {
    Ok(layout) => Some(layout),
    Err(_) => None,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Chunk {
    start: NonNull<u8>,
    taken: Mutex<[bool; PAGES]>,
}

// SAFETY: the memory is owned by this value; parts of it are handed out once each, under the lock, and their owners
// alone touch them.
unsafe impl Send for Chunk {}
// SAFETY: as above; what is shared is the address and the lock.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Zeroed; `None` when the allocator has none.
    pub(crate) fn allocate() -> Option<Self> {
        let layout = LAYOUT?;
        // SAFETY: the layout is not of zero size.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        if !cfg!(miri) {
            // SAFETY: exactly the memory just allocated; the advice changes no byte of it. A wish: without it the
            // memory serves as well.
            let _ = unsafe { madvise(start.as_ptr().cast(), CHUNK_BYTES, Advice::LinuxHugepage) };
        }
        Some(Self { start, taken: Mutex::new([false; PAGES]) })
    }

    /// Takes so many bytes in a row, rounded up to pages: the first place that has them.
    pub(crate) fn take(&self, bytes: usize) -> Option<NonNull<u8>> {
        let pages = bytes.div_ceil(BUFFER_ALIGN_BYTES);
        let mut taken = self.locked();
        let mut free = 0;
        let last = taken.iter().position(|is_taken| {
            free = if *is_taken { 0 } else { free + 1 };
            free == pages && pages > 0
        })?;
        let first = last + 1 - pages;
        taken.get_mut(first..=last)?.fill(true);
        // Within the chunk: `first` is a page of it.
        NonNull::new(self.start.as_ptr().wrapping_add(first * BUFFER_ALIGN_BYTES))
    }

    /// Gives back what `take` of so many bytes returned.
    pub(crate) fn give_back(&self, start: NonNull<u8>, bytes: usize) {
        let offset = start.as_ptr().addr().wrapping_sub(self.start.as_ptr().addr());
        let first = offset / BUFFER_ALIGN_BYTES;
        let pages = bytes.div_ceil(BUFFER_ALIGN_BYTES);
        if let Some(pages) = self.locked().get_mut(first..first.saturating_add(pages)) {
            pages.fill(false);
        }
    }

    /// Whether no buffer has a part of it.
    pub(crate) fn is_free(&self) -> bool {
        self.locked().iter().all(|is_taken| !is_taken)
    }

    fn locked(&self) -> MutexGuard<'_, [bool; PAGES]> {
        // Nothing here panics while it is held.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(layout) = LAYOUT {
            // SAFETY: allocated in `allocate` with this layout; buffers keep the chunk alive, so none is left.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_overlap_and_come_back() {
        let chunk = Chunk::allocate().unwrap();
        assert_eq!(chunk.start.as_ptr().addr() % CHUNK_BYTES, 0);
        let mut parts: Vec<_> = (0..32).map(|_| chunk.take(64 << 10).unwrap()).collect();
        assert!(chunk.take(4096).is_none());
        parts.sort_unstable();
        assert!(parts.windows(2).all(|pair| pair[1].as_ptr().addr() - pair[0].as_ptr().addr() == 64 << 10));
        // Neighbours that come back are one place again.
        chunk.give_back(parts[3], 64 << 10);
        assert!(chunk.take(128 << 10).is_none());
        chunk.give_back(parts[4], 64 << 10);
        assert_eq!(chunk.take(128 << 10), Some(parts[3]));
        chunk.give_back(parts[3], 128 << 10);
        for (index, part) in parts.into_iter().enumerate() {
            if index != 3 && index != 4 {
                chunk.give_back(part, 64 << 10);
            }
        }
        assert!(chunk.is_free());
        assert!(chunk.take(0).is_none() && chunk.take(CHUNK_BYTES + 1).is_none());
        assert!(chunk.take(CHUNK_BYTES).is_some());
    }
}
