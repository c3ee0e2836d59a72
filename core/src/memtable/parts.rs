//! A shard's memtable in parts, each of a range of key groups, so that one part is flushed while the others go on.
//!
//! ```text
//! all take writes:   | 3/9 | 5/9 | 7/9 | ... |    when their sum is full, the fullest part is frozen and begins anew
//! ```
//! With writes spread evenly over `n` parts the frozen one is `2 n / (n + 1)` times as full as the mean, and what waits for its upload
//! is a small part of the whole: so for the same memory the runs that flushes make of a key group are several times larger than if the
//! whole was frozen at once, and fewer.

#![expect(clippy::indexing_slicing, reason = "`number` never passes the parts of a table that takes writes")]

use super::cursor::Cursor;
use super::merge::MergeWrite;
use super::ranges::RangeDeletion;
use super::table::Memtable;
use crate::entry::Entry;
use crate::error::Result;
use crate::key::{group_of, group_prefix};
use crate::merge_operator::MergeOperators;
use std::ops::Range;

/// Bits of the fraction in [`Layout::scale`].
const SCALE_BITS: u32 = 16;

/// Which part a key group belongs to.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// First key group.
    start: u16,
    /// Parts for each key group, as a fraction of 16 bits.
    scale: u64,
    parts: usize,
}

impl Layout {
    fn new(groups: &Range<u16>, parts: usize) -> Self {
        let parts = parts.clamp(1, groups.len().max(1));
        Self {
            start: groups.start,
            scale: ((parts as u64) << SCALE_BITS) / groups.len().max(1) as u64,
            parts,
        }
    }

    #[inline]
    fn number(self, key: &[u8]) -> usize {
        let group = group_of(key).unwrap_or_default().saturating_sub(self.start);
        let number = (u64::from(group) * self.scale) >> SCALE_BITS;
        usize::try_from(number).unwrap_or(usize::MAX).min(self.parts - 1)
    }

    /// The smallest engine key of a part above the first.
    fn border(self, number: usize) -> [u8; 2] {
        let group = ((number as u64) << SCALE_BITS).div_ceil(self.scale.max(1));
        group_prefix(u16::try_from(group + u64::from(self.start)).unwrap_or(u16::MAX))
    }
}

/// Neighbouring parts of a memtable: all that take writes, or those that were frozen.
#[derive(Debug)]
pub(crate) struct Memtables {
    layout: Layout,
    /// Number of the first part in `tables`.
    first: usize,
    tables: Vec<Memtable>,
    bytes: usize,
    /// Keys that were written.
    keys: usize,
}

impl Memtables {
    /// Empty tables for writes to `groups`, in at most so many parts.
    pub(crate) fn new(groups: &Range<u16>, parts: usize) -> Self {
        Self::empty(Layout::new(groups, parts))
    }

    /// The table of a key, if its part is among these.
    #[inline]
    pub(crate) fn of(&self, key: &[u8]) -> Option<&Memtable> {
        self.tables.get(self.layout.number(key).wrapping_sub(self.first))
    }

    /// The tables, in the order of their keys.
    pub(crate) fn tables(&self) -> impl DoubleEndedIterator<Item = &Memtable> {
        self.tables.iter()
    }

    /// Takes all parts out; leaves empty ones.
    pub(crate) fn take_all(&mut self) -> Self {
        let fresh = Self::empty(self.layout);
        std::mem::replace(self, fresh)
    }

    /// Takes the fullest part out; leaves an empty one.
    pub(crate) fn take_fullest(&mut self) -> Self {
        let sizes = self.tables.iter().map(Memtable::bytes).enumerate();
        let number = sizes.max_by_key(|(_, bytes)| *bytes).map_or(0, |(number, _)| number);
        let fresh = Memtable::default();
        self.bytes += fresh.bytes();
        let table = std::mem::replace(&mut self.tables[number], fresh);
        let (bytes, keys) = (table.bytes(), table.len());
        self.bytes -= bytes;
        self.keys -= keys;
        Self { layout: self.layout, first: number, tables: vec![table], bytes, keys }
    }

