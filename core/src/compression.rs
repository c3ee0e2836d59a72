//! How data blocks are stored.

use crate::limits::LEVEL_MAX;

/// Compression of data blocks. Filters and indexes are never compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Blocks are stored as they are.
    None,
    /// zstd at this level (1 is fast; the levels of the zstd library).
    Zstd {
        /// The level.
        level: i32,
    },
}

/// How data blocks of a segment are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockFormat {
    pub(crate) compression: Compression,
    pub(crate) dictionary_bytes_max: usize,
}

/// How data blocks are stored by level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LevelFormats {
    pub(crate) fresh: BlockFormat,
    pub(crate) bottom: BlockFormat,
}

impl LevelFormats {
    pub(crate) fn of(&self, level: u8) -> BlockFormat {
        if level == LEVEL_MAX { self.bottom } else { self.fresh }
    }
}
