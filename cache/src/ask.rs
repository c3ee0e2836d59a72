//! A question to the cache: which block, who reads, and what is of use around it.

use crate::key::{CacheKey, Class, ReadClass};
use std::ops::Range;

/// A block that is asked of the cache, with what helps to plan its read.
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
