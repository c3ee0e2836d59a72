//! Lookups that memory could not end: which heads, metas and blocks they need, and how they go on with these.
//!
//! ```text
//! key ──> runs, newest first:  head ──> partition ──> filter, index ──> block ──> entry ──> next run, if it does not end the search
//!            │                  │          │                             │
//!            │                  └──────────┴── of all runs at once ──────┴── of one run, unless the entries are operands
//! ```
//! A step goes as far as memory and what is in hand go, and names what it needs next. All that many keys need is asked for at once, and so
//! planned together (`multi_get.rs`).
//!
//! * Heads: those of all runs that may hold the key are asked for together. They are few, and every later lookup needs them. A small segment
//!   comes whole with its head.
//! * Metas: of all runs together, if moving them takes no longer than the round trip that it saves; with their data blocks, if those fit
//!   as well.
//! * Blocks: only of the newest run whose filter lets the key pass. It errs once in 256 times, so a block of an older run would be read in
//!   vain nearly always. But below an operand the next older entry is needed as well: then those of all runs.

use crate::answer::Answer;
use crate::blocks::along::Along;
use crate::blocks::cached_block::CachedBlock;
use crate::blocks::load::{came, loaded, next_of, own, take_data, take_partition};
use crate::blocks::reader::Asking;
use crate::entry::NEVER;
use crate::error::{Error, Result};
use crate::key::of_key;
use crate::limits::{LARGE_READ_BYTES, PARTITION_RAW_BYTES};
use crate::resolve::{Base, Resolver};
use crate::segment::data::DataBlock;
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::shard::parts::counters::add;
use crate::shard::reads::answer_room::Room;
use crate::shard::reads::fetched_parts::{FetchedParts, Part};
use crate::shard::reads::lookup::Pending;
use crate::shard::reads::walk::{BlockSupply, OpenSegment, Walked, candidate, holder, partition_of};
use crate::shard::shard_core::ShardCore;
use crate::version::Segment;
use aquifer_cache::{Load, LoadSet, Tier};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Reads that may bring blocks into the cache between two looks at its memory.
const BALANCE_READS: u64 = 256;

/// A lookup that waits for SSD or DFS.
pub(crate) struct WaitingLookup {
    pending: Box<Pending>,
    /// Of the next run.
    current: FetchedParts,
    /// Of later ones.
    later: BTreeMap<usize, FetchedParts>,
    /// When what was found expires, once it is found.
    expires_ms: u64,
}

/// What a lookup needs to go on, of one run.
pub(crate) struct Need {
    run: usize,
    what: NeededPart,
}

enum NeededPart {
    Head { with_segment: bool },
    Meta { handle: PartitionHandle, data_uses: u32 },
    Data { head: Rc<SegmentHead>, handle: BlockHandle, raw_bytes: usize },
}

impl Need {
    /// Bytes that it brings for the sake of a large entry; heads are few, and partitions of the usual size are for many keys.
    fn bytes(&self) -> usize {
        match &self.what {
            NeededPart::Head { .. } => 0,
            NeededPart::Meta { data_uses: 0, .. } => 0,
            NeededPart::Meta { handle, .. } => {
                (handle.bytes() as usize).saturating_sub(2 * PARTITION_RAW_BYTES)
            }
            NeededPart::Data { handle, raw_bytes, .. } => (handle.bytes as usize).max(*raw_bytes),
        }
    }
}

/// Bytes that needs bring, if that is enough to count; else 0.
pub(crate) fn large_bytes(needs: &[Need]) -> usize {
    let bytes: usize = needs.iter().map(Need::bytes).sum();
    if bytes >= LARGE_READ_BYTES { bytes } else { 0 }
}

/// What stopped a step.
enum Missing {
    Head,
    Meta,
    Data,
}

/// Supplies a walk with what was fetched for the lookup, and what is in memory by now.
struct FetchedSupply<'a> {
    search: &'a mut WaitingLookup,
    missing: Missing,
}

