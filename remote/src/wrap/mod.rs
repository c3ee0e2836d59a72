//! Wrappers: each takes a store and is one.

pub(crate) mod meter;
pub(crate) mod read_only;
