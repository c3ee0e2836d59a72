//! Writes: their room, the memtable, and the flush that makes a segment of it.

pub(crate) mod room;
pub(crate) mod look;
pub(crate) mod trial;
pub(crate) mod apply;
pub(crate) mod flush;
