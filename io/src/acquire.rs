//! Buffers for code on an executor thread, from the pool of that thread.

use crate::buffer::Buffer;
use crate::buffer_pool::OPERATION;
use crate::error::IoError;
use crate::executor::context;

/// A buffer of exactly this many bytes from the pool of this executor thread, as soon as the pool's limit allows.
///
/// First come, first served: a large request is not passed over by small ones. Dropping the future gives its
/// place up and loses nothing.
///
/// # Errors
/// `Misaligned` when `bytes` is not a positive multiple of [`SECTOR_BYTES`](crate::SECTOR_BYTES) (round it up); `PoolExhausted` when it
/// is more than the whole pool (raise `buffer_bytes_max` of the executor); `Unsupported` on a thread that is no executor.
pub async fn acquire_buffer(bytes: usize) -> Result<Buffer, IoError> {
    Buffer::acquire(context::current(OPERATION)?.pool(), bytes).await
}

/// A buffer of exactly this many bytes from the pool of this executor thread, now or not at all.
///
/// # Errors
/// As [`acquire_buffer`]; `PoolExhausted` also when the pool is at its limit now or others wait already.
pub fn try_acquire_buffer(bytes: usize) -> Result<Buffer, IoError> {
    Buffer::try_acquire(context::current(OPERATION)?.pool(), bytes)
}
