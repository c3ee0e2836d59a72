//! A place in a table from which entries are read forward and backward.

use super::table::Memtable;
use super::tree::Gap;
use crate::entry::Entry;

/// An entry that a cursor met: the newest one of its key that the cursor's moment sees, and that no range deletion hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visible<'a> {
    pub(crate) key: &'a [u8],
    /// A deletion is an entry as well, and so are expired ones: they hide what is older.
    pub(crate) entry: Entry<'a>,
    pub(crate) sequence: u64,
}

/// A gap between two keys of a table. It borrows the table: whoever lets writes in between seeks the last key again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    table: &'a Memtable,
    at: u64,
    gap: Gap,
}

impl Memtable {
    /// Walks the entries that `at` sees, from the first key on.
    pub(crate) fn cursor(&self, at: u64) -> Cursor<'_> {
        Cursor::new(self, at)
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(table: &'a Memtable, at: u64) -> Self {
        Self { table, at, gap: table.tree.first() }
    }

    /// Moves behind all keys.
    #[cfg(test)]
    pub(crate) fn seek_last(&mut self) {
        self.gap = self.table.tree.last();
    }

    /// Moves in front of `key`: [`Self::next`] gives the first entry whose key is `key` or greater.
    pub(crate) fn seek_before(&mut self, key: &[u8]) {
        self.gap = self.table.tree.seek(&self.table.arena, key, false);
    }

    /// Moves behind `key`: [`Self::next`] gives the first entry whose key is greater.
    #[cfg(test)]
    pub(crate) fn seek_after(&mut self, key: &[u8]) {
        self.gap = self.table.tree.seek(&self.table.arena, key, true);
    }

    /// The next entry in ascending order.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Visible<'a>> {
        loop {
            let key = self.table.tree.next(&mut self.gap)?;
            if let Some(visible) = self.visible(key) {
                return Some(visible);
            }
        }
    }

    /// The next entry in descending order.
    #[inline]
    pub(crate) fn previous(&mut self) -> Option<Visible<'a>> {
        loop {
            let key = self.table.tree.previous(&mut self.gap)?;
            if let Some(visible) = self.visible(key) {
                return Some(visible);
            }
        }
    }

    #[inline]
    fn visible(&self, address: super::arena::Address) -> Option<Visible<'a>> {
        let version = self.table.arena.version_at(address, self.at)?;
        let key = self.table.arena.key(address);
        if self.table.ranges.covering(key, self.at).is_some_and(|deleted| deleted > version.sequence) {
            return None;
        }
        Some(Visible { key, entry: version.entry, sequence: version.sequence })
    }
}
