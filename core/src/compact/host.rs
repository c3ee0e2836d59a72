//! Whose thread a merge runs on, and what it may take there.

use crate::blocks::reader::BlockReader;
use crate::compact::budget::Throttle;
use crate::compact::job::Job;
use crate::error::Error;
use crate::merge_operator::MergeOperators;
use crate::segment::encoded::EncodedSegment;
use crate::version::Segment;

/// A shard, whose reads run between the slices of a merge, or a worker, which does nothing else.
pub(crate) trait Host {
    /// Where inputs are read from, and outputs are put beside them.
    fn blocks(&self) -> &BlockReader;

    /// Memory that a merge may take, in bytes: half of it for windows over the inputs, half for the open output.
    fn merge_bytes(&self) -> usize;

    fn operators(&self) -> &MergeOperators;

    /// The share of its core that a merge takes while reads come in.
    fn cpu_percent(&self) -> u8;

    /// The rate of uploads.
    fn uploads(&self) -> &Throttle;

    /// The number of reads served so far.
    fn reads(&self) -> u64;

    /// Counts bytes of partitions that were copied as they are stored.
    fn copied(&self, bytes: u64);

    /// Counts bytes of an output that was uploaded.
    fn uploaded(&self, bytes: u64);

    /// The value of this key was too large to be combined, and stays operands.
    fn met_too_large(&self, key: &[u8]);

    /// An operator of the embedder panicked; its operands stay as they are.
    fn panicked(&self, error: &Error);

    /// Keeps of an output that was just uploaded what is worth it.
    async fn keep(&self, job: &Job, segment: &Segment, encoded: EncodedSegment);
}
