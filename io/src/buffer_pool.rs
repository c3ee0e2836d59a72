//! The memory of one executor thread's buffers: a hard limit on their bytes, and a few kept for the next operation.
//!
//! ```text
//! acquire ──> budget (FIFO) ──> idle buffer of the same size class, else a part of a chunk, else the allocator ──> Buffer
//! drop    ──> idle list while it is short, else the allocator ──> budget, which serves the oldest waiter
//! ```
//!
//! Invariants:
//! * `leased + idle <= limit`: idle buffers make room for leased ones, never the other way round.
//! * `idle <= idle limit`, an eighth of the limit and at most 2 MiB: memory is reused under load and given back
//!   to the allocator after it.
//! * Large buffers are parts of chunks of 2 MiB while there are any free (`chunk.rs` says why). Chunks take at most a quarter of the
//!   limit, so free parts of them are at most that much beside it; of chunks that are free as a whole one is kept.
//! * Bytes are counted by size class, that is as allocated, not as asked for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::budget::{Budget, Grant};
use crate::buffer_memory::AlignedMemory;
use crate::chunk::{CHUNK_BYTES, Chunk};
use crate::direct_io::{BUFFER_ALIGN_BYTES, BUFFER_BYTES_MAX, SECTOR_BYTES};
use crate::error::{IoError, IoErrorKind};

/// Buffers of these lengths are parts of chunks: shorter ones are few pages anyhow, longer ones leave no room for another.
const CHUNKED_BYTES_MIN: usize = 16 << 10;
const CHUNKED_BYTES_MAX: usize = 1 << 20;

/// Most idle bytes a pool keeps, whatever its limit.
const IDLE_BYTES_MAX: usize = 2 << 20;

#[derive(Debug)]
pub(crate) struct BufferPool {
    leased: Rc<Budget>,
    idle: RefCell<BTreeMap<usize, Vec<AlignedMemory>>>,
    idle_bytes: Cell<usize>,
    idle_bytes_max: usize,
    chunks: RefCell<Vec<Arc<Chunk>>>,
    chunks_max: usize,
}

impl BufferPool {
    pub(crate) fn new(bytes_max: usize) -> Rc<Self> {
        Rc::new(Self {
            leased: Budget::new(bytes_max),
            idle: RefCell::default(),
            idle_bytes: Cell::new(0),
            idle_bytes_max: (bytes_max / 8).min(IDLE_BYTES_MAX),
            chunks: RefCell::default(),
            chunks_max: bytes_max / 4 / CHUNK_BYTES,
        })
    }

    pub(crate) fn leased_bytes(&self) -> usize {
        self.leased.used()
    }

    pub(crate) fn idle_bytes(&self) -> usize {
        self.idle_bytes.get()
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.leased.limit()
    }

    /// Memory for a buffer of so many bytes with its grant, as soon as the limit allows.
    pub(crate) async fn acquire(&self, bytes: usize) -> Result<(AlignedMemory, Grant), IoError> {
        let class_bytes = self.class_of(bytes)?;
        let grant = self.leased.take(class_bytes).await;
        self.lease(class_bytes, grant)
    }

    /// Memory for a buffer of so many bytes with its grant, now or not at all.
    pub(crate) fn try_acquire(&self, bytes: usize) -> Result<(AlignedMemory, Grant), IoError> {
        let class_bytes = self.class_of(bytes)?;
        let grant = self.leased.try_take(class_bytes).ok_or_else(|| {
            let free_bytes = self.bytes_max().saturating_sub(self.leased_bytes());
            IoError::new(IoErrorKind::PoolExhausted, OPERATION)
                .with_expected(format!("room for {class_bytes} bytes"))
                .with_found(format!("{free_bytes} of {} bytes free, or others waiting", self.bytes_max()))
        })?;
        self.lease(class_bytes, grant)
    }

