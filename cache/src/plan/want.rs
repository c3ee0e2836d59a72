//! A block that somebody waits for, on its way through the plan.

use crate::ask::Ask;
use crate::cached::Cached;
use crate::flight::Ticket;
use crate::object::ObjectReader;
use aquifer_io::Instant;
use bytes::Bytes;
use std::ops::Range;
use std::rc::Rc;

/// Verifies and decodes the raw bytes of a block.
pub(crate) type Decode<V> = Box<dyn Fn(&Bytes) -> Result<V, <V as Cached>::Error>>;

/// Most that is read around a block.
pub(crate) const SPAN_BYTES_MAX: u64 = 4 << 20;

/// A block that somebody waits for.
pub(crate) struct Want<V: Cached> {
    pub(crate) ask: Ask,
    pub(crate) object: Rc<dyn ObjectReader<V::Error>>,
    pub(crate) decode: Decode<V>,
    pub(crate) ticket: Ticket<V>,
    pub(crate) filed: Instant,
    /// It was part of a read that failed: read alone now.
    pub(crate) is_alone: bool,
    /// The span that is read with it, if the plan has found that this pays.
    pub(crate) span: Option<Range<u64>>,
}

impl<V: Cached> Want<V> {
    /// Decides whether the span around the block is read with it, now that others may wait for it as well. A request costs as much as moving
    /// `request_bytes`.
    pub(crate) fn weigh_span(&mut self, request_bytes: u64) {
        let block = self.ask.block();
        self.span = self.ticket.flight.span().filter(|_| !self.is_alone).and_then(|(span, uses)| {
            let covers = span.start <= block.start && block.end <= span.end;
            let more_bytes = (span.end - span.start).saturating_sub(u64::from(self.ask.key.bytes));
            let pays = more_bytes <= request_bytes.saturating_mul(u64::from(uses)).min(SPAN_BYTES_MAX);
            (covers && pays).then_some(span)
        });
    }

    /// What is read of the object for it.
    pub(crate) fn reads_of_object(&self) -> Range<u64> {
        self.span.clone().unwrap_or_else(|| self.ask.block())
    }
}
