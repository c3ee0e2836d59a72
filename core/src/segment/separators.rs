//! Separators: which of several neighbouring blocks, or partitions, may hold a key.
//!
//! The separator of a child is above every key of the child before it and not above the child's own first key; the shortest
//! such bytes are stored. A key belongs to the last child whose separator is not above it. (As B-trees do it; Bayer and Unterauer,
//! "Prefix B-Trees", TODS 1977.)
//!
//! A search compares eight bytes of each separator as one number, after what all have in common, and whole keys only where those
//! bytes are equal: a few cache lines whatever the number of children.

use crate::codec::{common_prefix, prefix_u64, u32_at};
use bytes::Bytes;

/// The shortest bytes above `last`, the last key of one child, and not above `first`, the first key of the next.
pub(crate) fn shortest<'a>(last: &[u8], first: &'a [u8]) -> &'a [u8] {
    first.get(..=common_prefix(last, first)).unwrap_or(first)
}

/// Where the separators lie in the payload of their block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Number of separators.
    pub(crate) count: usize,
    /// Where the end of the first one is noted, in the payload; further ends follow every `stride` bytes.
    pub(crate) ends_at: usize,
    pub(crate) stride: usize,
    /// Where the separators themselves begin; they stand one behind the other.
    pub(crate) keys_at: usize,
}

/// The separators of a verified block, in ascending order.
#[derive(Clone, Debug)]
pub(crate) struct Separators {
    payload: Bytes,
    layout: Layout,
    /// Bytes that all separators begin with.
    common: usize,
    prefixes: Box<[u64]>,
}

impl Separators {
    /// Checks that the separators lie inside the payload and ascend; `None` if not. The caller has checked that every end can be read.
    pub(crate) fn decode(payload: Bytes, layout: Layout) -> Option<Self> {
        let mut separators = Self { payload, layout, common: 0, prefixes: Box::default() };
        let mut before: Option<&[u8]> = None;
        for position in 0..layout.count {
            let key = separators.find(position)?;
            if before.is_some_and(|before| before >= key) {
                return None;
            }
            before = Some(key);
        }
        let last = layout.count.checked_sub(1).map_or(&[][..], |last| separators.get(last));
        let common = common_prefix(separators.get(0), last);
        let prefixes =
            (0..layout.count).map(|at| prefix_u64(separators.get(at).get(common..).unwrap_or_default()));
        let prefixes = prefixes.collect();
        separators.common = common;
        separators.prefixes = prefixes;
        Some(separators)
    }

    fn end(&self, position: usize) -> Option<usize> {
        Some(u32_at(&self.payload, self.layout.ends_at + position * self.layout.stride)? as usize)
    }

    fn find(&self, position: usize) -> Option<&[u8]> {
        let start = match position.checked_sub(1) {
            None => 0,
            Some(before) => self.end(before)?,
        };
        let keys = self.payload.get(self.layout.keys_at..)?;
        keys.get(start..self.end(position)?)
    }

    /// Bytes of all separators together.
    pub(crate) fn keys_bytes(&self) -> usize {
        self.layout.count.checked_sub(1).and_then(|last| self.end(last)).unwrap_or(0)
    }

    pub(crate) fn count(&self) -> usize {
        self.layout.count
    }

    /// The separator at `position`; empty past the last.
    pub(crate) fn get(&self, position: usize) -> &[u8] {
        if position < self.layout.count { self.find(position).unwrap_or_default() } else { &[] }
    }

    /// The last position whose separator is not above `key`; `None` if even the first is.
    pub(crate) fn seek(&self, key: &[u8]) -> Option<usize> {
        let (common, rest) = key.split_at_checked(self.common).unwrap_or((key, &[]));
        let shared = self.get(0).get(..self.common).unwrap_or_default();
        match common.cmp(shared) {
            std::cmp::Ordering::Less => return None,
            std::cmp::Ordering::Greater => return self.layout.count.checked_sub(1),
            std::cmp::Ordering::Equal => {}
        }
        let prefix = prefix_u64(rest);
        let mut above = self.prefixes.partition_point(|&other| other <= prefix);
        // Where eight bytes tie, the rest decides.
        while above > 0 && self.prefixes.get(above - 1) == Some(&prefix) && self.get(above - 1) > key {
            above -= 1;
        }
        above.checked_sub(1)
    }

    /// Bytes it takes in memory, without the payload.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.prefixes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::stored_u32;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn separators(keys: &BTreeSet<Vec<u8>>) -> Separators {
        let (mut payload, mut area) = (Vec::new(), Vec::new());
        for key in keys {
            area.extend_from_slice(key);
            payload.extend_from_slice(&[0xee; 4]);
            payload.extend_from_slice(&stored_u32(area.len()).to_le_bytes());
        }
        let layout = Layout { count: keys.len(), ends_at: 4, stride: 8, keys_at: payload.len() };
        payload.extend_from_slice(&area);
        Separators::decode(Bytes::from(payload), layout).unwrap()
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 255]), 0..12)
    }

    proptest! {
        #[test]
        fn finds_like_a_set(prefix in key(), keys in prop::collection::btree_set(key(), 1..60), asked in prop::collection::vec(key(), 30)) {
            let keys: BTreeSet<Vec<u8>> = keys.into_iter().map(|key| [prefix.clone(), key].concat()).collect();
            let separators = separators(&keys);
            let more = asked.iter().map(|key| [prefix.clone(), key.clone()].concat());
            for key in asked.iter().cloned().chain(more).chain(keys.iter().cloned()) {
                let expected = keys.iter().take_while(|other| **other <= key).count().checked_sub(1);
                prop_assert_eq!(separators.seek(&key), expected, "{:?}", key);
            }
        }

        #[test]
        fn the_shortest_parts_its_neighbours(a in key(), b in key()) {
            prop_assume!(a != b);
            let (last, first) = if a < b { (a, b) } else { (b, a) };
            let separator = shortest(&last, &first);
            prop_assert!(separator > &last[..] && separator <= &first[..]);
            prop_assert!(separator.len() == 1 || separator[..separator.len() - 1] <= last[..], "no shorter one would do");
        }
    }

    #[test]
    fn separators_that_do_not_ascend_or_lie_outside_are_refused() {
        let row = |end: u32| end.to_le_bytes();
        let decode = |ends: &[u32], area: &[u8]| {
            let mut payload: Vec<u8> = ends.iter().flat_map(|&end| row(end)).collect();
            let layout = Layout { count: ends.len(), ends_at: 0, stride: 4, keys_at: payload.len() };
            payload.extend_from_slice(area);
            Separators::decode(Bytes::from(payload), layout)
        };
        assert!(decode(&[1, 2], b"ab").is_some());
        assert!(decode(&[1, 2], b"ba").is_none());
        assert!(decode(&[1, 2], b"aa").is_none());
        assert!(decode(&[1, 3], b"ab").is_none());
        assert!(decode(&[2, 1], b"ab").is_none());
        assert_eq!(decode(&[], b"").unwrap().seek(b"k"), None);
    }
}