    /// The size class of a request that this pool can ever serve.
    fn class_of(&self, bytes: usize) -> Result<usize, IoError> {
        if bytes == 0 || !bytes.is_multiple_of(SECTOR_BYTES) || bytes > BUFFER_BYTES_MAX {
            return Err(IoError::new(IoErrorKind::Misaligned, OPERATION)
                .with_expected(format!(
                    "a multiple of {SECTOR_BYTES} from {SECTOR_BYTES} to {BUFFER_BYTES_MAX} bytes"
                ))
                .with_found(format!("{bytes} bytes")));
        }
        let class_bytes = class_bytes(bytes);
        if class_bytes > self.bytes_max() {
            return Err(IoError::new(IoErrorKind::PoolExhausted, OPERATION)
                .with_expected(format!("at most the whole pool of {} bytes", self.bytes_max()))
                .with_found(format!("{class_bytes} bytes")));
        }
        Ok(class_bytes)
    }

    fn lease(&self, class_bytes: usize, grant: Grant) -> Result<(AlignedMemory, Grant), IoError> {
        let memory = match self.take_idle(class_bytes) {
            Some(memory) => memory,
            None => {
                self.make_room();
                self.part_of_chunk(class_bytes)
                    .or_else(|| AlignedMemory::allocate(class_bytes))
                    .ok_or_else(|| IoError::from_os(OPERATION, std::io::ErrorKind::OutOfMemory.into()))?
            }
        };
        Ok((memory, grant))
    }

    /// Of a chunk there is, else of a new one while there may be more.
    fn part_of_chunk(&self, class_bytes: usize) -> Option<AlignedMemory> {
        if !(CHUNKED_BYTES_MIN..=CHUNKED_BYTES_MAX).contains(&class_bytes) {
            return None;
        }
        let mut chunks = self.chunks.borrow_mut();
        if let Some(part) = chunks.iter().find_map(|chunk| AlignedMemory::from_chunk(chunk, class_bytes)) {
            return Some(part);
        }
        if chunks.len() >= self.chunks_max {
            return None;
        }
        let chunk = Arc::new(Chunk::allocate()?);
        let part = AlignedMemory::from_chunk(&chunk, class_bytes);
        chunks.push(chunk);
        part
    }

    /// Of chunks that no buffer uses one stays, for the next buffers.
    fn release_free_chunks(&self) {
        let mut kept = false;
        self.chunks.borrow_mut().retain(|chunk| !chunk.is_free() || !std::mem::replace(&mut kept, true));
    }

    fn take_idle(&self, class_bytes: usize) -> Option<AlignedMemory> {
        let memory = self.idle.borrow_mut().get_mut(&class_bytes)?.pop()?;
        self.idle_bytes.set(self.idle_bytes.get() - memory.len());
        Some(memory)
    }

    /// Releases idle buffers, largest first, until they and the leased ones fit the limit.
    fn make_room(&self) {
        let idle_bytes_target = self.bytes_max().saturating_sub(self.leased_bytes());
        while self.idle_bytes.get() > idle_bytes_target {
            let mut idle = self.idle.borrow_mut();
            let Some(mut class) = idle.last_entry() else { return };
            match class.get_mut().pop() {
                Some(memory) => self.idle_bytes.set(self.idle_bytes.get() - memory.len()),
                None => drop(class.remove()),
            }
        }
    }

    /// Takes a buffer's memory back, for the next one or for the allocator. Its grant is given back after this.
    pub(crate) fn put_back(&self, memory: AlignedMemory) {
        let bytes = memory.len();
        if bytes > 0 && self.idle_bytes.get() + bytes <= self.idle_bytes_max {
            self.idle_bytes.set(self.idle_bytes.get() + bytes);
            self.idle.borrow_mut().entry(bytes).or_default().push(memory);
        } else if memory.is_of_chunk() {
            drop(memory);
            self.release_free_chunks();
        }
    }
}

