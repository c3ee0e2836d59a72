//! What an operation that moves bytes owns while the kernel works on it.

use crate::budget::Grant;
use crate::buffer::Buffer;

/// Which way the bytes of a transfer go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// A buffer on its way to or from a file, with its leave to be with the kernel. Owned by the operation until the
/// kernel is done: as long as it exists, the bytes are nobody else's.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) buffer: Buffer,
    /// Bytes before this are moved already.
    pub(crate) start: usize,
    /// Given back when the kernel is done and the operation drops its transfer.
    pub(crate) _slot: Grant,
}