    fn empty(layout: Layout) -> Self {
        let tables: Vec<_> = std::iter::repeat_with(Memtable::default).take(layout.parts).collect();
        let bytes = tables.iter().map(Memtable::bytes).sum();
        Self { layout, first: 0, tables, bytes, keys: 0 }
    }

    /// The parts of the whole over these parts: 1 if all are here.
    pub(crate) fn of_whole(&self) -> u64 {
        (self.layout.parts / self.tables.len().max(1)) as u64
    }

    #[inline]
    fn change<T>(&mut self, key: &[u8], change: impl FnOnce(&mut Memtable) -> T) -> T {
        let table = &mut self.tables[self.layout.number(key)];
        let (bytes, keys) = (table.bytes(), table.len());
        let outcome = change(table);
        self.bytes = self.bytes + table.bytes() - bytes;
        self.keys += table.len() - keys;
        outcome
    }

    /// See [`Memtable::write`].
    #[inline]
    pub(crate) fn write(&mut self, key: &[u8], entry: Entry<'_>, sequence: u64, held: Option<u64>) {
        self.change(key, |table| table.write(key, entry, sequence, held));
    }

    /// See [`Memtable::merge`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn merge(
        &mut self,
        key: &[u8],
        write: &MergeWrite<'_>,
        sequence: u64,
        held: Option<u64>,
        operators: &MergeOperators,
    ) -> Result<usize> {
        self.change(key, |table| table.merge(key, write, sequence, held, operators))
    }

    /// See [`Memtable::merge_settled`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn merge_settled(
        &mut self,
        key: &[u8],
        write: &MergeWrite<'_>,
        sequence: u64,
        held: Option<u64>,
        operators: &MergeOperators,
    ) -> Result<usize> {
        self.change(key, |table| table.merge_settled(key, write, sequence, held, operators))
    }

    /// See [`Memtable::delete_range`]: a marker in each part that the range reaches into.
    pub(crate) fn delete_range(&mut self, from: &[u8], to: &[u8], sequence: u64, held: Option<u64>) {
        let (first, last) = (self.layout.number(from), self.layout.number(to));
        for number in first..=last {
            let lower = self.layout.border(number);
            let upper = self.layout.border(number + 1);
            let lower = if number == first { from } else { lower.as_slice() };
            let upper = if number == last { to } else { upper.as_slice() };
            self.change(lower, |table| table.delete_range(lower, upper, sequence, held));
        }
    }

    /// See [`Memtable::newest_write`].
    pub(crate) fn newest_write(&self, key: &[u8]) -> Option<u64> {
        self.of(key)?.newest_write(key)
    }

    /// See [`Memtable::payload_bytes`].
    pub(crate) fn payload_bytes(&self, key: &[u8]) -> usize {
        self.of(key).map_or(0, |table| table.payload_bytes(key))
    }

    /// See [`Memtable::range_deletions`]. One that reaches over a border of parts comes in pieces.
    pub(crate) fn range_deletions(&self, at: u64) -> impl Iterator<Item = RangeDeletion<'_>> {
        self.tables.iter().flat_map(move |table| table.range_deletions(at))
    }

    /// One cursor a part, in the order of their keys: see [`Memtable::cursor`].
    pub(crate) fn cursors(&self, at: u64) -> impl Iterator<Item = Cursor<'_>> {
        self.tables.iter().map(move |table| table.cursor(at))
    }

    /// Keys that were written.
    #[inline]
    pub(crate) const fn keys(&self) -> usize {
        self.keys
    }

    /// See [`Memtable::has_range_deletions`].
    pub(crate) fn has_range_deletions(&self) -> bool {
        self.tables.iter().any(Memtable::has_range_deletions)
    }

    /// See [`Memtable::has_merges`].
    pub(crate) fn has_merges(&self) -> bool {
        self.tables.iter().any(Memtable::has_merges)
    }

    /// See [`Memtable::is_empty`].
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.iter().all(Memtable::is_empty)
    }

    /// Memory of all parts.
    #[inline]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Op;
    use crate::key::engine_key;
    use crate::memtable::Found;

    fn put(tables: &mut Memtables, group: u16, key: &[u8], sequence: u64) {
        let key = engine_key(group, key).unwrap();
        tables.write(&key, Entry::put(b"v"), sequence, None);
    }

    #[test]
    fn every_group_has_one_part_and_borders_stand_where_parts_change() {
        for (groups, parts) in
            [(0..128, 8), (64..128, 8), (3..10, 4), (5..6, 8), (0..32_768, 8), (0..7, 7), (10..13, 2)]
        {
            let layout = Layout::new(&groups, parts);
            let numbers: Vec<usize> =
                groups.clone().map(|group| layout.number(&group_prefix(group))).collect();
            assert!(
                numbers.is_sorted() && *numbers.last().unwrap() < layout.parts,
                "{groups:?}: {numbers:?}"
            );
            assert!(numbers.windows(2).all(|pair| pair[1] - pair[0] <= 1), "{groups:?}: no part is empty");
            for group in groups {
                let number = layout.number(&group_prefix(group));
                let above = group_prefix(group) >= layout.border(number);
                let below = number + 1 == layout.parts || group_prefix(group) < layout.border(number + 1);
                assert!((number == 0 || above) && below, "group {group} of part {number}");
            }
        }
    }

    #[test]
    fn the_fullest_part_goes_and_takes_its_bytes_along() {
        let mut tables = Memtables::new(&(0..8), 4);
        let empty = tables.bytes();
        (0..8).for_each(|group| put(&mut tables, group, b"a", 1));
        (0..100_u8).for_each(|key| put(&mut tables, 5, &[key], 2));
        let all = tables.bytes();
        let fullest = tables.take_fullest();
        assert_eq!((fullest.of_whole(), fullest.keys(), tables.keys()), (4, 101, 6));
        assert_eq!(tables.bytes() + fullest.bytes(), all + Memtable::default().bytes());
        let key = engine_key(5, &[7]).unwrap();
        assert!(fullest.of(&key).unwrap().get(&key, u64::MAX).is_some());
        assert!(tables.of(&key).unwrap().is_empty());
        assert!(fullest.of(&engine_key(1, b"a").unwrap()).is_none(), "it never left");
        let rest = tables.take_all();
        assert_eq!((rest.of_whole(), tables.bytes()), (1, empty));
        assert!(tables.is_empty() && !rest.is_empty());
    }

    #[test]
    fn a_range_deletion_reaches_into_every_part_between_its_ends_and_no_other() {
        let mut tables = Memtables::new(&(0..8), 4);
        (0..8).for_each(|group| put(&mut tables, group, b"k", 1));
        let (from, to) = (engine_key(1, b"k").unwrap(), engine_key(6, b"k").unwrap());
        tables.delete_range(&from, &to, 2, None);
        for group in 0..8 {
            let key = engine_key(group, b"k").unwrap();
            let gone =
                matches!(tables.of(&key).unwrap().get(&key, u64::MAX), Some(Found::RangeDeleted { .. }));
            assert_eq!(gone, (1..6).contains(&group), "group {group}");
        }
        let whole = tables.range_deletions(u64::MAX);
        let pieces: Vec<_> = whole.map(|piece| (piece.from.to_vec(), piece.to.to_vec())).collect();
        assert_eq!(pieces.first().unwrap().0, from.to_vec());
        assert_eq!(pieces.last().unwrap().1, to.to_vec());
        assert!(pieces.windows(2).all(|pair| pair[0].1 == pair[1].0), "without a gap: {pieces:?}");
        let entries = tables.cursors(u64::MAX).map(|mut cursor| {
            std::iter::from_fn(move || cursor.next())
                .filter(|visible| matches!(visible.entry.op, Op::Put(_)))
                .count()
        });
        assert_eq!(entries.sum::<usize>(), 3);
    }

    #[test]
    fn the_end_of_the_last_group_is_no_part_of_its_own() {
        let mut tables = Memtables::new(&(4..8), 4);
        tables.delete_range(&group_prefix(4), &group_prefix(8), 1, None);
        let key = engine_key(7, b"z").unwrap();
        assert!(tables.of(&key).unwrap().is_range_deleted(&key, u64::MAX));
    }
}
