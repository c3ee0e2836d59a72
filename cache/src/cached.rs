//! A decoded block, as the memory tier holds it.

use bytes::Bytes;

/// A decoded block that the memory tier can hold: cheap to clone (an `Rc` inside), and it knows its size.
///
/// Its methods, `clone` and `drop` must not call the cache.
pub trait Cached: Clone + 'static {
    /// Why a block could not be read or decoded.
    type Error: Clone + 'static;

    /// Bytes this value keeps in memory, without the entry that holds it. Asked once, when the value enters the cache.
    fn memory_bytes(&self) -> usize;

    /// The bytes this value was decoded from, if it still has them: then an entry that leaves memory is offered to the SSD
    /// tier once more (it may have left that in the meantime).
    fn raw_bytes(&self) -> Option<Bytes> {
        None
    }
}
