//! The way of a lookup through sorted runs, newest first: of each run, the one segment that may hold the key, its partition, the filter, the block,
//! the entry, and what range deletions hide below.
//!
//! There is one such walk. Where its blocks come from differs: a lookup that waits for nothing has memory ([`crate::shard::reads::lookup`]), one
//! that has begun to wait has what it was brought besides ([`crate::shard::reads::waiting_lookup`]).

use crate::entry::Entry;
use crate::error::Result;
use crate::key::group_of;
use crate::resolve::{Base, Resolver};
use crate::segment::data::DataBlock;
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::shard::shard_core::ShardCore;
use crate::version::{Segment, SortedRun};
use std::ops::ControlFlow;
use std::rc::Rc;

/// Supplies a walk with the blocks of the run that it is at, and keeps where it is.
pub(crate) trait BlockSupply {
    /// The number of that run.
    fn run(&self) -> usize;

    /// The run has nothing more to say.
    fn next_run(&mut self);

    /// What was found so far.
    fn resolver(&mut self) -> &mut Resolver;

    /// The head of a segment. `None` here and below: it is not at hand, and the walk stops.
    fn head(&mut self, core: &ShardCore, segment: &Rc<Segment>) -> Option<Rc<SegmentHead>>;

    /// The meta of the partition at a position.
    fn meta(
        &mut self,
        core: &ShardCore,
        open: OpenSegment<'_>,
        partition: (usize, &PartitionHandle),
    ) -> Result<Option<Rc<PartitionMeta>>>;

    /// A block of that partition.
    fn data(
        &mut self,
        core: &ShardCore,
        open: OpenSegment<'_>,
        partition: (usize, &PartitionHandle, &PartitionMeta),
        handle: BlockHandle,
    ) -> Result<Option<Rc<DataBlock>>>;
}

/// A segment, and its head.
#[derive(Clone, Copy)]
pub(crate) struct OpenSegment<'a> {
    pub(crate) segment: &'a Rc<Segment>,
    pub(crate) head: &'a Rc<SegmentHead>,
}

/// The entry that ended a walk.
pub(crate) struct Last<'a> {
    pub(crate) segment: &'a Rc<Segment>,
    /// Its number in its block.
    pub(crate) number: usize,
    pub(crate) entry: Entry<'a>,
    /// It stands for the key alone: no newer operand was found.
    pub(crate) is_first: bool,
}

/// How a walk ended.
pub(crate) enum Walked<S, T> {
    Known(T),
    /// Something of the run that the supply is at is not at hand.
    Stopped(S),
}

impl ShardCore {
    /// Walks on from the run that `supply` is at. What ends the search is handed to `take`, with the entry that did if it was one.
    #[inline]
    pub(crate) fn walk<S: BlockSupply, T>(
        &self,
        mut supply: S,
        (key, hash): (&[u8], u64),
        runs: &[SortedRun],
        take: impl FnOnce(S, Base<'_>, Option<Last<'_>>) -> Result<T>,
    ) -> Result<Walked<S, T>> {
        while let Some(run) = runs.get(supply.run()) {
            let Some(segment) = holder(run, key) else {
                supply.next_run();
                continue;
            };
            let Some(head) = supply.head(self, segment) else { return Ok(Walked::Stopped(supply)) };
            let open = OpenSegment { segment, head: &head };
            if let Some((position, partition)) = partition_of(&head, key) {
                let Some(meta) = supply.meta(self, open, (position, &partition))? else {
                    return Ok(Walked::Stopped(supply));
                };
                if let Some(handle) = candidate(&meta, &partition, key, hash) {
                    let Some(block) = supply.data(self, open, (position, &partition, &meta), handle)? else {
                        return Ok(Walked::Stopped(supply));
                    };
                    let is_first = !supply.resolver().is_waiting();
                    if let Some((number, entry)) = block.find(key, hash)
                        && let ControlFlow::Break(base) = self.feed(supply.resolver(), entry)?
                    {
                        let last = Last { segment, number, entry, is_first };
                        return take(supply, base, Some(last)).map(Walked::Known);
                    }
                }
            }
            if head.range_deletes().covers(key) {
                break;
            }
            supply.next_run();
        }
        take(supply, Base::Nothing, None).map(Walked::Known)
    }

    pub(crate) fn feed<'a>(
        &self,
        resolver: &mut Resolver,
        entry: Entry<'a>,
    ) -> Result<ControlFlow<Base<'a>>> {
        resolver.feed(entry, || self.shared.clock.now_ms(), &self.shared.operators)
    }
}

/// The one segment of a run that may hold the key and counts for its group.
pub(crate) fn holder<'a>(run: &'a SortedRun, key: &[u8]) -> Option<&'a Rc<Segment>> {
    let group = group_of(key)?;
    run.find(key).filter(|segment| segment.entry.groups.contains(&group))
}

/// The one partition that may hold the key, and its position.
pub(crate) fn partition_of(head: &SegmentHead, key: &[u8]) -> Option<(usize, PartitionHandle)> {
    let position = head.seek(key)?;
    Some((position, head.partition(position)?))
}

/// The one block that may hold the key, if the filter lets it pass.
pub(crate) fn candidate(
    meta: &PartitionMeta,
    partition: &PartitionHandle,
    key: &[u8],
    hash: u64,
) -> Option<BlockHandle> {
    if meta.may_contain(hash) { meta.block(meta.seek(key)?, partition.offset) } else { None }
}
