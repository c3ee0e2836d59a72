//! Memory that the kernel may read and write while an operation runs: aligned, owned, never moved.
//!
//! Invariants:
//! * The address of the bytes is fixed from allocation to release, however often the value moves.
//! * Every byte is initialised from the start (fresh memory is zeroed, recycled memory keeps old bytes).
#![expect(
    unsafe_code,
    reason = "aligned memory with a fixed address: no safe container of std promises both"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::chunk::Chunk;
use crate::direct_io::BUFFER_ALIGN_BYTES;
use crate::slots::Slot;

/// Zeroed memory at an address that is a multiple of [`BUFFER_ALIGN_BYTES`]. May change threads.
#[derive(Debug)]
pub(crate) struct AlignedMemory {
    start: NonNull<u8>,
    /// Zero exactly when nothing is allocated.
    bytes: usize,
    /// Operations on a ring that can register memory, up to the one that did.
    pub(crate) uses: u8,
    /// Where a ring knows it by heart. Given back when the memory is freed.
    pub(crate) slot: Option<Slot>,
    /// What it is a part of; the allocator's own otherwise.
    chunk: Option<Arc<Chunk>>,
}

// SAFETY: the memory is owned by this value alone, as a Box<[u8]> owns its bytes; the pointer is never shared.
unsafe impl Send for AlignedMemory {}

impl AlignedMemory {
    /// Nothing, at no cost: stands in while the memory is with a running operation.
    pub(crate) fn empty() -> Self {
        Self { start: NonNull::dangling(), bytes: 0, uses: 0, slot: None, chunk: None }
    }

    /// Zeroed memory of this many bytes; `None` when the allocator has none.
    pub(crate) fn allocate(bytes: usize) -> Option<Self> {
        let layout = Self::layout(bytes)?;
        // SAFETY: `layout` returns no layout of zero size.
        let start = unsafe { alloc_zeroed(layout) };
        Some(Self { start: NonNull::new(start)?, bytes, uses: 0, slot: None, chunk: None })
    }

    /// A part of a chunk, with whatever was there; `None` when the chunk has no such part free.
    pub(crate) fn from_chunk(chunk: &Arc<Chunk>, bytes: usize) -> Option<Self> {
        let start = chunk.take(bytes)?;
        Some(Self { start, bytes, uses: 0, slot: None, chunk: Some(Arc::clone(chunk)) })
    }

    pub(crate) fn is_of_chunk(&self) -> bool {
        self.chunk.is_some()
    }

    fn layout(bytes: usize) -> Option<Layout> {
        if bytes == 0 { None } else { Layout::from_size_align(bytes, BUFFER_ALIGN_BYTES).ok() }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Where the bytes start. Stays valid while this value lives, wherever it is moved.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Deref for AlignedMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` is dangling with a length of zero, or points to `bytes` initialised bytes that this value
        // owns; the borrow of `self` keeps them from being written or freed.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for AlignedMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the exclusive borrow of `self` is the only way to these bytes.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for AlignedMemory {
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            chunk.give_back(self.start, self.bytes);
        } else if let Some(layout) = Self::layout(self.bytes) {
            // SAFETY: allocated in `allocate` with this very layout, and not freed before: only drop frees.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_zeroed_and_at_a_fixed_address() {
        // Miri interprets each byte.
        for bytes in [512, 4096, 12_288, if cfg!(miri) { 16_384 } else { 1 << 20 }] {
            let mut memory = AlignedMemory::allocate(bytes).unwrap();
            let start = memory.start();
            assert_eq!(start.addr() % BUFFER_ALIGN_BYTES, 0);
            assert_eq!(memory.len(), bytes);
            assert!(memory.iter().all(|byte| *byte == 0));
            memory.fill(0xAB);
            let moved = Box::new(memory);
            assert_eq!(moved.start(), start);
            let moved = std::thread::spawn(move || *moved).join().unwrap();
            assert!(moved.iter().all(|byte| *byte == 0xAB));
        }
    }

    /// What a ring does: it is shown the address before the value moves to its place, the kernel writes there, and the
    /// owner looks only afterwards. Miri sees when a borrow in between makes the pointer stale.
    #[test]
    fn bytes_written_at_the_address_are_there_when_the_owner_looks() {
        let mut places = Vec::new();
        for round in 0..3_u8 {
            let mut memory = AlignedMemory::allocate(4096).unwrap();
            memory.fill(round);
            let kernel = memory.start().wrapping_add(512);
            places.push(Some(memory));
            places.reserve(64);
            // SAFETY: within the memory, which its owner neither looks at nor frees meanwhile.
            unsafe { kernel.write_bytes(0xEE, 512) };
            let mut memory = places.last_mut().and_then(Option::take).unwrap();
            assert!(memory[..512].iter().all(|byte| *byte == round));
            assert!(memory[512..1024].iter().all(|byte| *byte == 0xEE));
            memory[0] = 1;
            // SAFETY: as above; the pointer was made before the owner wrote.
            unsafe { kernel.write_bytes(0xDD, 512) };
            assert!(memory[512..1024].iter().all(|byte| *byte == 0xDD));
        }
    }

    #[test]
    fn nothing_is_nothing() {
        let mut memory = AlignedMemory::empty();
        assert!(memory.is_empty());
        assert!(memory.iter_mut().next().is_none());
        assert!(AlignedMemory::allocate(0).is_none());
        assert!(AlignedMemory::allocate(usize::MAX).is_none());
    }
}
