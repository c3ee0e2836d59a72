//! Extents with all who want something of them: a batch of the queue as few and well-placed reads. Pure functions.

use super::extents::{Bounds, Span, merge};
use super::queue::Waiting;
use crate::cached::Cached;
use std::ops::Range;

/// Extents of the file: little is read along, as the device has many reads to give.
const SSD_EXTENT: (u64, u64) = (16 << 10, 256 << 10);
const SSD_AMPLIFICATION_MAX: u64 = 2;
const SSD_SLACK_BYTES: u64 = 8 << 10;
/// Extents of objects: no longer than moving takes as long as beginning, within these.
const REMOTE_EXTENT: (u64, u64) = (256 << 10, 4 << 20);
const REMOTE_AMPLIFICATION_MAX: u64 = 4;
const REMOTE_SLACK_BYTES: u64 = 128 << 10;

/// An extent and who wants something of it.
pub(crate) struct Planned<V: Cached> {
    pub(crate) span: Span,
    pub(crate) members: Vec<Waiting<V>>,
    pub(crate) order: (u64, u64),
}

impl<V: Cached> Planned<V> {
    /// Reads of the file for a batch whose places are known. A request costs as much as moving `request_bytes`.
    pub(crate) fn of_file(batch: Vec<Waiting<V>>, request_bytes: u64) -> Vec<Self> {
        let bounds = Bounds {
            gap_bytes_max: request_bytes,
            extent_bytes_max: request_bytes.clamp(SSD_EXTENT.0, SSD_EXTENT.1),
            amplification_max: SSD_AMPLIFICATION_MAX,
            slack_bytes: SSD_SLACK_BYTES,
        };
        plan(batch, &bounds, |waiting| {
            let (start, bytes) =
                waiting.place.as_ref().map_or((0, 0), |place| (place.offset(), place.bytes() as u64));
            Span { group: 0, start, end: start + bytes }
        })
    }

    /// Reads of objects for a batch. A request costs as much as moving `request_bytes`.
    pub(crate) fn of_objects(mut batch: Vec<Waiting<V>>, request_bytes: u64) -> Vec<Self> {
        let bounds = Bounds {
            gap_bytes_max: request_bytes,
            extent_bytes_max: request_bytes.clamp(REMOTE_EXTENT.0, REMOTE_EXTENT.1),
            amplification_max: REMOTE_AMPLIFICATION_MAX,
            slack_bytes: REMOTE_SLACK_BYTES,
        };
        // Others may have come to wait for it since.
        batch.iter_mut().for_each(|waiting| waiting.want.weigh_span(request_bytes));
        let span_of = |waiting: &Waiting<V>| {
            let Range { start, end } = waiting.want.reads_of_object();
            Span { group: waiting.want.ask.key.object, start, end }
        };
        let alone: Vec<_> = batch.extract_if(.., |waiting| waiting.want.is_alone).collect();
        let mut planned = plan(batch, &bounds, span_of);
        planned.extend(alone.into_iter().map(|waiting| {
            let (span, order) = (span_of(&waiting), waiting.order());
            Planned { span, members: vec![waiting], order }
        }));
        planned
    }
}

/// Extents of wants, the first in the queue's order first.
fn plan<V: Cached>(
    mut batch: Vec<Waiting<V>>,
    bounds: &Bounds,
    span_of: impl Fn(&Waiting<V>) -> Span,
) -> Vec<Planned<V>> {
    if batch.len() > 1 {
        batch.sort_unstable_by_key(&span_of);
    }
    let extents = merge(batch.iter().map(&span_of), bounds);
    let mut rest = batch.into_iter();
    let mut planned: Vec<_> = extents
        .into_iter()
        .map(|extent| {
            let members: Vec<_> = rest.by_ref().take(extent.members.len()).collect();
            let order = members.iter().map(Waiting::order).min().unwrap_or_default();
            Planned { span: extent.span, members, order }
        })
        .collect();
    planned.sort_unstable_by_key(|planned| planned.order);
    planned
}
