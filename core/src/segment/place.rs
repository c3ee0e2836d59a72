//! Where bytes of a segment come from.

use crate::error::Error;
use aquifer_remote::ObjectName;

/// Where bytes of a segment come from: named in every error about them.
#[derive(Clone, Debug)]
pub(crate) struct SegmentPlace {
    pub(crate) object: ObjectName,
    /// Offset in the object.
    pub(crate) offset: u64,
}

impl SegmentPlace {
    pub(crate) fn plus(&self, bytes: u64) -> Self {
        Self { object: self.object.clone(), offset: self.offset.saturating_add(bytes) }
    }

    pub(crate) fn corrupt(&self, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
        Error::corrupt(self.object.as_str(), self.offset, expected, found)
    }
}
