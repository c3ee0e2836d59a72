//! A shard as the host of its merges.

use crate::blocks::reader::BlockReader;
use crate::compact::budget::Throttle;
use crate::compact::host::Host;
use crate::compact::job::Job;
use crate::error::Error;
use crate::merge_operator::MergeOperators;
use crate::segment::encoded::EncodedSegment;
use crate::shard::parts::counters::add;
use crate::shard::shard_core::ShardCore;
use crate::version::Segment;

impl Host for ShardCore {
    fn blocks(&self) -> &BlockReader {
        &self.blocks
    }

    fn merge_bytes(&self) -> usize {
        self.budget().compaction_bytes
    }

    fn operators(&self) -> &MergeOperators {
        &self.shared.operators
    }

    fn cpu_percent(&self) -> u8 {
        self.compaction.budget.cpu_percent
    }

    fn uploads(&self) -> &Throttle {
        &self.compaction.uploads
    }

    fn reads(&self) -> u64 {
        self.reads_served()
    }

    fn copied(&self, bytes: u64) {
        add(&self.counters.copied_bytes, bytes);
    }

    fn uploaded(&self, bytes: u64) {
        add(&self.counters.compacted_bytes, bytes);
    }

    fn met_too_large(&self, key: &[u8]) {
        self.growing.suspect(key);
    }

    fn panicked(&self, error: &Error) {
        self.note_failure(error);
    }

    async fn keep(&self, job: &Job, segment: &Segment, encoded: EncodedSegment) {
        let with_data = self.is_read() && self.compaction.disk.try_take(u64::from(encoded.bytes));
        self.cache_compacted(job, segment, encoded, with_data).await;
    }
}

impl ShardCore {
    /// Counts a failure, and keeps what it says for whoever asks.
    pub(crate) fn note_failure(&self, error: &Error) {
        add(&self.counters.compaction_errors, 1);
        *self.compaction.last_error.borrow_mut() = Some(error.to_string());
    }
}
