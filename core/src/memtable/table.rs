//! The table itself: one of the parts of a shard's memtable.

use super::arena::{Address, Arena};
use super::index::{Index, hash_of};
use super::ranges::{RangeDeletion, Ranges};
use super::tree::Tree;
use crate::entry::Entry;

/// Scratch space of merges that is kept for the next one, in bytes.
pub(super) const SCRATCH_BYTES_MAX: usize = 64 * 1024;

/// What a table knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// This was the key's last write. It may be a deletion, expired, or an operand that needs what is older.
    Entry {
        /// What it says.
        entry: Entry<'a>,
        /// When it was written.
        sequence: u64,
    },
    /// A range deletion hides whatever is older, in this table and below it.
    RangeDeleted {
        /// When the range was deleted.
        sequence: u64,
    },
}

/// Ordered writes by engine key.
///
/// Every write has a sequence number, and they grow. `held` is the newest sequence that a live snapshot sees, `None` without one:
/// versions up to it are kept. Reads say by `at` which writes they see: `u64::MAX` for all.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    pub(super) arena: Arena,
    pub(super) index: Index,
    pub(super) tree: Tree,
    pub(super) ranges: Ranges,
    /// Result of a merge that cannot be made in place.
    pub(super) scratch: Vec<u8>,
    /// Whether an operand was stored that needs what is older.
    pub(super) has_merges: bool,
}

impl Memtable {
    /// Takes a write.
    pub(crate) fn write(&mut self, key: &[u8], entry: Entry<'_>, sequence: u64, held: Option<u64>) {
        let hash = hash_of(key);
        match self.index.find(&self.arena, hash, key) {
            Some(found) => overwrite(&mut self.arena, found, &entry, sequence, held),
            None => self.add(hash, key, &entry, sequence),
        }
    }

    /// Deletes the keys from `from` up to `to`: one marker, however many they are.
    pub(crate) fn delete_range(&mut self, from: &[u8], to: &[u8], sequence: u64, held: Option<u64>) {
        self.ranges.delete(from, to, sequence, held);
    }

    /// What `at` sees of `key`: `None` if this table knows nothing of it.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], at: u64) -> Option<Found<'_>> {
        self.get_hashed(key, hash_of(key), at)
    }

    /// The same, for whoever has the key's hash, xxh3 with 64 bits, already.
    #[inline]
    pub(crate) fn get_hashed(&self, key: &[u8], hash: u64, at: u64) -> Option<Found<'_>> {
        if self.is_empty() {
            return None;
        }
        let version =
            self.index.find(&self.arena, hash, key).and_then(|found| self.arena.version_at(found, at));
        let deleted = self.ranges.covering(key, at);
        match (version, deleted) {
            (Some(version), deleted) if deleted.is_none_or(|sequence| sequence < version.sequence) => {
                Some(Found::Entry { entry: version.entry, sequence: version.sequence })
            }
            (_, Some(sequence)) => Some(Found::RangeDeleted { sequence }),
            (_, None) => None,
        }
    }

    /// Whether a range deletion that `at` sees hides what older tables and segments say of `key`.
    pub(crate) fn is_range_deleted(&self, key: &[u8], at: u64) -> bool {
        self.ranges.covering(key, at).is_some()
    }

    /// Sequence of the newest write that concerns `key`.
    pub(crate) fn newest_write(&self, key: &[u8]) -> Option<u64> {
        self.get(key, u64::MAX).map(|found| match found {
            Found::Entry { sequence, .. } | Found::RangeDeleted { sequence } => sequence,
        })
    }

    /// Whether it holds deletions of ranges.
    pub(crate) fn has_range_deletions(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// Range deletions that `at` sees, in order, without overlaps.
    pub(crate) fn range_deletions(&self, at: u64) -> impl Iterator<Item = RangeDeletion<'_>> {
        self.ranges.iter(at)
    }

    /// Whether it holds operands that stand on what older tables and segments say.
    pub(crate) const fn has_merges(&self) -> bool {
        self.has_merges
    }

    /// Keys that were written.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it holds neither a write nor a range deletion.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.len() == 0 && self.ranges.is_empty()
    }

    /// Memory of all its allocations.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.arena.bytes()
            + self.index.bytes()
            + self.tree.bytes()
            + self.ranges.bytes()
            + self.scratch.capacity()
    }

    /// Gives all memory back.
    #[cfg(test)]
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn add(&mut self, hash: u64, key: &[u8], entry: &Entry<'_>, sequence: u64) {
        let added = self.arena.add_key(key);
        self.arena.push_version(added, entry, sequence);
        self.tree.insert(&self.arena, added);
        self.index.insert(&self.arena, hash, added);
    }
}

/// Takes a write to a key that is there.
pub(super) fn overwrite(
    arena: &mut Arena,
    key: Address,
    entry: &Entry<'_>,
    sequence: u64,
    held: Option<u64>,
) {
    if is_free(arena, key, held) {
        arena.replace_newest(key, entry, sequence);
    } else {
        arena.push_version(key, entry, sequence);
    }
    if held.is_none() {
        arena.drop_older(key);
    }
}

/// Whether no snapshot sees the newest version of `key`.
pub(super) fn is_free(arena: &Arena, key: Address, held: Option<u64>) -> bool {
    held.is_none_or(|held| arena.version(arena.newest(key)).sequence > held)
}