impl BlockSupply for FetchedSupply<'_> {
    fn run(&self) -> usize {
        self.search.pending.next
    }

    fn next_run(&mut self) {
        self.search.next_run();
    }

    fn resolver(&mut self) -> &mut Resolver {
        &mut self.search.pending.resolver
    }

    fn head(&mut self, core: &ShardCore, segment: &Rc<Segment>) -> Option<Rc<SegmentHead>> {
        self.missing = Missing::Head;
        let (head, tier) = self.search.current.head.known(|| core.blocks.head_now(segment))?;
        self.search.saw(tier);
        Some(head)
    }

    fn meta(
        &mut self,
        core: &ShardCore,
        open: OpenSegment<'_>,
        partition: (usize, &PartitionHandle),
    ) -> Result<Option<Rc<PartitionMeta>>> {
        self.missing = Missing::Meta;
        let known = core.meta_at_hand(open.segment, open.head, partition, &self.search.current)?;
        Ok(known.map(|(meta, tier)| {
            self.search.saw(tier);
            meta
        }))
    }

    fn data(
        &mut self,
        core: &ShardCore,
        OpenSegment { segment, head }: OpenSegment<'_>,
        partition: (usize, &PartitionHandle, &PartitionMeta),
        handle: BlockHandle,
    ) -> Result<Option<Rc<DataBlock>>> {
        self.missing = Missing::Data;
        let mut known = self.search.current.data.known(|| core.blocks.data_now(segment, &handle));
        if known.is_none() {
            known = core.blocks.data_along(segment, head, handle, &self.search.current.along)?;
            if known.as_ref().is_some_and(|(_, tier)| *tier != Tier::Memory) {
                core.heat.note(segment, partition, &handle);
            }
        }
        Ok(known.map(|(block, tier)| {
            self.search.saw(tier);
            block
        }))
    }
}

impl WaitingLookup {
    pub(crate) fn new(pending: Box<Pending>) -> Self {
        Self { pending, current: FetchedParts::default(), later: BTreeMap::new(), expires_ms: NEVER }
    }

    fn of_run(&mut self, run: usize) -> &mut FetchedParts {
        if run == self.pending.next { &mut self.current } else { self.later.entry(run).or_default() }
    }

    fn next_run(&mut self) {
        self.pending.next += 1;
        self.current = self.later.remove(&self.pending.next).unwrap_or_default();
    }

    fn saw(&mut self, tier: Tier) {
        self.pending.source = self.pending.source.max(tier.into());
    }

    /// Runs from the next one on whose segment may hold the key, and that segment.
    fn segments(&self, key: &[u8]) -> Vec<(usize, Rc<Segment>)> {
        let runs = self.pending.version.runs.iter().enumerate().skip(self.pending.next);
        runs.filter_map(|(run, sorted)| Some((run, Rc::clone(holder(sorted, key)?)))).collect()
    }
}

impl ShardCore {
    /// Goes on where [`Self::look_now`] stopped, waiting for blocks. Sees what was there when the lookup began.
    pub(crate) async fn get_waiting(&self, key: &[u8], pending: Box<Pending>) -> Result<Answer> {
        self.found_waiting(key, pending).await.map(|(answer, _)| answer)
    }

    /// The same, and when what was found expires.
    pub(crate) async fn found_waiting(&self, key: &[u8], pending: Box<Pending>) -> Result<(Answer, u64)> {
        self.count_waited(1);
        let mut search = WaitingLookup::new(pending);
        let mut needs = Vec::new();
        let mut gather = LoadSet::default();
        let mut owners = Vec::new();
        // Held until the answer is given.
        let mut room: Option<Room<'_>> = None;
        loop {
            if let Some(answer) = self.step(key, &mut search, &mut needs)? {
                return Ok((answer, search.expires_ms));
            }
            match (large_bytes(&needs), &mut room) {
                (0, _) => {}
                (bytes, Some(room)) => room.grow(bytes),
                (bytes, None) => room = Some(self.room_for_large(bytes).await),
            }
            if gather.is_empty() && needs.len() == 1 {
                if let Some(need) = needs.pop() {
                    let came = loaded(self.ask(key, &search, &need, 0)?).await;
                    self.deliver(key, &mut search, &need, came)?;
                }
                continue;
            }
            for need in needs.drain(..) {
                own(&mut owners, gather.add(self.ask(key, &search, &need, 0)?), need);
            }
            let Some((done, need)) = next_of(&mut gather, &mut owners).await else {
                return Err(Error::closed());
            };
            self.deliver(key, &mut search, &need, came(done))?;
        }
    }

    /// Notes reads that wait.
    pub(crate) fn count_waited(&self, reads: u64) {
        let before = self.counters.reads_waited.get();
        add(&self.counters.reads_waited, reads);
        if before / BALANCE_READS != (before + reads) / BALANCE_READS {
            self.balance_memory();
        }
    }

    /// Goes as far as memory and what is in hand go. `None`: it waits for `needs`, or for what it needed before.
    pub(crate) fn step(
        &self,
        key: &[u8],
        search: &mut WaitingLookup,
        needs: &mut Vec<Need>,
    ) -> Result<Option<Answer>> {
        self.step_unnamed(key, search, needs).map_err(|error| of_key(error, key))
    }

