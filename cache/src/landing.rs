//! A block that has come and is to be verified and decoded.

use crate::cached::Cached;
use crate::key::Tier;
use crate::plan::Want;
use bytes::Bytes;
use std::ops::Range;

/// A block that has come, not verified yet.
pub(crate) struct Landing<V: Cached> {
    pub(crate) want: Want<V>,
    pub(crate) raw: Bytes,
    pub(crate) along: Bytes,
    pub(crate) tier: Tier,
}

impl<V: Cached> Landing<V> {
    /// Cuts the block of one want out of an extent that several share and that begins at `start`. If the extent came with another length than was
    /// asked for, the block is cut short, and does not decode.
    pub(crate) fn of_extent(want: Want<V>, start: u64, bytes: &Bytes) -> Self {
        let piece = |range: Range<u64>| {
            let at = |offset: u64| {
                usize::try_from(offset.saturating_sub(start)).map_or(bytes.len(), |at| at.min(bytes.len()))
            };
            bytes.slice(at(range.start)..at(range.end))
        };
        let raw = piece(want.ask.block());
        let along = want.span.clone().map(piece).unwrap_or_default();
        // A copy: what the cache keeps of it must not hold the whole extent.
        let raw = if raw.len() < bytes.len() { Bytes::copy_from_slice(&raw) } else { raw };
        Self { want, raw, along, tier: Tier::Remote }
    }
}
