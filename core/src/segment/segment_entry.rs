//! A segment as it is named from outside.

use super::counts::Counts;
use aquifer_remote::ObjectName;
use std::ops::Range;

/// One segment as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    pub(crate) object: ObjectName,
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    pub(crate) tail_bytes: u32,
    pub(crate) footer_crc: u32,
    pub(crate) tag: u64,
    pub(crate) sequence: u64,
    /// 0: a tier. 1: the leveled bottom, older than every tier.
    pub(crate) level: u8,
    /// Key groups that count here; entries of others are skipped.
    pub(crate) groups: Range<u16>,
    /// Of the segment as a whole, clipped or not.
    pub(crate) counts: Counts,
    pub(crate) range_deletes: u32,
    /// Engine keys that no entry and no range deletion of it passes, clipped or not; `largest` may be a range deletion's exclusive end.
    pub(crate) smallest: Box<[u8]>,
    pub(crate) largest: Box<[u8]>,
}
