//! The newest writes of a shard, ordered, in memory. Single-threaded.
//!
//! A second write to a key replaces the first in place unless a snapshot still sees the first, so a hot set of any update rate keeps
//! its size. Range deletions are markers beside the entries: a marker hides what was written before it, never what came after.

use crate::entry::{Entry, Op};
use crate::merge_operator::MergeOperators;
use std::collections::BTreeMap;
use std::ops::Bound;

/// What one entry takes beside its key and value: allocations with their rounding, and its share of a tree node.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// Ordered writes by engine key.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    entries: BTreeMap<Box<[u8]>, Vec<Written>>,
    ranges: Vec<RangeDeletion>,
    bytes: usize,
}

/// One write as it is kept; the newest of a key comes last.
#[derive(Debug)]
struct Written {
    sequence: u64,
    expires_ms: u64,
    kind: Kind,
    payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Put,
    Delete,
    Merge { operator: u32, written_ms: u64 },
    Chain,
}

/// Everything in `from..to` that was written before `sequence` is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeDeletion {
    pub(crate) from: Box<[u8]>,
    pub(crate) to: Box<[u8]>,
    pub(crate) sequence: u64,
}

impl Written {
    fn new(entry: Entry<'_>, sequence: u64) -> Self {
        let kind = match entry.op {
            Op::Put(_) => Kind::Put,
            Op::Delete => Kind::Delete,
            Op::Merge { operator, written_ms, .. } => Kind::Merge { operator, written_ms },
            Op::Chain(_) => Kind::Chain,
        };
        Self { sequence, expires_ms: entry.expires_ms, kind, payload: entry.payload().to_vec() }
    }

    fn entry(&self) -> Entry<'_> {
        let op = match self.kind {
            Kind::Put => Op::Put(&self.payload),
            Kind::Delete => Op::Delete,
            Kind::Merge { operator, written_ms } => Op::Merge { operator, operand: &self.payload, written_ms },
            Kind::Chain => Op::Chain(&self.payload),
        };
        Entry { op, expires_ms: self.expires_ms }
    }
}

impl Memtable {
    /// Takes a write. `sequence` is above that of every write before; `held` is the newest sequence that a snapshot still sees.
    pub(crate) fn write(&mut self, key: &[u8], entry: Entry<'_>, sequence: u64, held: Option<u64>) {
        let written = Written::new(entry, sequence);
        let Some(versions) = self.entries.get_mut(key) else {
            self.bytes += key.len() + written.payload.len() + ENTRY_OVERHEAD_BYTES;
            self.entries.insert(Box::from(key), vec![written]);
            return;
        };
        self.bytes += written.payload.len();
        match versions.last_mut() {
            // A merge needs what is below it.
            Some(last) if held.is_none_or(|held| last.sequence > held) && !matches!(entry.op, Op::Merge { .. }) => {
                self.bytes -= last.payload.len();
                *last = written;
            }
            _ => {
                self.bytes += ENTRY_OVERHEAD_BYTES;
                versions.push(written);
            }
        }
    }

    /// Takes a merge, written now, at `op.written_ms`.
    pub(crate) fn merge(
        &mut self,
        key: &[u8],
        entry: Entry<'_>,
        sequence: u64,
        held: Option<u64>,
        operators: &MergeOperators,
    ) {
        let Op::Merge { operator, operand, written_ms } = entry.op else {
            self.write(key, entry, sequence, held);
            return;
        };
        let deleted = self.deleted_at(key, u64::MAX).unwrap_or(0);
        let last = self.entries.get(key).and_then(|versions| versions.last());
        let Some(last) = last else {
            let entry = if deleted > 0 { Entry { op: Op::Put(operand), ..entry } } else { entry };
            self.write(key, entry, sequence, held);
            return;
        };
        let (older, older_written_ms) = match last.kind {
            _ if last.sequence < deleted || last.expires_ms <= written_ms => (None, 0),
            Kind::Delete => (None, 0),
            Kind::Chain => return self.write(key, entry, sequence, held),
            Kind::Merge { operator: other, .. } if other != operator => {
                self.write(key, entry, sequence, held);
                return;
            }
            Kind::Put => (Some(None), 0),
            Kind::Merge { operator, written_ms } => (Some(Some(operator)), written_ms),
        };
        let mut merged = Vec::new();
        let op = match older {
            None => Op::Put(operand),
            Some(below) => {
                if operators.merge(operator, &last.payload, operand, &mut merged).is_err() {
                    // Whoever reads the key hears of it.
                    self.write(key, entry, sequence, held);
                    return;
                }
                match below {
                    None => Op::Put(&merged),
                    Some(_) => {
                        Op::Merge { operator, operand: &merged, written_ms: older_written_ms.min(written_ms) }
                    }
                }
            }
        };
        let written = Written::new(Entry { op, expires_ms: entry.expires_ms }, sequence);
        let Some(versions) = self.entries.get_mut(key) else { return };
        self.bytes += written.payload.len();
        match versions.last_mut() {
            Some(last) if held.is_none_or(|held| last.sequence > held) => {
                self.bytes -= last.payload.len();
                *last = written;
            }
            _ => {
                self.bytes += ENTRY_OVERHEAD_BYTES;
                versions.push(written);
            }
        }
    }

