//! Walks all of one segment.

use super::tally::{Tally, locked};
use crate::error::{Corruption, Error, Result};
use crate::key::group_of;
use crate::segment::block::{self, Expected, Kind};
use crate::segment::counts::Counts;
use crate::segment::cursor::Cursor;
use crate::segment::data::{Access, DataBlock};
use crate::segment::head::SegmentHead;
use crate::segment::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use crate::segment::{SegmentEntry, SegmentPlace, filter};
use aquifer_remote::{Remote, RemoteFuture};
use bytes::Bytes;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// Reads and checks the segment that a manifest names as `entry`.
///
/// # Errors
/// Only if the DFS does not answer, or refuses: faults go into the tally.
pub(super) async fn verify(
    remote: Arc<dyn Remote>,
    entry: SegmentEntry,
    window_bytes: usize,
    tally: &Mutex<Tally<'_>>,
) -> Result<()> {
    let tail_at = entry.bytes.saturating_sub(entry.tail_bytes);
    let tail = fetch(&remote, &entry, tail_at..entry.bytes).await;
    let place = place(&entry, tail_at);
    let head = match tail.map_err(Error::from).and_then(|tail| SegmentHead::decode(&tail, &entry, &place)) {
        Ok(head) => head,
        Err(error) => {
            locked(tally).fault_of(error)?;
            // Nobody knows where the partitions are.
            locked(tally).unread(u64::from(entry.bytes));
            return Ok(());
        }
    };
    locked(tally).read(u64::from(entry.tail_bytes));
    let mut walk = Walk::new(&entry, &head);
    let mut window = next_window(&head, 0, window_bytes);
    let mut coming = window.clone().map(|window| fetch(&remote, &entry, extent(&head, &window)));
    while let (Some(partitions), Some(fetched)) = (window, coming) {
        // On its way while this one is checked.
        window = next_window(&head, partitions.end, window_bytes);
        coming = window.clone().map(|window| fetch(&remote, &entry, extent(&head, &window)));
        let extent = extent(&head, &partitions);
        match fetched.await {
            Ok(bytes) => {
                walk.window(partitions, extent.start, &bytes, &mut locked(tally))?;
                locked(tally).read(u64::from(extent.end - extent.start));
            }
            Err(error) => {
                walk.lost();
                locked(tally).fault_of(error.into())?;
                locked(tally).unread(u64::from(extent.end - extent.start));
            }
        }
    }
    walk.finish(&mut locked(tally));
    Ok(())
}

/// A GET of a byte range of the segment, which begins now.
fn fetch(remote: &Arc<dyn Remote>, entry: &SegmentEntry, range: Range<u32>) -> RemoteFuture<Bytes> {
    let range = entry.offset + u64::from(range.start)..entry.offset + u64::from(range.end);
    remote.get_range(&entry.object, range)
}

fn place(entry: &SegmentEntry, offset: u32) -> SegmentPlace {
    SegmentPlace { object: entry.object.clone(), offset: entry.offset.saturating_add(u64::from(offset)) }
}

/// The partitions from `first` on that fit a window, at least one; `None` past the last.
fn next_window(head: &SegmentHead, first: usize, window_bytes: usize) -> Option<Range<usize>> {
    let mut bytes = head.partition(first)?.bytes() as usize;
    let mut end = first + 1;
    while let Some(next) = head.partition(end) {
        bytes = bytes.saturating_add(next.bytes() as usize);
        if bytes > window_bytes {
            break;
        }
        end += 1;
    }
    Some(first..end)
}

/// Where partitions lie in the segment.
fn extent(head: &SegmentHead, partitions: &Range<usize>) -> Range<u32> {
    let start = head.partition(partitions.start).map_or(0, |handle| handle.offset);
    let end = head.partition(partitions.end.saturating_sub(1)).map_or(start, |handle| handle.end());
    start..end
}

