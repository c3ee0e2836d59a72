//! Walks the entries of one data block, forward and backward.

use super::data::DataBlock;
use crate::entry::Entry;
use std::rc::Rc;

/// A place between the entries of a block, or on one of them. Nothing here can fail: the block was checked when it was decoded.
#[derive(Debug)]
pub(crate) struct Cursor {
    block: Rc<DataBlock>,
    /// Number of the entry that it stands on; the number of entries past the last one.
    number: usize,
    key: Vec<u8>,
}

impl Cursor {
    /// At the first entry whose key is not below `from`.
    pub(crate) fn seek(block: Rc<DataBlock>, from: &[u8]) -> Self {
        let number = if from.is_empty() { 0 } else { block.lower_bound(from) };
        Self::at(block, number)
    }

    /// At the last entry whose key is below `before`; on none if there is none.
    pub(crate) fn seek_before(block: Rc<DataBlock>, before: &[u8]) -> Self {
        let number = block.lower_bound(before).checked_sub(1).unwrap_or(block.entries());
        Self::at(block, number)
    }

    /// At the first entry.
    pub(crate) fn first(block: Rc<DataBlock>) -> Self {
        Self::at(block, 0)
    }

    /// At the last entry.
    pub(crate) fn last(block: Rc<DataBlock>) -> Self {
        let last = block.entries() - 1;
        Self::at(block, last)
    }

    fn at(block: Rc<DataBlock>, number: usize) -> Self {
        let mut cursor = Self { block, number, key: Vec::new() };
        cursor.load();
        cursor
    }

    /// Goes to the next entry; `false` if it was on the last, or on none.
    pub(crate) fn advance(&mut self) -> bool {
        if self.is_valid() {
            self.number += 1;
        }
        self.load()
    }

    /// Goes to the entry before; `false` if it was on the first, or on none: then it stands on none.
    pub(crate) fn retreat(&mut self) -> bool {
        self.number = match self.number.checked_sub(1) {
            Some(before) if self.is_valid() => before,
            _ => self.block.entries(),
        };
        self.load()
    }

    /// Whether it stands on an entry.
    pub(crate) fn is_valid(&self) -> bool {
        self.number < self.block.entries()
    }

    /// Whether it stands on the block's first entry.
    pub(crate) fn is_first(&self) -> bool {
        self.number == 0
    }

    /// Key of the entry; empty if it stands on none.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The entry, borrowed from the block.
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        self.block.stored(self.number).map(|stored| stored.entry)
    }

    /// Key and entry, if it stands on one.
    pub(crate) fn current(&self) -> Option<(&[u8], Entry<'_>)> {
        self.entry().map(|entry| (self.key(), entry))
    }

    /// The block under it.
    #[cfg(test)]
    pub(crate) fn block(&self) -> &Rc<DataBlock> {
        &self.block
    }

    fn load(&mut self) -> bool {
        self.key.clear();
        let Some(stored) = self.block.stored(self.number) else { return false };
        if stored.shared > 0 {
            let shared = self.block.restart_key(self.number).get(..stored.shared).unwrap_or_default();
            self.key.extend_from_slice(shared);
        }
        self.key.extend_from_slice(stored.suffix);
        true
    }
}
