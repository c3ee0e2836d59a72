//! Bytes for one operation: memory of a pool, owned, that goes back to it.
//!
//! Invariant: a `Buffer` has one owner. While an operation runs, that owner is the operation, never the caller, so nobody
//! can see or free bytes that the kernel still writes (`file.rs` and `executor/` keep that duty).

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::budget::Grant;
use crate::buffer_memory::AlignedMemory;
use crate::buffer_pool::BufferPool;
use crate::error::IoError;

/// Bytes for one operation, from the pool of the executor's thread; goes back to it on drop.
///
/// The address is a multiple of [`BUFFER_ALIGN_BYTES`](crate::BUFFER_ALIGN_BYTES), the length is what was asked for (a
/// multiple of [`SECTOR_BYTES`](crate::SECTOR_BYTES)). A fresh buffer holds old bytes or zeroes: write or read over all of it before use.
pub struct Buffer {
    memory: AlignedMemory,
    bytes: usize,
    pool: Rc<BufferPool>,
    /// The part of the pool's budget that this buffer holds. Given back after the memory: see `Drop`.
    _grant: Grant,
}

impl Buffer {
    /// A buffer of so many bytes, as soon as the pool's limit allows.
    pub(crate) async fn acquire(pool: Rc<BufferPool>, bytes: usize) -> Result<Self, IoError> {
        let (memory, grant) = pool.acquire(bytes).await?;
        Ok(Self::new(memory, bytes, pool, grant))
    }

    /// A buffer of so many bytes, now or not at all.
    pub(crate) fn try_acquire(pool: Rc<BufferPool>, bytes: usize) -> Result<Self, IoError> {
        let (memory, grant) = pool.try_acquire(bytes)?;
        Ok(Self::new(memory, bytes, pool, grant))
    }

    fn new(memory: AlignedMemory, bytes: usize, pool: Rc<BufferPool>, grant: Grant) -> Self {
        debug_assert!(bytes <= memory.len());
        Self { memory, bytes, pool, _grant: grant }
    }

    /// Takes the memory out, to lend it to another thread. The buffer is empty until `put_memory`.
    pub(crate) fn take_memory(&mut self) -> AlignedMemory {
        std::mem::replace(&mut self.memory, AlignedMemory::empty())
    }

    pub(crate) fn put_memory(&mut self, memory: AlignedMemory) {
        debug_assert!(self.bytes <= memory.len());
        self.memory = memory;
    }

    pub(crate) fn memory_mut(&mut self) -> &mut AlignedMemory {
        &mut self.memory
    }

    /// Where the bytes start; valid as long as this buffer lives, wherever it is moved.
    pub(crate) fn start(&self) -> *mut u8 {
        self.memory.start()
    }

    /// Length in bytes, also while the memory is lent out.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.get(..self.bytes).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(..self.bytes).unwrap_or_default()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = self.take_memory();
        self.pool.put_back(memory);
    }
}
