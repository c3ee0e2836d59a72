//! Where a key is, by its hash: point reads and updates look here and never descend the tree.

#![expect(clippy::indexing_slicing, reason = "`part` masks its result to the number of parts")]

use super::arena::{Address, Arena};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Parts of the index that grow each on its own, so that no write pays for moving more than a sixty-fourth of it.
const PARTS: usize = 64;

/// A hash index over the keys of an arena: four bytes of address and one of control to each place.
#[derive(Debug)]
pub(super) struct Index {
    parts: Box<[HashTable<Address>; PARTS]>,
    len: usize,
    bytes: usize,
}

impl Default for Index {
    fn default() -> Self {
        let parts = Box::new(std::array::from_fn(|_| HashTable::new()));
        Self { parts, len: 0, bytes: size_of::<[HashTable<Address>; PARTS]>() }
    }
}

/// The part of a hash: bits that the part's own table, which looks at the lowest and the highest, does not use.
#[inline]
fn part(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}

#[inline]
pub(super) fn hash_of(key: &[u8]) -> u64 {
    xxh3_64(key)
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Memory of the index.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub(super) fn find(&self, arena: &Arena, hash: u64, key: &[u8]) -> Option<Address> {
        self.parts[part(hash)].find(hash, |&other| arena.key(other) == key).copied()
    }

    /// Adds a key that is not there yet.
    pub(super) fn insert(&mut self, arena: &Arena, hash: u64, key: Address) {
        let part = &mut self.parts[part(hash)];
        let before = part.allocation_size();
        part.insert_unique(hash, key, |&other| hash_of(arena.key(other)));
        self.bytes = self.bytes + part.allocation_size() - before;
        self.len += 1;
    }
}
