//! Range deletions: which of them covers a key.
//!
//! Kept as fragments that do not overlap: each says since which write its keys count as deleted, and for snapshots, since which earlier
//! ones. A deletion that no snapshot can tell from an earlier one takes its place, so fragments are at most twice as many as
//! deletions that are in force, and deleting one range again and again keeps one.

use std::collections::BTreeMap;
use std::ops::Bound;

/// What a fragment takes beside its two keys: its place in a node of the map. Nodes are filled by a half, of ascending keys, to two
/// thirds; this is between the two, within a tenth of either with keys of a dozen bytes.
const FRAGMENT_OVERHEAD_BYTES: usize = (size_of::<Box<[u8]>>() + size_of::<Fragment>()) * 12 / 7;
/// Keys from the fragment's key up to `to`.
#[derive(Clone, Debug)]
struct Fragment {
    to: Box<[u8]>,
    newest: u64,
    /// Earlier deletions that a snapshot may have to see, newest first.
    older: Vec<u64>,
}

/// A range whose keys were all deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RangeDeletion<'a> {
    pub(crate) from: &'a [u8],
    /// The first key that is not deleted.
    pub(crate) to: &'a [u8],
    /// Writes up to this one are hidden.
    pub(crate) sequence: u64,
}

/// All range deletions of a table.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    fragments: BTreeMap<Box<[u8]>, Fragment>,
    bytes: usize,
}

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// Memory of the fragments.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The newest deletion of `key` that `at` sees.
    #[inline]
    pub(super) fn covering(&self, key: &[u8], at: u64) -> Option<u64> {
        if self.fragments.is_empty() {
            return None;
        }
        let (_, fragment) =
            self.fragments.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        if key < &*fragment.to { fragment.at(at) } else { None }
    }

    /// Deletions that `at` sees, in order, none overlapping, touching ones of one sequence as one.
    pub(super) fn iter(&self, at: u64) -> impl Iterator<Item = RangeDeletion<'_>> {
        let mut fragments = self
            .fragments
            .iter()
            .filter_map(move |(from, fragment)| {
                fragment.at(at).map(|sequence| RangeDeletion { from, to: &fragment.to, sequence })
            })
            .peekable();
        std::iter::from_fn(move || {
            let mut range = fragments.next()?;
            while let Some(next) =
                fragments.next_if(|next| next.from == range.to && next.sequence == range.sequence)
            {
                range.to = next.to;
            }
            Some(range)
        })
    }

    /// Marks the keys from `from` up to `to` as deleted. `held` is the newest sequence that a snapshot sees.
    pub(super) fn delete(&mut self, from: &[u8], to: &[u8], sequence: u64, held: Option<u64>) {
        if from >= to {
            return;
        }
        self.cut_at(from);
        self.cut_at(to);
        let fresh = |to: &[u8]| Fragment { to: Box::from(to), newest: sequence, older: Vec::new() };
        let mut end: Box<[u8]> = Box::from(from);
        let mut pieces: Vec<(Box<[u8]>, Fragment)> = Vec::new();
        let mut add = |from: Box<[u8]>, piece: Fragment| match pieces.last_mut() {
            Some((_, last)) if last.same_as(&piece) => last.to = piece.to,
            _ => pieces.push((from, piece)),
        };
        while let Some(start) = self
            .fragments
            .range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)))
            .next()
            .map(|(start, _)| start.clone())
        {
            let Some(mut fragment) = self.remove(&start) else { break };
            if *end < *start {
                add(end, fresh(&start));
            }
            fragment.delete(sequence, held);
            end = fragment.to.clone();
            add(start, fragment);
        }
        if *end < *to {
            add(end, fresh(to));
        }
        for (from, piece) in pieces {
            self.add(from, piece);
        }
        self.join_at(from);
        self.join_at(to);
    }

    fn add(&mut self, from: Box<[u8]>, fragment: Fragment) {
        self.bytes += fragment.bytes(&from);
        self.fragments.insert(from, fragment);
    }

    fn remove(&mut self, from: &[u8]) -> Option<Fragment> {
        let fragment = self.fragments.remove(from)?;
        self.bytes -= fragment.bytes(from);
        Some(fragment)
    }

    /// The key of the fragment that begins before `key`.
    fn before(&self, key: &[u8]) -> Option<Box<[u8]>> {
        self.fragments
            .range::<[u8], _>((Bound::Unbounded, Bound::Excluded(key)))
            .next_back()
            .map(|(from, _)| from.clone())
    }

    /// Makes `key` a border of the fragment that it lies in.
    fn cut_at(&mut self, key: &[u8]) {
        let Some(from) = self.before(key) else { return };
        if self.fragments.get(&from).is_none_or(|fragment| *fragment.to <= *key) {
            return;
        }
        if let Some(mut left) = self.remove(&from) {
            let right = left.clone();
            left.to = Box::from(key);
            self.add(from, left);
            self.add(Box::from(key), right);
        }
    }

    /// Joins the fragments that meet at `key` if they say the same.
    fn join_at(&mut self, key: &[u8]) {
        let Some(from) = self.before(key) else { return };
        let (Some(left), Some(right)) = (self.fragments.get(&from), self.fragments.get(key)) else { return };
        if *left.to != *key || !left.same_as(right) {
            return;
        }
        if let (Some(mut left), Some(right)) = (self.remove(&from), self.remove(key)) {
            left.to = right.to;
            self.add(from, left);
        }
    }
}

impl Fragment {
    fn at(&self, at: u64) -> Option<u64> {
        if self.newest <= at {
            return Some(self.newest);
        }
        self.older.iter().copied().find(|&sequence| sequence <= at)
    }

    fn delete(&mut self, sequence: u64, held: Option<u64>) {
        match held {
            None => self.older = Vec::new(),
            Some(held) if self.newest <= held => self.older.insert(0, self.newest),
            Some(_) => {}
        }
        self.newest = sequence;
    }

    fn same_as(&self, other: &Self) -> bool {
        self.newest == other.newest && self.older == other.older
    }

    fn bytes(&self, from: &[u8]) -> usize {
        FRAGMENT_OVERHEAD_BYTES + from.len() + self.to.len() + self.older.len() * size_of::<u64>()
    }
}