    fn step_unnamed(
        &self,
        key: &[u8],
        search: &mut WaitingLookup,
        needs: &mut Vec<Need>,
    ) -> Result<Option<Answer>> {
        let version = Rc::clone(&search.pending.version);
        let hash = search.pending.hash;
        let supply = FetchedSupply { search, missing: Missing::Head };
        let walked =
            self.walk(supply, (key, hash), &version.runs, |FetchedSupply { search, .. }, base, last| {
                if let Some(last) = &last {
                    self.keep_entry(key, last, &search.pending);
                }
                self.end(search, base)
            });
        let FetchedSupply { search, missing } = match walked? {
            Walked::Known(answer) => return Ok(Some(answer)),
            Walked::Stopped(supply) => supply,
        };
        match missing {
            Missing::Head => {
                self.need_heads(key, search, needs);
                // The metas of later runs whose heads are here need not wait for it.
                self.need_metas(key, search, needs);
            }
            Missing::Meta => self.need_metas(key, search, needs),
            Missing::Data => self.need_data(key, search, needs),
        }
        Ok(None)
    }

    /// The meta of a partition, if it is in hand or in memory, or came along with the head.
    fn meta_at_hand(
        &self,
        segment: &Rc<Segment>,
        head: &SegmentHead,
        (position, handle): (usize, &PartitionHandle),
        hand: &FetchedParts,
    ) -> Result<Option<(Rc<PartitionMeta>, Tier)>> {
        match hand.meta.known(|| self.blocks.partition_now(segment, head, position, handle)) {
            None => self.blocks.partition_along(segment, handle, &hand.along),
            known => Ok(known),
        }
    }

    fn end(&self, search: &mut WaitingLookup, base: Base<'_>) -> Result<Answer> {
        self.pay(search.pending.next as u64);
        let resolver = std::mem::replace(&mut search.pending.resolver, Resolver::new());
        search.expires_ms = resolver.expires_ms();
        self.answer(resolver, base, search.pending.source)
    }

    /// The heads of all runs that may hold the key; of small segments all there is, the newest first, while moving that takes no longer than
    /// the round trip it saves.
    fn need_heads(&self, key: &[u8], search: &mut WaitingLookup, needs: &mut Vec<Need>) {
        let mut left = self.blocks.cache.span_bytes_max();
        for (run, segment) in search.segments(key) {
            self.need_head(run, &segment, &mut left, search, needs);
        }
    }

    fn need_head(
        &self,
        run: usize,
        segment: &Segment,
        bytes_left: &mut u64,
        search: &mut WaitingLookup,
        needs: &mut Vec<Need>,
    ) {
        // The next one is known to be missing.
        let is_next = run == search.pending.next;
        let is_missing = is_next || self.blocks.head_now(segment).is_none();
        if is_missing && search.of_run(run).head.ask(is_next) {
            let left = bytes_left.checked_sub(u64::from(segment.entry.bytes));
            *bytes_left = left.unwrap_or(*bytes_left);
            needs.push(Need { run, what: NeededPart::Head { with_segment: left.is_some() } });
        }
    }

    /// The metas of the partitions that may hold the key: of the next run, and of later ones if that pays.
    fn need_metas(&self, key: &[u8], search: &mut WaitingLookup, needs: &mut Vec<Need>) {
        let mut missing = Vec::new();
        let next = search.pending.next;
        for (run, segment) in search.segments(key) {
            let hand = search.of_run(run);
            let Some((head, _)) = hand.head.known(|| self.blocks.head_now(&segment)) else {
                self.need_head(run, &segment, &mut 0, search, needs);
                continue;
            };
            if let Some((position, handle)) = partition_of(&head, key)
                && hand.meta.is_open(run == next)
                && hand.along.meta(&handle).is_none()
                && self.blocks.partition_now(&segment, &head, position, &handle).is_none()
            {
                missing.push((run, handle));
            }
            if head.range_deletes().covers(key) {
                break;
            }
        }
        let round_trip_bytes = self.blocks.cache.request_bytes(Tier::Remote);
        let bytes = |of: fn(&PartitionHandle) -> u32| -> u64 {
            missing.iter().map(|(_, handle)| u64::from(of(handle))).sum()
        };
        let with_data = bytes(PartitionHandle::bytes) <= round_trip_bytes;
        if !with_data && bytes(|handle| handle.meta_bytes) > round_trip_bytes {
            missing.retain(|(run, _)| *run == next);
        }
        for (run, handle) in missing {
            search.of_run(run).meta.ask(run == next);
            // Of the next run the block is needed for sure, unless the filter says otherwise. Whether one request for all of them pays is seen
            // when it is known how many keys wait for the partition.
            let data_uses = u32::from(with_data || run == next);
            needs.push(Need { run, what: NeededPart::Meta { handle, data_uses } });
        }
    }