/// What is known of the entries walked so far.
struct Walk<'a> {
    entry: &'a SegmentEntry,
    head: &'a SegmentHead,
    /// Key of the entry before; `None` at the beginning, and behind what could not be read.
    last_key: Option<Vec<u8>>,
    first_key: Option<Vec<u8>>,
    counts: Counts,
    groups: Vec<(u16, usize)>,
    /// Everything so far could be read.
    is_whole: bool,
}

impl<'a> Walk<'a> {
    fn new(entry: &'a SegmentEntry, head: &'a SegmentHead) -> Self {
        let (counts, groups) = (Counts::default(), Vec::new());
        Self { entry, head, last_key: None, first_key: None, counts, groups, is_whole: true }
    }

    /// Something could not be read: what it would have been compared with is not known.
    fn lost(&mut self) {
        self.is_whole = false;
        self.last_key = None;
    }

    /// Checks the partitions in `bytes`, which begin at `offset` of the segment.
    fn window(
        &mut self,
        partitions: Range<usize>,
        offset: u32,
        bytes: &Bytes,
        tally: &mut Tally<'_>,
    ) -> Result<()> {
        for position in partitions {
            let Some(handle) = self.head.partition(position) else { break };
            let stored = slice(bytes, handle.offset.saturating_sub(offset), handle.bytes());
            match self.meta(&handle, &stored) {
                Ok(meta) => {
                    tally.partition();
                    self.partition(position, &handle, &meta, &stored, tally)?;
                }
                Err(error) => {
                    self.lost();
                    tally.fault_of(error)?;
                    tally.unread(u64::from(handle.data_bytes));
                }
            }
        }
        Ok(())
    }

    fn meta(&self, handle: &PartitionHandle, stored: &Bytes) -> Result<PartitionMeta> {
        let place = place(self.entry, handle.meta_offset());
        let expected = Expected { kind: Kind::Partition, crc: handle.meta_crc, dictionary: None };
        let payload = block::decode(&slice(stored, handle.data_bytes, handle.meta_bytes), expected, &place)?;
        PartitionMeta::decode(payload, handle.data_bytes, &place)
    }

    fn partition(
        &mut self,
        position: usize,
        handle: &PartitionHandle,
        meta: &PartitionMeta,
        stored: &Bytes,
        tally: &mut Tally<'_>,
    ) -> Result<()> {
        let meta_place = place(self.entry, handle.meta_offset());
        let separator = self.head.separator(position);
        if meta.smallest() < separator || self.last_key.as_deref().is_some_and(|last| last >= separator) {
            let found = format!("{} after {}", shown(meta.smallest()), shown_last(&self.last_key));
            tally.fault(fault(&meta_place, format!("keys divided by {}", shown(separator)), found));
        }
        let mut counts = Counts::default();
        let mut blocks_lost = 0;
        for number in 0..meta.blocks() {
            let Some(block) = meta.block(number, handle.offset) else { break };
            let stored = slice(stored, block.offset.saturating_sub(handle.offset), block.bytes);
            match self.block(&block, &stored, (number, position), meta, &mut counts) {
                Ok(entries) => tally.block(entries),
                Err(error) => {
                    self.lost();
                    blocks_lost += 1;
                    tally.fault_of(error)?;
                }
            }
        }
        if blocks_lost > 0 {
            return Ok(());
        }
        self.counts.add(&counts);
        if counts != *meta.counts() {
            tally.fault(fault(&meta_place, format!("{:?}", meta.counts()), format!("{counts:?}")));
        }
        if self.last_key.as_deref().is_some_and(|last| last != meta.largest()) {
            let found = shown_last(&self.last_key);
            tally.fault(fault(&meta_place, format!("{} as largest key", shown(meta.largest())), found));
        }
        Ok(())
    }

