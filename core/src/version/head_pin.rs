//! A short way to the head of a segment that is in use.

use crate::error::Error;
use crate::segment::head::SegmentHead;
use aquifer_cache::{MemorySlot, ObjectReader};
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};

/// A segment's way to its head and its metas without a search in the cache. The cache counts them and may forget them; then so does this.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadPin {
    pub(crate) head: RefCell<Weak<SegmentHead>>,
    pub(crate) uses: Cell<u8>,
    /// Where the meta of each partition was last found.
    pub(crate) metas: RefCell<Box<[MemorySlot]>>,
    pub(crate) object: OnceCell<SegmentObject>,
}

/// The object of a segment, for the cache to read from.
#[derive(Clone)]
pub(crate) struct SegmentObject(pub(crate) Rc<dyn ObjectReader<Error>>);

impl fmt::Debug for SegmentObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentObject")
    }
}
