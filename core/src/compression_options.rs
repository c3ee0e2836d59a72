//! How data blocks are stored.

use crate::error::{Error, Result};
use crate::limits::{DICTIONARY_BYTES_MAX, LEVEL_MAX};
use std::fmt;

/// Compression of data blocks. Filters and indexes are never compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Blocks are stored as they are.
    None,
    /// zstd at this level (1 is fast; the levels of the zstd library).
    Zstd {
        /// The level.
        level: i32,
    },
}

impl fmt::Display for Compression {
    /// `none`, or `zstd:` and the level.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Zstd { level } => write!(f, "zstd:{level}"),
        }
    }
}

/// How data blocks are compressed: a part of [`crate::Options`]. Any store can be opened with any of these: what is written says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionOptions {
    /// Of the data blocks that flushes, checkpoints and merges of tiers write.
    pub blocks: Compression,
    /// Of those of the bottom level, where most data lies and is rewritten least. `None`: as `blocks`.
    pub bottom_blocks: Option<Compression>,
    /// Largest dictionary in bytes that each segment of the bottom level is compressed with, up to 112 KiB; 0 for none. It helps with
    /// small values that are alike, and costs the training of one for each segment: tens of milliseconds at once of the shard's
    /// thread, or of a worker's, during which no read runs.
    pub bottom_dictionary_bytes_max: usize,
}

impl Default for CompressionOptions {
    /// zstd level 1 everywhere, without dictionaries.
    fn default() -> Self {
        Self { blocks: Compression::Zstd { level: 1 }, bottom_blocks: None, bottom_dictionary_bytes_max: 0 }
    }
}

impl CompressionOptions {
    /// # Errors
    /// `Invalid`, with the option, its value and its bounds.
    pub(crate) fn validate(&self) -> Result<()> {
        let levels = zstd::compression_level_range();
        for (name, compression) in [("blocks", Some(self.blocks)), ("bottom_blocks", self.bottom_blocks)] {
            if let Some(Compression::Zstd { level }) = compression
                && !levels.contains(&level)
            {
                return Err(Error::invalid(format!(
                    "compression.{name} is zstd level {level}; {levels:?} are possible"
                )));
            }
        }
        if self.bottom_dictionary_bytes_max > DICTIONARY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "compression.bottom_dictionary_bytes_max is {}; at most {DICTIONARY_BYTES_MAX} are possible",
                self.bottom_dictionary_bytes_max
            )));
        }
        Ok(())
    }

    /// How blocks are stored by level.
    pub(crate) fn formats(&self) -> LevelFormats {
        LevelFormats {
            fresh: BlockFormat { compression: self.blocks, dictionary_bytes_max: 0 },
            bottom: BlockFormat {
                compression: self.bottom_blocks.unwrap_or(self.blocks),
                dictionary_bytes_max: self.bottom_dictionary_bytes_max,
            },
        }
    }
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
