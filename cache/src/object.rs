//! An immutable object that the cache reads from.

use bytes::Bytes;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

/// Bytes of an object, on their way.
pub type ObjectRead<E> = Pin<Box<dyn Future<Output = Result<Bytes, E>>>>;

/// An immutable object, to be read from anywhere within it.
pub trait ObjectReader<E> {
    /// Reads exactly the bytes of `range`: one request. The future is run by the read plan's own task.
    fn read(&self, range: Range<u64>) -> ObjectRead<E>;

    /// Whether the error may be due to some of the bytes asked for, so that a read of others could succeed. If it is, a read that was made
    /// of several is repeated one by one: what is wrong with one block is not reported of its neighbours.
    fn is_of_range(&self, error: &E) -> bool {
        let _ = error;
        false
    }
}