    /// Checks a data block and every entry of it; gives their number.
    fn block(
        &mut self,
        handle: &BlockHandle,
        stored: &Bytes,
        (number, partition): (usize, usize),
        meta: &PartitionMeta,
        counts: &mut Counts,
    ) -> Result<u64> {
        let place = place(self.entry, handle.offset);
        let expected = Expected { kind: Kind::Data, crc: handle.crc, dictionary: self.head.dictionary() };
        let data = DataBlock::decode(&block::decode(stored, expected, &place)?, Access::Scan, &place)?;
        let separator = meta.separator(number);
        if self.last_key.as_deref().is_some_and(|last| last >= separator) {
            return Err(place.corrupt(format!("keys above {}", shown_last(&self.last_key)), shown(separator)));
        }
        let mut cursor = Cursor::first(Rc::new(data));
        let mut entries = 0;
        while let Some((key, entry)) = cursor.current() {
            let last = self.last_key.get_or_insert_with(Vec::new);
            // The decoder has seen that the keys of one block ascend.
            let low = if entries == 0 { separator } else { last.as_slice() };
            if key < low || key < self.head.smallest() || key > self.head.largest() {
                let borders = (shown(self.head.smallest()), shown(self.head.largest()));
                return Err(place.corrupt(
                    format!("keys from {}, within {} and {}", shown(low), borders.0, borders.1),
                    shown(key),
                ));
            }
            if !meta.may_contain(filter::hash(key)) {
                return Err(place.corrupt("keys that the partition's filter knows", shown(key)));
            }
            let group = group_of(key).unwrap_or_default();
            if self.groups.last().is_none_or(|(before, _)| *before < group) {
                self.groups.push((group, partition));
            }
            counts.count(key, &entry);
            self.first_key.get_or_insert_with(|| key.to_vec());
            last.clear();
            last.extend_from_slice(key);
            entries += 1;
            cursor.advance();
        }
        Ok(entries)
    }

    /// Holds what was walked against the head, which was held against the manifest.
    fn finish(self, tally: &mut Tally<'_>) {
        if !self.is_whole {
            return;
        }
        let place = place(self.entry, self.entry.bytes.saturating_sub(self.entry.tail_bytes));
        if self.counts != *self.head.counts() {
            let found = format!("{:?}", self.counts);
            tally.fault(fault(&place, format!("{:?}", self.head.counts()), found));
        }
        if !self.head.groups().eq(self.groups.iter().copied()) {
            let listed = self.head.groups().count();
            let found = format!("{} with others", self.groups.len());
            tally.fault(fault(&place, format!("{listed} key groups and where they begin"), found));
        }
        // With range deletions borders may be theirs.
        let borders = [(&self.first_key, self.head.smallest()), (&self.last_key, self.head.largest())];
        for (key, border) in borders.into_iter().filter(|_| self.entry.range_deletes == 0) {
            if key.as_deref().is_some_and(|key| key != border) {
                tally.fault(fault(
                    &place,
                    format!("{} as first or last key", shown(border)),
                    shown_last(key),
                ));
            }
        }
    }
}

/// Bytes of a window; fewer where it ends, which then shows by a checksum.
fn slice(bytes: &Bytes, start: u32, length: u32) -> Bytes {
    let start = (start as usize).min(bytes.len());
    let end = start.saturating_add(length as usize).min(bytes.len());
    bytes.slice(start..end)
}

fn fault(place: &SegmentPlace, expected: String, found: String) -> Corruption {
    Corruption { object: place.object.to_string(), offset: place.offset, expected, found }
}

/// Keys in faults are shortened: they may have 64 KiB.
const KEY_SHOWN_BYTES: usize = 64;

fn shown(key: &[u8]) -> String {
    let cut = key.get(..KEY_SHOWN_BYTES).unwrap_or(key);
    let rest = if cut.len() < key.len() { ".." } else { "" };
    format!("{}{rest}", cut.escape_ascii())
}

fn shown_last(key: &Option<Vec<u8>>) -> String {
    key.as_deref().map_or_else(|| "nothing".to_owned(), shown)
}
