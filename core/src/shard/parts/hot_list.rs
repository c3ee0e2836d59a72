//! The last hot list that a shard gathered.

use crate::manifest::hot::HotSegments;
use crate::version::SegmentId;

/// The last list that a shard gathered.
#[derive(Debug, Default)]
pub(crate) struct HotList {
    pub(crate) list: HotSegments<SegmentId>,
    /// From when on the next one is worth its time.
    pub(crate) next: Option<aquifer_io::Instant>,
    /// It came too late for its checkpoint: the next one takes it.
    pub(crate) is_late: bool,
}
