//! Blocks of segments: as the cache keeps them, and how they are asked for. Nothing here knows a shard.

pub(crate) mod cached_block;
pub(crate) mod load;
pub(crate) mod along;
pub(crate) mod reader;
