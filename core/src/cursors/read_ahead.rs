//! What a scan asks for before it gets there.
//!
//! ```text
//!            read           at      asked for, as far as the window goes           not asked for
//! blocks  [==][==][==][==]  [==]  [--][--][--] | meta of the next partition [--]  [  ][  ][  ]
//! ```
//! The window is as wide as the page may need it, and no wider than what moves while one more request begins: more cannot make
//! it faster. How much a page needs is known from its entries and the segment's; of several runs each gets its part at first,
//! and the double with every block that it went through. So ten entries take a block or two, and a page that takes many waits for one
//! round trip. Nothing beyond the range is asked for.

use crate::blocks::along::Along;
use crate::blocks::cached_block::CachedBlock;
use crate::blocks::load::{loaded, take_data, take_partition};
use crate::blocks::reader::{Asking, BlockReader};
use crate::error::Result;
use crate::segment::data::DataBlock;
use crate::segment::head::SegmentHead;
use crate::segment::partition::{PartitionHandle, PartitionMeta};
use crate::version::Segment;
use aquifer_cache::{Load, ReadClass, Tier};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Blocks asked for ahead of one run at most, whatever their size.
const BLOCKS_AHEAD_MAX: usize = 256;

/// What a page still needs, told by its scan to all its runs.
#[derive(Debug, Default)]
pub(crate) struct PageNeed {
    /// Entries.
    pub(crate) entries: Cell<usize>,
    /// Runs that these may come from.
    pub(crate) runs: usize,
}

/// What was asked for of one segment and was not reached yet.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    need: Rc<PageNeed>,
    reverse: bool,
    /// Engine keys of the segment that count.
    from: Box<[u8]>,
    to: Box<[u8]>,
    /// In the order of the walk.
    partitions: VecDeque<(usize, PartitionAhead)>,
    blocks: VecDeque<(usize, usize, Load<CachedBlock>)>,
    /// Blocks of the run that it went through, and where the last one came from.
    blocks_read: u32,
    tier: Tier,
}

/// A partition on its way.
#[derive(Debug)]
enum PartitionAhead {
    Asked(PartitionHandle, Load<CachedBlock>),
    Open(Opened),
    Failed,
}

/// A partition's meta, and its data if that came along.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) handle: PartitionHandle,
    pub(crate) meta: Rc<PartitionMeta>,
    pub(crate) along: Along,
}

/// A segment under a cursor.
#[derive(Clone, Copy)]
pub(crate) struct Under<'a> {
    pub(crate) reader: &'a BlockReader,
    pub(crate) segment: &'a Rc<Segment>,
    pub(crate) head: &'a Rc<SegmentHead>,
}

const AHEAD: Asking = Asking { reads: ReadClass::ReadAhead, in_batch: 0 };

impl ReadAhead {
    pub(crate) fn new(need: Rc<PageNeed>, reverse: bool) -> Self {
        Self {
            need,
            reverse,
            from: Box::default(),
            to: Box::default(),
            partitions: VecDeque::new(),
            blocks: VecDeque::new(),
            blocks_read: 0,
            tier: Tier::Remote,
        }
    }

    /// Goes on with another segment, of which the keys from `from` up to `to` count.
    pub(crate) fn next_segment(&mut self, from: &[u8], to: &[u8]) {
        self.partitions.clear();
        self.blocks.clear();
        (self.from, self.to) = (Box::from(from), Box::from(to));
    }

