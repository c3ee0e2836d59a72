//! Point lookups: memtable, frozen memtables, then of each sorted run the one segment that may hold the key, if its filter lets
//! the key pass; newest first.

use super::{ShardCore, add};
use crate::entry::Op;
use crate::error::Result;
use crate::key::group_of;
use crate::segment::data::DataBlock;
use crate::segment::filter;
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::version::{Segment, SortedRun, Version};
use bytes::Bytes;
use std::rc::Rc;

/// Reads that may bring blocks into the cache between two looks at its memory.
const BALANCE_READS: u64 = 256;

/// What can be said without waiting.
pub(crate) enum Now {
    /// The value, or that there is none.
    Answer(Option<Bytes>),
    /// The next step needs SSD or DFS.
    Waits(Pending),
}

/// A lookup that stopped before run `next` of its version.
pub(crate) struct Pending {
    version: Rc<Version>,
    next: usize,
    hash: u64,
}

/// What one segment says about a key.
enum Found {
    Nothing,
    Slot(Option<Bytes>),
}

impl ShardCore {
    /// Answers from memory, or says where to go on.
    pub(crate) fn get_now(&self, key: &[u8]) -> Result<Now> {
        if let Some(slot) = self.memtable.borrow().get(key) {
            add(&self.counters.reads_immediate, 1);
            return Ok(Now::Answer(slot.map(Bytes::copy_from_slice)));
        }
        let version = self.version();
        for frozen in &version.frozen {
            if let Some(slot) = frozen.memtable.get(key) {
                add(&self.counters.reads_immediate, 1);
                return Ok(Now::Answer(slot.map(Bytes::copy_from_slice)));
            }
        }
        let hash = filter::hash(key);
        let mut next = 0;
        while let Some(run) = version.runs.get(next) {
            match self.search_now(run, key, hash)? {
                Some(Found::Slot(slot)) => {
                    add(&self.counters.reads_immediate, 1);
                    return Ok(Now::Answer(slot));
                }
                Some(Found::Nothing) => next += 1,
                None => return Ok(Now::Waits(Pending { version, next, hash })),
            }
        }
        add(&self.counters.reads_immediate, 1);
        Ok(Now::Answer(None))
    }

    /// Goes on where [`Self::get_now`] stopped, waiting for blocks. Sees what was there when the lookup began.
    pub(crate) async fn get_waiting(&self, key: &[u8], pending: Pending) -> Result<Option<Bytes>> {
        add(&self.counters.reads_waited, 1);
        if self.counters.reads_waited.get().is_multiple_of(BALANCE_READS) {
            self.balance_memory();
        }
        let Pending { version, next, hash } = pending;
        for run in version.runs.iter().skip(next) {
            if let Found::Slot(slot) = self.search(run, key, hash).await? {
                return Ok(slot);
            }
        }
        Ok(None)
    }

    fn search_now(&self, run: &SortedRun, key: &[u8], hash: u64) -> Result<Option<Found>> {
        let Some(segment) = holder(run, key) else { return Ok(Some(Found::Nothing)) };
        let Some(head) = self.head_now(segment) else { return Ok(None) };
        let Some(partition) = partition_of(&head, key) else { return Ok(Some(Found::Nothing)) };
        let Some(meta) = self.partition_now(segment, &partition) else { return Ok(None) };
        let Some(handle) = candidate(&meta, &partition, key, hash) else { return Ok(Some(Found::Nothing)) };
        let Some(block) = self.data_now(segment, &handle) else { return Ok(None) };
        Ok(Some(look(&block, key, hash)))
    }

    async fn search(&self, run: &SortedRun, key: &[u8], hash: u64) -> Result<Found> {
        let Some(segment) = holder(run, key) else { return Ok(Found::Nothing) };
        let head = self.head(segment).await?;
        let Some(partition) = partition_of(&head, key) else { return Ok(Found::Nothing) };
        let (meta, along) = self.partition_and_data(segment, partition).await?;
        let Some(handle) = candidate(&meta, &partition, key, hash) else { return Ok(Found::Nothing) };
        let block = self.data_or(segment, &head, handle, &along).await?;
        Ok(look(&block, key, hash))
    }
}

/// The one segment of a run that may hold the key and counts for its group.
fn holder<'a>(run: &'a SortedRun, key: &[u8]) -> Option<&'a Rc<Segment>> {
    let group = group_of(key)?;
    run.find(key).filter(|segment| segment.entry.groups.contains(&group))
}

/// The one partition that may hold the key.
fn partition_of(head: &SegmentHead, key: &[u8]) -> Option<PartitionHandle> {
    head.partition(head.seek(key)?)
}

/// The one block that may hold the key, if the filter lets it pass.
fn candidate(
    meta: &PartitionMeta,
    partition: &PartitionHandle,
    key: &[u8],
    hash: u64,
) -> Option<BlockHandle> {
    if meta.may_contain(hash) { meta.block(meta.seek(key)?, partition.offset) } else { None }
}

fn look(block: &DataBlock, key: &[u8], hash: u64) -> Found {
    // The value is copied out: a small value must not keep a whole block in memory.
    block.get(key, hash).map_or(Found::Nothing, |entry| {
        Found::Slot((entry.op != Op::Delete).then(|| Bytes::copy_from_slice(entry.payload())))
    })
}
