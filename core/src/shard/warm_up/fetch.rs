//! Fetches what was in use when the checkpoint was taken that a shard started from, before somebody asks for it.
//!
//! ```text
//! heads of all listed segments ──> for each rank, the hottest first:
//!     metas, each with the span of its partition that its listed blocks are in ──> the cache's plan: large ranged GETs of class warm-up
//!         ──> listed blocks: verified, into memory while there is room, and to the SSD as fast as that writes
//! ```
//! A task beside the shard's others. It is bounded three times: the plan lets few reads of this class leave at once, what is asked for and not
//! taken in has a budget, and the whole ends when neither memory nor SSD have room beside what is there. Nothing is pushed out for it. An
//! error costs its extent, many of them end the warm-up; the engine never hears of it.

use crate::blocks::along::Along;
use crate::blocks::cached_block::{CachedBlock, data_key, decode_data, verify_data};
use crate::blocks::load::{next_of, own};
use crate::blocks::load::{not_loaded, take_partition};
use crate::blocks::reader::Asking;
use crate::error::Result;
use crate::limits::{WARM_UP_BYTES_IN_HAND, WARM_UP_FAILURES_MAX};
use crate::manifest::hot::{self, HotPartition, HotSegment, RANK_MAX};
use crate::segment::data::Access;
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::shard::shard_core::ShardCore;
use crate::version::{Segment, SegmentId, Version};
use aquifer_cache::{Ask, Class, FinishedLoad, LoadSet, ReadClass};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

/// What is asked for and not taken in may take one part in so many of the cache's memory, within limits.
const IN_HAND_PART: usize = 32;
/// Heads asked for at once.
const HEADS_AT_ONCE: usize = 64;
/// Blocks taken in between two chances for reads to run: a decoding of some microseconds each.
const BLOCKS_A_SLICE: usize = 8;
/// With less room than this for blocks in memory there is none: the index of keys and the counts of reads grow beside them, in steps of 64 KiB.
const ROOM_BYTES_MIN: usize = 96 * 1024;

const ASKING: Asking = Asking { reads: ReadClass::WarmUp, in_batch: 0 };

/// The warm-up task: ends when all is done, or there is no room left.
pub(crate) async fn run(core: Rc<ShardCore>) {
    let list = core.warm_up.unfinished();
    if list.is_empty() {
        return;
    }
    // Whoever waits for the shard to open comes first.
    aquifer_io::yield_now().await;
    let mut warming = Warming::new(&core);
    // Whatever stopped it, the counts say so.
    let _ = warming.all(&list).await;
    drop(warming);
    core.warm_up.end();
    core.balance_memory();
}

/// The task's own.
struct Warming<'a> {
    core: &'a ShardCore,
    gather: LoadSet<CachedBlock>,
    owners: Vec<Option<Owner>>,
    /// Bytes asked for and not taken in yet, and how many may be.
    in_hand: u64,
    in_hand_max: u64,
    /// Bytes that the SSD has room for.
    ssd_room: u64,
    failures: u32,
    /// Segments of the version that `seen` is.
    segments: HashMap<SegmentId, Vec<Rc<Segment>>>,
    seen: Option<Rc<Version>>,
    blocks: usize,
}

/// Whose load it is.
struct Owner {
    segment: Rc<Segment>,
    bytes: u64,
    what: WarmUpPart,
}

enum WarmUpPart {
    Head,
    Meta { head: Rc<SegmentHead>, handle: PartitionHandle, hot: HotPartition },
    Data,
}

impl<'a> Warming<'a> {
    fn new(core: &'a ShardCore) -> Self {
        let in_hand = (core.budget().cache_bytes / IN_HAND_PART) as u64;
        Self {
            core,
            gather: LoadSet::default(),
            owners: Vec::new(),
            in_hand: 0,
            in_hand_max: in_hand.clamp(WARM_UP_BYTES_IN_HAND.0, WARM_UP_BYTES_IN_HAND.1),
            ssd_room: core.blocks.cache.ssd_room_bytes(),
            failures: 0,
            segments: HashMap::new(),
            seen: None,
            blocks: 0,
        }
    }

