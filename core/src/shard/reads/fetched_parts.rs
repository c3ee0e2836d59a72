//! What a lookup that waits was brought of each run.

use crate::blocks::along::Along;
use crate::segment::data::DataBlock;
use crate::segment::head::SegmentHead;
use crate::segment::partition::{PartitionHandle, PartitionMeta};
use crate::shard::reads::walk::candidate;
use aquifer_cache::Tier;
use std::rc::Rc;

/// What a lookup has of one run: memory may forget it, or never have had room for it.
#[derive(Default)]
pub(crate) struct FetchedParts {
    pub(crate) head: Part<Rc<SegmentHead>>,
    pub(crate) meta: Part<Rc<PartitionMeta>>,
    pub(crate) data: Part<Rc<DataBlock>>,
    /// What came along with its head or meta.
    pub(crate) along: Along,
}

#[derive(Default)]
pub(crate) enum Part<T> {
    #[default]
    Unasked,
    Asked,
    Here(T, Tier),
    /// It was asked for ahead and could not be read: no harm unless it turns out to be needed.
    Refused,
}

impl<T: Clone> Part<T> {
    /// The part, if it is in hand or in memory, and where it came from.
    pub(crate) fn known(&self, now: impl FnOnce() -> Option<T>) -> Option<(T, Tier)> {
        match self {
            Self::Here(value, tier) => Some((value.clone(), *tier)),
            Self::Asked => None,
            Self::Unasked | Self::Refused => now().map(|value| (value, Tier::Memory)),
        }
    }

    /// Whether it is to be asked for: what was refused only when it is needed.
    pub(crate) fn is_open(&self, is_needed: bool) -> bool {
        matches!(self, Self::Unasked) || is_needed && matches!(self, Self::Refused)
    }

    /// Marks it as asked for; whether it is to be asked for.
    pub(crate) fn ask(&mut self, is_needed: bool) -> bool {
        let is_open = self.is_open(is_needed);
        if is_open {
            *self = Self::Asked;
        }
        is_open
    }
}

impl FetchedParts {
    /// Lets go what came along, but for the one block that may hold the key: a lookup may wait for the runs before this one for long, and a
    /// whole partition or segment for each of many lookups is more memory than a shard has.
    pub(crate) fn keep_needed(&mut self, partition: Option<&PartitionHandle>, key: &[u8], hash: u64) {
        let block = match (&self.meta, partition) {
            (Part::Here(meta, _), Some(partition)) => candidate(meta, partition, key, hash),
            _ => None,
        };
        self.along = block.map_or_else(Along::default, |block| self.along.only(&block));
    }
}