    /// Deletes everything in `from..to` that was written before.
    pub(crate) fn delete_range(&mut self, from: &[u8], to: &[u8], sequence: u64) {
        self.bytes += from.len() + to.len() + ENTRY_OVERHEAD_BYTES;
        self.ranges.push(RangeDeletion { from: Box::from(from), to: Box::from(to), sequence });
    }

    /// The writes to `key` up to sequence `at`, newest first, that no range deletion up to `at` hides.
    pub(crate) fn versions<'a>(&'a self, key: &[u8], at: u64) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let deleted = self.deleted_at(key, at).unwrap_or(0);
        let versions = self.entries.get(key).map(Vec::as_slice).unwrap_or_default();
        versions
            .iter()
            .rev()
            .skip_while(move |written| written.sequence > at)
            .take_while(move |written| written.sequence > deleted)
            .map(Written::entry)
    }

    /// Sequence of the newest write that concerns `key`, range deletions included.
    pub(crate) fn newest_write(&self, key: &[u8]) -> Option<u64> {
        let written = self.entries.get(key).and_then(|versions| versions.last()).map(|written| written.sequence);
        written.max(self.deleted_at(key, u64::MAX))
    }

    /// The newest range deletion up to sequence `at` that hides older writes to `key`, here and below.
    pub(crate) fn deleted_at(&self, key: &[u8], at: u64) -> Option<u64> {
        let covers = |range: &&RangeDeletion| *range.from <= *key && *key < *range.to && range.sequence <= at;
        self.ranges.iter().filter(covers).map(|range| range.sequence).max()
    }

    /// Range deletions up to sequence `at`.
    pub(crate) fn range_deletions(&self, at: u64) -> impl Iterator<Item = &RangeDeletion> {
        self.ranges.iter().filter(move |range| range.sequence <= at)
    }

    /// Keys from `from` up to `to`, in ascending or descending order.
    pub(crate) fn keys<'a>(
        &'a self,
        from: Bound<&'a [u8]>,
        to: Bound<&'a [u8]>,
        reverse: bool,
    ) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        let range = self.entries.range::<[u8], _>((from, to)).map(|(key, _)| &**key);
        if reverse { Box::new(range.rev()) } else { Box::new(range) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.ranges.is_empty()
    }

    /// Bytes it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_key_is_overwritten_in_place_and_its_bytes_are_counted_once() {
        let mut memtable = Memtable::default();
        memtable.write(b"k", Entry::put(&[1; 10]), 1, None);
        let once = memtable.bytes();
        for sequence in 2..1000 {
            memtable.write(b"k", Entry::put(&[2; 10]), sequence, None);
        }
        assert_eq!(memtable.bytes(), once);
        memtable.write(b"k", Entry::put(&[3; 30]), 1000, None);
        assert_eq!(memtable.bytes(), once + 20);
        memtable.write(b"k", Entry::delete(), 1001, None);
        assert_eq!(memtable.bytes(), once - 10);
        assert_eq!(memtable.versions(b"k", u64::MAX).collect::<Vec<_>>(), [Entry::delete()]);
    }
}
