//! What a checkpoint asks of the shards at its barrier, what they hand to it, and what its caller hears.

use crate::manifest::hot::HotSegments;
use crate::reply::{Answered, ReplyTo};
use crate::segment::SegmentEntry;
use crate::version::SegmentId;
use aquifer_io::Instant;
use bytes::Bytes;
use futures_channel::oneshot;
use std::time::Duration;

/// A committed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// Number of the manifest that committed it. Grows from checkpoint to checkpoint, not always by one.
    pub id: u64,
    /// Epoch of the engine that wrote it.
    pub epoch: u64,
    /// What the caller gave along.
    pub metadata: Vec<u8>,
    /// Event time when it began, in milliseconds, if the store's times to live follow it: a restore goes on from there.
    pub event_time_ms: Option<u64>,
    /// Segments that it names.
    pub segments: usize,
    /// Extents that it lists as in use, for the warm-up of a restore: [`crate::Options::warm_up`].
    pub hot_extents: u64,
    /// Bytes uploaded for it between barrier and commit, manifest included.
    pub uploaded_bytes: u64,
    /// From the call to the commit.
    pub duration: Duration,
    /// The longest time that a shard's writes rested for the barrier.
    pub barrier: Duration,
}

/// What a shard hands to the checkpoint.
pub(crate) struct BarrierPart {
    /// Segments uploaded before the barrier.
    pub(crate) segments: Vec<SegmentEntry>,
    pub(crate) freeze: Duration,
    /// What the barrier froze, if anything.
    pub(crate) fresh: Option<FreshSegment>,
    /// What of the shard is in use. Dropped: it does not say.
    pub(crate) hot: oneshot::Receiver<HotSegments<SegmentId>>,
}

/// A segment that waits for its place in the pack.
pub(crate) struct FreshSegment {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) entry: SegmentEntry,
    /// Told where it lies once the pack's PUT returned. Dropped: it is not uploaded.
    pub(crate) placed: oneshot::Sender<SegmentEntry>,
}

/// A checkpoint whose barriers are in the mailboxes.
pub(crate) struct CheckpointRequest {
    pub(crate) metadata: Vec<u8>,
    /// Event time when it began; 0 in another time domain.
    pub(crate) event_time_ms: u64,
    pub(crate) parts: Vec<Answered<BarrierPart>>,
    pub(crate) begun: Instant,
    pub(crate) reply: ReplyTo<CheckpointInfo>,
}
