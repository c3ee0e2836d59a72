//! Range deletions: each hides every key from its `from` to its `to`, exclusive, in all that is older than its segment.
//!
//! A segment's own entries are newer than its range deletions: whoever writes the segment leaves out what they cover.

use crate::codec::Reader;
use crate::limits::BORDER_BYTES_MAX;
use std::ops::Range;

/// Engine keys from `start` to `end`, exclusive.
pub(crate) type KeyRange = Range<Box<[u8]>>;

/// Range deletions of one segment: they neither overlap nor touch, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeDeletes {
    ranges: Box<[KeyRange]>,
}

impl RangeDeletes {
    /// Joins ranges that overlap or touch; drops empty ones.
    pub(crate) fn new(mut ranges: Vec<KeyRange>) -> Self {
        ranges.retain(|range| range.start < range.end);
        ranges.sort_by(|a, b| a.start.cmp(&b.start));
        let mut joined: Vec<KeyRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => {
                    if last.end < range.end {
                        last.end = range.end;
                    }
                }
                _ => joined.push(range),
            }
        }
        Self { ranges: joined.into_boxed_slice() }
    }

    /// Whether `key` is deleted in all that is older.
    #[inline]
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        !self.ranges.is_empty() && self.ending_after(key).first().is_some_and(|range| *range.start <= *key)
    }

    /// Whether every key from `from` to `to`, inclusive, is deleted in all that is older.
    pub(crate) fn covers_all(&self, from: &[u8], to: &[u8]) -> bool {
        self.ending_after(from).first().is_some_and(|range| *range.start <= *from && *to < *range.end)
    }

    /// The same up to `to`, exclusive.
    pub(crate) fn covers_below(&self, from: &[u8], to: &[u8]) -> bool {
        self.ending_after(from).first().is_some_and(|range| *range.start <= *from && *to <= *range.end)
    }

    /// The ranges clipped to the keys from `from` to `to`, exclusive.
    pub(crate) fn clipped<'a>(
        &'a self,
        from: &'a [u8],
        to: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 'a {
        self.ending_after(from)
            .iter()
            .map(move |range| ((&*range.start).max(from), (&*range.end).min(to)))
            .take_while(move |(start, _)| *start < to)
            .filter(|(start, end)| start < end)
    }

    fn ending_after(&self, key: &[u8]) -> &[KeyRange] {
        let first = self.ranges.partition_point(|range| *range.end <= *key);
        self.ranges.get(first..).unwrap_or_default()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.ranges.iter().map(|range| (&*range.start, &*range.end))
    }

    /// Bytes of the longest border; `None` without ranges.
    pub(crate) fn border_bytes(&self) -> Option<usize> {
        self.ranges.iter().map(|range| range.start.len().max(range.end.len())).max()
    }

    pub(crate) fn count(&self) -> usize {
        self.ranges.len()
    }

    /// Reads `count` ranges: the lengths of all, then their keys. `None` if they end early, overlap, touch or do not ascend.
    pub(crate) fn decode(lengths: &mut Reader<'_>, keys: &mut Reader<'_>, count: usize) -> Option<Self> {
        let mut ranges: Vec<KeyRange> = Vec::new();
        for _ in 0..count {
            let (start, end) = (lengths.u32()? as usize, lengths.u32()? as usize);
            let (start, end): (Box<[u8]>, Box<[u8]>) =
                (Box::from(keys.bytes(start)?), Box::from(keys.bytes(end)?));
            if start.len().max(end.len()) > BORDER_BYTES_MAX {
                return None;
            }
            if start >= end || ranges.last().is_some_and(|last| last.end >= start) {
                return None;
            }
            ranges.push(start..end);
        }
        Some(Self { ranges: ranges.into_boxed_slice() })
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let keys: usize = self.ranges.iter().map(|range| range.start.len() + range.end.len()).sum();
        // Two small allocations a range, with their rounding.
        keys + self.ranges.len() * (size_of::<KeyRange>() + 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Box<[u8]>> {
        prop::collection::vec(prop::sample::select(vec![0u8, 1, 7, 255]), 0..4)
            .prop_map(Vec::into_boxed_slice)
    }

    proptest! {
        #[test]
        fn covers_what_any_range_covers(ranges in prop::collection::vec((key(), key()), 0..12), asked in prop::collection::vec(key(), 60)) {
            let ranges: Vec<KeyRange> = ranges.into_iter().map(|(a, b)| a..b).collect();
            let deletes = RangeDeletes::new(ranges.clone());
            let borders = ranges.iter().flat_map(|range| [range.start.clone(), range.end.clone()]);
            for key in asked.iter().cloned().chain(borders) {
                let expected = ranges.iter().any(|range| range.contains(&key));
                prop_assert_eq!(deletes.covers(&key), expected);
                for (from, to) in asked.iter().zip(asked.iter().skip(1)) {
                    let inside = **from <= *key && *key < **to;
                    let clipped = deletes.clipped(from, to).any(|(start, end)| start <= &*key && &*key < end);
                    prop_assert_eq!(clipped, expected && inside);
                }
            }
            let pairs: Vec<_> = deletes.iter().collect();
            prop_assert!(pairs.windows(2).all(|pair| pair[0].1 < pair[1].0), "they neither overlap nor touch");
        }
    }

    #[test]
    fn a_whole_span_is_covered_by_one_range_alone() {
        let range = |from: &[u8], to: &[u8]| Box::from(from)..Box::from(to);
        let deletes = RangeDeletes::new(vec![range(b"b", b"d"), range(b"d", b"f"), range(b"x", b"y")]);
        assert_eq!(deletes.count(), 2);
        assert!(deletes.covers_all(b"b", b"e") && deletes.covers_all(b"c", b"c"));
        assert!(
            !deletes.covers_all(b"b", b"f")
                && !deletes.covers_all(b"a", b"c")
                && !deletes.covers_all(b"c", b"x")
        );
    }
}