    /// The partition at `position`; `None` past the last one.
    pub(crate) async fn partition(&mut self, under: Under<'_>, position: usize) -> Result<Option<Opened>> {
        let Some(handle) = under.head.partition(position) else { return Ok(None) };
        while self.partitions.front().is_some_and(|(at, _)| self.is_before(at, &position)) {
            self.partitions.pop_front();
        }
        let opening = self.partitions.pop_front_if(|(at, _)| *at == position).map(|(_, opening)| opening);
        let Under { reader, segment, .. } = under;
        let opening = match opening {
            Some(opening @ (PartitionAhead::Asked(..) | PartitionAhead::Open(_))) => opening,
            Some(PartitionAhead::Failed) | None => open_now(under, position, handle).unwrap_or_else(|| {
                PartitionAhead::Asked(handle, reader.ask_partition(segment, handle, 1, Asking::default()))
            }),
        };
        match opening {
            PartitionAhead::Open(opened) => Ok(Some(opened)),
            // Asked for anew above.
            PartitionAhead::Failed => Ok(None),
            PartitionAhead::Asked(handle, load) => {
                let (block, tier, along) = loaded(load).await?;
                self.tier = tier;
                let meta = take_partition(segment, block)?;
                Ok(Some(Opened { handle, meta, along: Along::of_partition(&handle, along) }))
            }
        }
    }

    /// The block at `position` of a partition that was opened; `None` past its last one.
    pub(crate) async fn block(
        &mut self,
        under: Under<'_>,
        partition: (usize, &Opened),
        position: usize,
    ) -> Result<Option<Rc<DataBlock>>> {
        let (number, opened) = partition;
        let Under { reader, segment, head } = under;
        let Some(handle) = opened.meta.block(position, opened.handle.offset) else { return Ok(None) };
        let here = (number, position);
        while self.blocks.front().is_some_and(|(at, block, _)| self.is_before(&(*at, *block), &here)) {
            self.blocks.pop_front();
        }
        let load = self.blocks.pop_front_if(|(at, block, _)| (*at, *block) == here);
        let mut load = load.map(|(.., load)| load);
        let mut known = None;
        if load.is_none() {
            known = reader.data_now(segment, &handle);
            if known.is_none() {
                known = reader.data_along(segment, head, handle, &opened.along)?.map(|(block, _)| block);
            }
            if known.is_none() {
                load = Some(reader.ask_data(segment, head, handle, Asking::default()));
            }
        }
        // What is asked for ahead leaves with it.
        self.ask_ahead(under, partition, position);
        self.blocks_read = self.blocks_read.saturating_add(1);
        let Some(load) = load else { return Ok(known) };
        let (block, tier, _) = loaded(load).await?;
        self.tier = tier;
        take_data(segment, block).map(Some)
    }

    /// Bytes from the present block on that are worth asking for now.
    fn window_bytes(&self, under: Under<'_>, block_bytes: u64) -> u64 {
        let segment = under.segment;
        let entries = segment.facts.entries.max(1);
        let page = self.need.entries.get() as u64 * u64::from(segment.entry.bytes) / entries;
        let share = page / self.need.runs.max(1) as u64;
        let proven = block_bytes << self.blocks_read.min(20);
        let proven = if self.blocks_read == 0 { 0 } else { proven };
        page.min(share.max(proven)).min(under.reader.cache.request_bytes(self.tier))
    }

    /// Asks for what follows, as far as the window goes.
    fn ask_ahead(&mut self, under: Under<'_>, (number, opened): (usize, &Opened), position: usize) {
        let block_bytes = |opened: &Opened, position: usize| {
            opened.meta.block(position, opened.handle.offset).map_or(0, |handle| u64::from(handle.bytes))
        };
        let mut left = self.window_bytes(under, block_bytes(opened, position));
        left = left.saturating_sub(block_bytes(opened, position));
        let (mut number, mut opened, mut position) = (number, opened.clone(), position);
        while left > 0 && self.blocks.len() < BLOCKS_AHEAD_MAX {
            if let Some(next) = self.after(position, self.blocks_that_count(&opened)) {
                position = next;
            } else {
                let Some(next) = self.next_open(under, &mut number, &mut left) else { return };
                let blocks = self.blocks_that_count(&next);
                opened = next;
                let first = if self.reverse { blocks.end.saturating_sub(1) } else { blocks.start };
                if !blocks.contains(&first) {
                    return;
                }
                position = first;
            }
            left = left.saturating_sub(block_bytes(&opened, position));
            self.ask_block(under, number, &opened, position);
        }
    }

