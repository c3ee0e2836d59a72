//! What is kept of a segment that was just written, whose bytes are at hand.

use crate::segment::encoded::EncodedSegment;
use crate::shard::shard_core::ShardCore;
use crate::version::Segment;
use aquifer_cache::Written;

impl ShardCore {
    /// Keeps of a segment that was just written all of it if the disk tier is pinned, else what is worth it
    /// (see [`crate::blocks::reader::BlockReader::cache_written`]).
    pub(crate) async fn keep_written(
        &self,
        segment: &Segment,
        encoded: EncodedSegment,
        written: impl Fn(u32) -> Option<Written>,
    ) {
        if self.keeper.is_some() {
            return self.pin_written(segment, encoded).await;
        }
        self.blocks.cache_written(segment, encoded, written).await;
        self.balance_memory();
    }
}
