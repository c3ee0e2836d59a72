//! Segments that a pinned disk tier keeps whole.

pub(crate) mod pinned;
pub(crate) mod written;
pub(crate) mod keep;