    /// The next partition that is open, as far as `left` goes; those on the way that are not are asked for.
    fn next_open(&mut self, under: Under<'_>, number: &mut usize, left: &mut u64) -> Option<Opened> {
        while *left > 0 {
            *number = self.after(*number, self.partitions_that_count(under.head))?;
            let opened = self.open_ahead(under, *number, *left);
            if opened.is_some() {
                return opened;
            }
            let bytes = under.head.partition(*number).map_or(0, |handle| handle.bytes());
            *left = left.saturating_sub(u64::from(bytes));
        }
        None
    }

    /// Whether the walk comes to `a` before it comes to `b`.
    fn is_before<T: Ord>(&self, a: &T, b: &T) -> bool {
        if self.reverse { a > b } else { a < b }
    }

    /// The next place of the walk within what counts.
    fn after(&self, at: usize, counts: std::ops::Range<usize>) -> Option<usize> {
        let next = if self.reverse { at.checked_sub(1) } else { Some(at + 1) };
        next.filter(|next| counts.contains(next))
    }

    fn blocks_that_count(&self, opened: &Opened) -> std::ops::Range<usize> {
        let first = opened.meta.seek(&self.from).unwrap_or(0);
        first..opened.meta.seek(&self.to).map_or(0, |last| last + 1)
    }

    fn partitions_that_count(&self, head: &SegmentHead) -> std::ops::Range<usize> {
        head.seek(&self.from).unwrap_or(0)..head.seek(&self.to).map_or(0, |last| last + 1)
    }

    fn ask_block(&mut self, under: Under<'_>, number: usize, opened: &Opened, position: usize) {
        let Under { reader, segment, head } = under;
        if self.blocks.iter().any(|(at, block, _)| (*at, *block) == (number, position)) {
            return;
        }
        let Some(handle) = opened.meta.block(position, opened.handle.offset) else { return };
        if opened.along.data(&handle).is_none() && reader.data_now(segment, &handle).is_none() {
            self.blocks.push_back((number, position, reader.ask_data(segment, head, handle, AHEAD)));
        }
    }

    /// A partition ahead, if its meta is there; else it is asked for, with as much as `bytes` of data.
    fn open_ahead(&mut self, under: Under<'_>, position: usize, bytes: u64) -> Option<Opened> {
        let Under { reader, segment, head } = under;
        if let Some((_, opening)) = self.partitions.iter_mut().find(|(at, _)| *at == position) {
            return opening.open(segment);
        }
        let handle = head.partition(position)?;
        let mut opening = open_now(under, position, handle).unwrap_or_else(|| {
            // All of it is needed, or else it may save a request.
            let data_uses = if u64::from(handle.bytes()) <= bytes { u32::MAX } else { 1 };
            PartitionAhead::Asked(handle, reader.ask_partition(segment, handle, data_uses, AHEAD))
        });
        let opened = opening.open(segment);
        self.partitions.push_back((position, opening));
        opened
    }
}

impl PartitionAhead {
    /// The partition, if it is there. One that could not be read is asked for again when it is reached.
    fn open(&mut self, segment: &Segment) -> Option<Opened> {
        if let Self::Asked(handle, load) = self
            && let Some(result) = load.take_ready()
        {
            let handle = *handle;
            let along = Along::of_partition(&handle, load.take_along());
            *self = match result.ok().and_then(|block| take_partition(segment, block).ok()) {
                Some(meta) => Self::Open(Opened { handle, meta, along }),
                None => Self::Failed,
            };
        }
        match self {
            Self::Open(opened) => Some(opened.clone()),
            Self::Asked(..) | Self::Failed => None,
        }
    }
}

fn open_now(under: Under<'_>, position: usize, handle: PartitionHandle) -> Option<PartitionAhead> {
    let meta = under.reader.partition_now(under.segment, under.head, position, &handle)?;
    Some(PartitionAhead::Open(Opened { handle, meta, along: Along::default() }))
}
