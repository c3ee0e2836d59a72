//! Keys of one tree node, in order: their addresses, and of each the eight bytes that tell most keys of the node apart.

#![expect(clippy::indexing_slicing, reason = "positions are bounded by `len`, which is bounded by `SLOTS`")]

use super::arena::{Address, Arena};
use std::cmp::Ordering;

/// Keys of one node.
pub(super) const SLOTS: usize = 32;

/// A common prefix is left out of the heads once that frees so many of their bytes: reading it costs one look at a key.
const SKIP_GAIN_BYTES: usize = 3;

/// Up to [`SLOTS`] keys. A binary search touches the heads first, and full keys only where heads are equal.
#[derive(Debug)]
pub(super) struct Slots {
    /// Bytes `skip..skip + 8` of each key as a number: keys sort as their heads do, or have equal ones.
    heads: [u64; SLOTS],
    keys: [Address; SLOTS],
    len: usize,
    /// Bytes at the start of the keys that are the same for all of them and not part of the heads.
    skip: usize,
}

impl Default for Slots {
    fn default() -> Self {
        Self { heads: [0; SLOTS], keys: [Address::NONE; SLOTS], len: 0, skip: 0 }
    }
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == SLOTS
    }

    pub(super) fn key(&self, position: usize) -> Option<Address> {
        self.keys[..self.len].get(position).copied()
    }

    /// The position of `key`, or where it belongs.
    #[inline]
    pub(super) fn search(&self, arena: &Arena, key: &[u8]) -> Result<usize, usize> {
        if self.skip > 0 {
            let prefix = &arena.key(self.keys[0])[..self.skip];
            match key[..self.skip.min(key.len())].cmp(prefix) {
                Ordering::Less => return Err(0),
                Ordering::Greater => return Err(self.len),
                Ordering::Equal => {}
            }
        }
        let head = head(key, self.skip);
        let heads = &self.heads[..self.len];
        let start = heads.partition_point(|&other| other < head);
        let equal = heads[start..].iter().take_while(|&&other| other == head).count();
        match self.keys[start..start + equal].binary_search_by(|&other| arena.key(other).cmp(key)) {
            Ok(position) => Ok(start + position),
            Err(position) => Err(start + position),
        }
    }

    /// Puts a key where [`Self::search`] said. There must be room.
    pub(super) fn insert(&mut self, arena: &Arena, position: usize, address: Address) {
        let key = arena.key(address);
        if self.len == 0 {
            self.skip = 0;
        } else if self.skip > 0 {
            let shared = common_prefix(&arena.key(self.keys[0])[..self.skip], key);
            if shared < self.skip {
                self.set_skip(arena, shared);
            }
        }
        self.heads.copy_within(position..self.len, position + 1);
        self.keys.copy_within(position..self.len, position + 1);
        self.heads[position] = head(key, self.skip);
        self.keys[position] = address;
        self.len += 1;
    }

    /// Moves the keys from `position` on into a node of their own.
    pub(super) fn split_off(&mut self, arena: &Arena, position: usize) -> Self {
        let mut right = Self { skip: self.skip, len: self.len - position, ..Self::default() };
        right.heads[..right.len].copy_from_slice(&self.heads[position..self.len]);
        right.keys[..right.len].copy_from_slice(&self.keys[position..self.len]);
        self.len = position;
        self.tighten(arena);
        right.tighten(arena);
        right
    }

    /// Takes the last key away.
    pub(super) fn pop(&mut self) -> Option<Address> {
        let last = self.len.checked_sub(1)?;
        self.len = last;
        Some(self.keys[last])
    }

    /// Leaves the common prefix out of the heads if it pays.
    fn tighten(&mut self, arena: &Arena) {
        if self.len >= 2 {
            let shared = common_prefix(arena.key(self.keys[0]), arena.key(self.keys[self.len - 1]));
            if shared >= self.skip + SKIP_GAIN_BYTES {
                self.set_skip(arena, shared);
            }
        }
    }

    fn set_skip(&mut self, arena: &Arena, skip: usize) {
        self.skip = skip;
        for (slot, &key) in self.heads.iter_mut().zip(&self.keys[..self.len]) {
            *slot = head(arena.key(key), skip);
        }
    }
}

/// Bytes `skip..skip + 8` of `key` as a big-endian number, zeros after its end.
#[inline]
fn head(key: &[u8], skip: usize) -> u64 {
    let rest = &key[skip..];
    let little = rest.first_chunk::<8>().map_or_else(
        || {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(padded)
        },
        |bytes| u64::from_le_bytes(*bytes),
    );
    little.swap_bytes()
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