    /// The block of the next run; below an operand those of later ones as well, where their filters are at hand.
    fn need_data(&self, key: &[u8], search: &mut WaitingLookup, needs: &mut Vec<Need>) {
        let (next, hash) = (search.pending.next, search.pending.hash);
        let runs_max = if search.pending.resolver.is_waiting() { usize::MAX } else { 1 };
        for (run, segment) in search.segments(key).into_iter().take(runs_max) {
            let hand = search.of_run(run);
            let Some((head, _)) = hand.head.known(|| self.blocks.head_now(&segment)) else { return };
            if let Some((position, partition)) = partition_of(&head, key) {
                // One that does not decode is reported when it is needed.
                let meta = self.meta_at_hand(&segment, &head, (position, &partition), hand);
                let Ok(Some((meta, _))) = meta else { return };
                if let Some(handle) = candidate(&meta, &partition, key, hash) {
                    let is_missing = run == next
                        || hand.along.data(&handle).is_none()
                            && self.blocks.data_now(&segment, &handle).is_none();
                    if is_missing && hand.data.ask(run == next) {
                        self.heat.note(&segment, (position, &partition, &meta), &handle);
                        // What a partition has beyond its usual size is a large entry's.
                        let beyond = meta.counts().raw_bytes.saturating_sub(PARTITION_RAW_BYTES as u64);
                        let raw_bytes = usize::try_from(beyond).unwrap_or(usize::MAX);
                        let what = NeededPart::Data { head: Rc::clone(&head), handle, raw_bytes };
                        needs.push(Need { run, what });
                    }
                }
            }
            if head.range_deletes().covers(key) {
                return;
            }
        }
    }

    /// Asks for what a lookup needs.
    pub(crate) fn ask(
        &self,
        key: &[u8],
        search: &WaitingLookup,
        need: &Need,
        in_batch: u32,
    ) -> Result<Load<CachedBlock>> {
        let segment = segment_of(search, need.run, key)?;
        let asking = Asking { in_batch, ..Asking::default() };
        Ok(match &need.what {
            NeededPart::Head { with_segment } => self.blocks.ask_head(segment, *with_segment, asking),
            NeededPart::Meta { handle, data_uses } => {
                self.blocks.ask_partition(segment, *handle, *data_uses, asking)
            }
            NeededPart::Data { head, handle, .. } => self.blocks.ask_data(segment, head, *handle, asking),
        })
    }

    /// Hands a lookup what it needed. An error is one if it needs that now.
    pub(crate) fn deliver(
        &self,
        key: &[u8],
        search: &mut WaitingLookup,
        need: &Need,
        came: Result<(CachedBlock, Tier, Bytes)>,
    ) -> Result<()> {
        if need.run < search.pending.next {
            return Ok(());
        }
        let segment = Rc::clone(segment_of(search, need.run, key)?);
        let is_next = need.run == search.pending.next;
        let hash = search.pending.hash;
        let hand = search.of_run(need.run);
        let (block, tier, along) = match came {
            Ok(came) => came,
            Err(error) if is_next => return Err(error),
            Err(_) => {
                match &need.what {
                    NeededPart::Head { .. } => hand.head = Part::Refused,
                    NeededPart::Meta { .. } => hand.meta = Part::Refused,
                    NeededPart::Data { .. } => hand.data = Part::Refused,
                }
                return Ok(());
            }
        };
        match &need.what {
            NeededPart::Head { .. } => {
                let head = self.blocks.take_head(&segment, block)?;
                hand.along = Along::of_head(along);
                if !is_next {
                    let partition = partition_of(&head, key).map(|(_, partition)| partition);
                    // What cannot be read is asked for again once it is needed, and is an error then.
                    let meta = partition
                        .map(|partition| self.blocks.partition_along(&segment, &partition, &hand.along));
                    if let Some(Ok(Some((meta, tier)))) = meta {
                        hand.meta = Part::Here(meta, tier);
                    }
                    hand.keep_needed(partition.as_ref(), key, hash);
                }
                hand.head = Part::Here(head, tier);
            }
            NeededPart::Meta { handle, .. } => {
                hand.meta = Part::Here(take_partition(&segment, block)?, tier);
                if !along.is_empty() {
                    hand.along = Along::of_partition(handle, along);
                    if !is_next {
                        hand.keep_needed(Some(handle), key, hash);
                    }
                }
            }
            NeededPart::Data { .. } => hand.data = Part::Here(take_data(&segment, block)?, tier),
        }
        Ok(())
    }
}

/// The segment of a run that may hold the key. There is one if something of it was needed.
fn segment_of<'a>(search: &'a WaitingLookup, run: usize, key: &[u8]) -> Result<&'a Rc<Segment>> {
    let segment = search.pending.version.runs.get(run).and_then(|run| holder(run, key));
    segment.ok_or_else(Error::closed)
}
