//! A segment: an immutable sorted run inside a pack.
//!
//! ```text
//! | data block 0 | data block 1 | ... | filter block | index block | properties block | footer |
//! ^ offset of the segment             ^ tail_offset: one read from here opens the segment    ^ end
//! ```
//! The manifest keeps the footer's checksum, the footer those of filter, index and properties, the index that of every data block:
//! a child's checksum stands in its parent, so that a misdirected or stale read shows.

pub(crate) mod block;
pub(crate) mod data;
pub(crate) mod filter;
pub(crate) mod footer;
pub(crate) mod index;
pub(crate) mod meta;
pub(crate) mod writer;

use aquifer_remote::ObjectName;

/// Where bytes of a segment come from: named in every error about them.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) object: ObjectName,
    /// Offset in the object.
    pub(crate) offset: u64,
}

impl Place {
    pub(crate) fn plus(&self, bytes: u64) -> Self {
        Self { object: self.object.clone(), offset: self.offset.saturating_add(bytes) }
    }

    pub(crate) fn corrupt(
        &self,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> crate::Error {
        crate::Error::corrupt(self.object.as_str(), self.offset, expected, found)
    }
}