/// What errors of the pool, and of the way to it, call what was asked for.
pub(crate) const OPERATION: &str = "acquire buffer";

/// Rounds up to a size class: four classes for each doubling, so that at most a quarter is lost.
fn class_bytes(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 8).max(BUFFER_ALIGN_BYTES);
    bytes.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;

    const KIB: usize = 1024;

    #[test]
    fn size_classes_lose_at_most_a_quarter() {
        for (bytes, class) in [
            (512, 4096),
            (4096, 4096),
            (4608, 8192),
            (33 * KIB, 40 * KIB),
            (64 * KIB, 64 * KIB),
            (65 * KIB, 80 * KIB),
        ] {
            assert_eq!(class_bytes(bytes), class, "{bytes}");
        }
        for bytes in (512..4 << 20).step_by(if cfg!(miri) { 512 * 97 } else { 512 }) {
            let class = class_bytes(bytes);
            assert!(class >= bytes && class.is_multiple_of(BUFFER_ALIGN_BYTES));
            assert!(class - bytes < (class / 4).max(BUFFER_ALIGN_BYTES), "{bytes} became {class}");
        }
    }

    #[test]
    fn leased_and_idle_never_pass_the_limit() {
        let pool = BufferPool::new(1 << 20);
        let mut random = fastrand::Rng::with_seed(3);
        let mut held = Vec::new();
        // Miri interprets each byte of each fill.
        for _ in 0..if cfg!(miri) { 300 } else { 20_000 } {
            if random.bool() && !held.is_empty() {
                held.swap_remove(random.usize(..held.len()));
            } else if let Ok(mut buffer) = Buffer::try_acquire(Rc::clone(&pool), random.usize(1..=256) * 512)
            {
                buffer[..512].fill(0xCD);
                held.push(buffer);
            }
            assert!(pool.leased_bytes() + pool.idle_bytes() <= 1 << 20);
            assert!(pool.idle_bytes() <= 1 << 17);
        }
        held.clear();
        assert_eq!(pool.leased_bytes(), 0);
        let idle: usize = pool.idle.borrow().values().flatten().map(AlignedMemory::len).sum();
        assert_eq!(idle, pool.idle_bytes());
    }

    #[test]
    fn large_buffers_come_from_chunks_as_long_as_there_may_be_more() {
        let pool = BufferPool::new(16 << 20);
        let take = || Buffer::try_acquire(Rc::clone(&pool), 64 * KIB).unwrap();
        let held: Vec<_> = (0..100).map(|_| take()).collect();
        assert_eq!(pool.chunks.borrow().len(), 2, "a quarter of the limit");
        drop(held);
        assert!(pool.chunks.borrow().len() <= 2 && pool.idle_bytes() <= pool.idle_bytes_max);
        pool.idle.borrow_mut().clear();
        pool.idle_bytes.set(0);
        pool.release_free_chunks();
        assert_eq!(pool.chunks.borrow().len(), 1);
        assert_eq!(BufferPool::new(1 << 20).chunks_max, 0);
    }

    #[test]
    fn a_buffer_is_reused_and_a_bad_length_is_refused() {
        let pool = BufferPool::new(1 << 20);
        let first = Buffer::try_acquire(Rc::clone(&pool), 4096).unwrap();
        let start = first.start();
        drop(first);
        assert_eq!(Buffer::try_acquire(Rc::clone(&pool), 512).unwrap().start(), start);
        for (bytes, kind) in [
            (0, IoErrorKind::Misaligned),
            (100, IoErrorKind::Misaligned),
            (2 << 30, IoErrorKind::Misaligned),
            (2 << 20, IoErrorKind::PoolExhausted),
        ] {
            assert_eq!(Buffer::try_acquire(Rc::clone(&pool), bytes).unwrap_err().kind(), kind, "{bytes}");
        }
        assert_eq!(crate::try_acquire_buffer(4096).unwrap_err().kind(), IoErrorKind::Unsupported);
    }
}
