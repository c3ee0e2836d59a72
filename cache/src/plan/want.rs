//! What is asked of the plan.

use crate::cache::Cached;
use crate::flight::Ticket;
use crate::key::{CacheKey, Class, ReadClass};
use aquifer_io::Instant;
use bytes::Bytes;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;

/// Bytes of an object, on their way.
pub type ObjectRead<E> = Pin<Box<dyn Future<Output = Result<Bytes, E>>>>;

/// An immutable object, to be read from anywhere within it.
pub trait ObjectReader<E> {
    /// Reads exactly the bytes of `range`: one request. The future is run by the read plan's own task.
    fn read(&self, range: Range<u64>) -> ObjectRead<E>;

    /// Whether the error may be due to some of the bytes asked for, so that a read of others could succeed. If it is, a read that was made
    /// of several is repeated one by one: what is wrong with one block is not reported of its neighbours.
    fn is_of_range(&self, error: &E) -> bool {
        let _ = error;
        false
    }
}

/// Verifies and decodes the raw bytes of a block.
pub(crate) type Decode<V> = Box<dyn Fn(&Bytes) -> Result<V, <V as Cached>::Error>>;

/// What is asked of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which block.
    pub key: CacheKey,
    /// What kind of block.
    pub class: Class,
    /// Who reads.
    pub reads: ReadClass,
    /// What is of use around the block: if it comes from the object, this is read with it if moving that costs less than the requests
    /// which it saves to all who wait ([`Load::take_along`](crate::Load::take_along)). Whoever names one for a block names the same, and the
    /// block lies in it. `None`: the block alone is enough.
    pub span: Option<Range<u64>>,
    /// Requests that the span saves to this asker.
    pub span_uses: u32,
    /// Number of the block in a batch of one caller, 0 for a single one. The later ones let what others ask for meanwhile pass.
    pub in_batch: u32,
}

impl Ask {
    /// The block alone, because somebody waits for it.
    pub const fn new(class: Class, key: CacheKey) -> Self {
        Self { key, class, reads: ReadClass::Foreground, span: None, span_uses: 1, in_batch: 0 }
    }

    /// Where the block lies in its object.
    pub fn block(&self) -> Range<u64> {
        self.key.offset..self.key.offset.saturating_add(u64::from(self.key.bytes))
    }
}

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