    async fn all(&mut self, list: &[HotSegment<SegmentId>]) -> ControlFlow<()> {
        self.check()?;
        for part in list.chunks(HEADS_AT_ONCE) {
            self.heads(part).await?;
        }
        for rank in (0..=RANK_MAX).rev() {
            for listed in list {
                for hot in listed.partitions.iter().filter(|hot| hot.rank == rank) {
                    if self.in_hand >= self.in_hand_max {
                        // What is asked for at once finds its neighbours.
                        self.take_in(self.in_hand_max / 2).await?;
                    }
                    self.ask(listed.segment, *hot);
                }
            }
        }
        self.take_in(0).await
    }

    /// Whether to go on.
    fn check(&self) -> ControlFlow<()> {
        let is_hopeless = self.failures >= WARM_UP_FAILURES_MAX;
        if self.core.shared.is_closed() || is_hopeless || !(self.has_memory() || self.ssd_room > 0) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn has_memory(&self) -> bool {
        self.core.blocks.cache.room_bytes(Class::Data) >= ROOM_BYTES_MIN
    }

    /// The pieces of a listed segment that this shard reads now: none if it was replaced.
    fn pieces(&mut self, id: SegmentId) -> Vec<Rc<Segment>> {
        let version = self.core.version();
        if !self.seen.as_ref().is_some_and(|seen| Rc::ptr_eq(seen, &version)) {
            self.segments.clear();
            for segment in version.segments() {
                self.segments.entry(segment.id()).or_default().push(Rc::clone(segment));
            }
            self.seen = Some(version);
        }
        self.segments.get(&id).cloned().unwrap_or_default()
    }

    fn add(&mut self, load: aquifer_cache::Load<CachedBlock>, owner: Owner) {
        self.in_hand += owner.bytes;
        let token = self.gather.add(load);
        own(&mut self.owners, token, owner);
    }

    async fn heads(&mut self, listed: &[HotSegment<SegmentId>]) -> ControlFlow<()> {
        for listed in listed {
            if let Some(segment) = self.pieces(listed.segment).into_iter().next()
                && self.core.blocks.head_now(&segment).is_none()
            {
                let load = self.core.blocks.ask_head(&segment, false, ASKING);
                let bytes = u64::from(segment.entry.tail_bytes);
                self.add(load, Owner { segment, bytes, what: WarmUpPart::Head });
            }
        }
        self.take_in(0).await
    }

    /// Asks for a partition's meta, and for its data up to there from the first listed block on.
    fn ask(&mut self, id: SegmentId, hot: HotPartition) {
        let position = hot.position as usize;
        let pieces = self.pieces(id);
        let Some(head) = pieces.iter().find_map(|segment| self.core.blocks.head_now(segment)) else { return };
        let counts = |segment: &&Rc<Segment>| head.partitions_of(&segment.entry.groups).contains(&position);
        let Some(segment) = pieces.iter().find(counts) else { return self.is_not_ours() };
        let Some(handle) = head.partition(position) else { return self.is_not_ours() };
        if let Some(meta) = self.core.blocks.partition_now(segment, &head, position, &handle) {
            let asked = self.ask_blocks(segment, &head, (&handle, &meta, hot), &Along::default());
            self.core.warm_up.count(|stats| stats.warmed += u64::from(asked > 0));
            return;
        }
        let bytes = if hot.blocks > 0 { handle.bytes() } else { handle.meta_bytes };
        let load = self.core.blocks.ask_partition(segment, handle, hot.blocks.count_ones(), ASKING);
        let what = WarmUpPart::Meta { head, handle, hot };
        self.add(load, Owner { segment: Rc::clone(segment), bytes: u64::from(bytes), what });
    }

    /// A shard of other key groups has it.
    fn is_not_ours(&self) {
        self.core.warm_up.count(|stats| stats.listed = stats.listed.saturating_sub(1));
    }

    /// Takes in what comes until no more than `left` bytes are asked for.
    async fn take_in(&mut self, left: u64) -> ControlFlow<()> {
        while self.in_hand > left || left == 0 && !self.gather.is_empty() {
            let Some((done, owner)) = next_of(&mut self.gather, &mut self.owners).await else {
                self.in_hand = 0;
                break;
            };
            self.in_hand = self.in_hand.saturating_sub(owner.bytes);
            if self.came(done, &owner).await.is_err() {
                self.failures += 1;
                self.core
                    .warm_up
                    .count(|stats| stats.failed += u64::from(!matches!(owner.what, WarmUpPart::Head)));
            }
            self.check()?;
        }
        ControlFlow::Continue(())
    }

    async fn came(&mut self, done: FinishedLoad<CachedBlock>, owner: &Owner) -> Result<()> {
        let block = done.result.map_err(not_loaded)?;
        let Owner { segment, what, .. } = owner;
        match what {
            WarmUpPart::Head => {
                self.core.blocks.take_head(segment, block)?;
            }
            WarmUpPart::Data => self.taken(owner.bytes),
            WarmUpPart::Meta { head, handle, hot } => {
                let meta = take_partition(segment, block)?;
                self.taken(u64::from(handle.meta_bytes));
                let along = Along::of_partition(handle, done.along);
                self.take_blocks(segment, head, (handle, &meta, *hot), &along).await?;
                self.ask_blocks(segment, head, (handle, &meta, *hot), &along);
                self.core.warm_up.count(|stats| stats.warmed += 1);
            }
        }
        Ok(())
    }

    fn taken(&mut self, bytes: u64) {
        self.ssd_room = self.ssd_room.saturating_sub(bytes);
        self.core.warm_up.count(|stats| stats.bytes += bytes);
    }

    /// Takes in the listed blocks that came along with their meta.
    async fn take_blocks(
        &mut self,
        segment: &Rc<Segment>,
        head: &Rc<SegmentHead>,
        (handle, meta, hot): (&PartitionHandle, &Rc<PartitionMeta>, HotPartition),
        along: &Along,
    ) -> Result<()> {
        for (position, block) in listed_blocks(handle, meta, hot) {
            let Some(stored) = along.data(&block) else { continue };
            self.blocks += 1;
            if self.blocks.is_multiple_of(BLOCKS_A_SLICE) {
                aquifer_io::yield_now().await;
            }
            self.core.heat.inherit(segment, (hot.position as usize, position), &block, hot.rank);
            let key = data_key(segment, &block);
            if self.core.blocks.cache.holds(Class::Data, &key) {
                continue;
            }
            self.core.blocks.cache.count_along(ReadClass::WarmUp, block.bytes);
            if self.has_memory() {
                let data = decode_data(segment, head, &block, Access::Points, &stored.to_vec().into())?;
                let ask = Ask { reads: ReadClass::WarmUp, ..Ask::new(Class::Data, key) };
                self.core.blocks.cache.keep_ahead(&ask, CachedBlock::Data(Rc::new(data)));
            } else {
                verify_data(segment, &block, stored)?;
            }
            if self.ssd_room > 0 && !self.core.blocks.cache.offer_ahead(Class::Data, key, stored).await {
                self.ssd_room = 0;
            }
            self.taken(u64::from(block.bytes));
        }
        Ok(())
    }

    /// Asks for the listed blocks that did not come along: their meta was here, or on the SSD. Those that are where they would
    /// go are left. How many were asked for.
    fn ask_blocks(
        &mut self,
        segment: &Rc<Segment>,
        head: &Rc<SegmentHead>,
        (handle, meta, hot): (&PartitionHandle, &Rc<PartitionMeta>, HotPartition),
        along: &Along,
    ) -> usize {
        let mut asked = 0;
        for (position, block) in listed_blocks(handle, meta, hot) {
            let key = data_key(segment, &block);
            let is_on_ssd = || self.core.blocks.cache.ssd_heat(&key).is_some();
            if along.data(&block).is_some()
                || self.core.blocks.cache.holds(Class::Data, &key)
                || !self.has_memory() && is_on_ssd()
            {
                continue;
            }
            self.core.heat.inherit(segment, (hot.position as usize, position), &block, hot.rank);
            let load = self.core.blocks.ask_data(segment, head, block, ASKING);
            let bytes = u64::from(block.bytes);
            self.add(load, Owner { segment: Rc::clone(segment), bytes, what: WarmUpPart::Data });
            asked += 1;
        }
        asked
    }
}

/// The blocks of a partition that the list names, and their positions there.
fn listed_blocks<'a>(
    handle: &PartitionHandle,
    meta: &'a PartitionMeta,
    hot: HotPartition,
) -> impl Iterator<Item = (usize, BlockHandle)> + 'a {
    let offset = handle.offset;
    let positions =
        (0..hot::BLOCKS_MAX.min(meta.blocks())).filter(move |position| hot.blocks >> position & 1 == 1);
    positions.filter_map(move |position| Some((position, meta.block(position, offset)?)))
}
