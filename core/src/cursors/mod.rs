//! Cursors over segments and runs: what scans and merges step through.

pub(crate) mod windows;
pub(crate) mod read_ahead;
pub(crate) mod source;
pub(crate) mod segment_cursor;
pub(crate) mod run_cursor;
pub(crate) mod merge;
