//! The order of the keys: a B+ tree with wide nodes whose leaves are linked both ways. Keys are never taken out.
//!
//! ```text
//!            ┌ inner: separators │ children ┐          separator i = smallest key of child i + 1
//!       ┌────┘                              └────┐
//!   ┌ leaf: heads │ keys ┐ <──> ┌ leaf ┐ <──> ┌ leaf ┐
//! ```

#![expect(clippy::indexing_slicing, reason = "node numbers are this module's own, made by `Pool::add`")]

use super::arena::{Address, Arena};
use super::slots::{SLOTS, Slots};

const NO_LEAF: u32 = u32::MAX;

#[derive(Debug)]
struct Leaf {
    slots: Slots,
    next: u32,
    previous: u32,
}

#[derive(Debug)]
struct InnerNode {
    separators: Slots,
    children: [u32; SLOTS + 1],
}

/// Nodes by number, in pieces that are never moved.
#[derive(Debug)]
struct Pool<T> {
    pieces: Vec<Vec<T>>,
    len: usize,
}

const PIECE: usize = 16;

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }
}

impl<T> Pool<T> {
    #[inline]
    fn get(&self, number: u32) -> &T {
        &self.pieces[number as usize / PIECE][number as usize % PIECE]
    }

    #[inline]
    fn get_mut(&mut self, number: u32) -> &mut T {
        &mut self.pieces[number as usize / PIECE][number as usize % PIECE]
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "each node holds keys that have four-byte addresses of their own"
    )]
    fn add(&mut self, node: T) -> u32 {
        let number = self.len as u32;
        if self.len.is_multiple_of(PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let last = self.pieces.len() - 1;
        self.pieces[last].push(node);
        self.len += 1;
        number
    }

    fn bytes(&self) -> usize {
        self.pieces.len() * PIECE * size_of::<T>() + self.pieces.capacity() * size_of::<Vec<T>>()
    }
}

/// A gap between two keys: before key `slot` of `leaf`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    leaf: u32,
    slot: usize,
}

/// What a full node handed to its parent: a new right sibling and the smallest key below it.
struct Split {
    separator: Address,
    right: u32,
}

/// Ordered addresses of keys.
#[derive(Debug, Default)]
pub(super) struct Tree {
    leaves: Pool<Leaf>,
    inners: Pool<InnerNode>,
    root: u32,
    /// Inner levels above the leaves.
    height: usize,
    last_leaf: u32,
}

impl Tree {
    pub(super) fn bytes(&self) -> usize {
        self.leaves.bytes() + self.inners.bytes()
    }

    /// Adds a key that is not there yet.
    pub(super) fn insert(&mut self, arena: &Arena, key: Address) {
        if self.leaves.len == 0 {
            self.leaves.add(Leaf { slots: Slots::default(), next: NO_LEAF, previous: NO_LEAF });
        }
        if let Some(split) = self.insert_below(arena, self.root, self.height, key) {
            let mut root = InnerNode { separators: Slots::default(), children: [0; SLOTS + 1] };
            root.separators.insert(arena, 0, split.separator);
            root.children[0] = self.root;
            root.children[1] = split.right;
            self.root = self.inners.add(root);
            self.height += 1;
        }
    }

    /// The gap before the first key that is `key` or greater; with `after`, that is greater.
    pub(super) fn seek(&self, arena: &Arena, key: &[u8], after: bool) -> Gap {
        if self.leaves.len == 0 {
            return Gap { leaf: NO_LEAF, slot: 0 };
        }
        let mut node = self.root;
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            node = inner.children[child_of(&inner.separators, arena, key)];
        }
        let slot = match self.leaves.get(node).slots.search(arena, key) {
            Ok(position) => position + usize::from(after),
            Err(position) => position,
        };
        Gap { leaf: node, slot }
    }

    /// The gap before all keys.
    pub(super) fn first(&self) -> Gap {
        // Splits put the new leaf on the right, so the first one stays.
        Gap { leaf: if self.leaves.len == 0 { NO_LEAF } else { 0 }, slot: 0 }
    }

    /// The gap after all keys.
    #[cfg(test)]
    pub(super) fn last(&self) -> Gap {
        if self.leaves.len == 0 {
            return self.first();
        }
        Gap { leaf: self.last_leaf, slot: self.leaves.get(self.last_leaf).slots.len() }
    }

    /// The key after the gap; the gap moves behind it.
    #[inline]
    pub(super) fn next(&self, gap: &mut Gap) -> Option<Address> {
        while gap.leaf != NO_LEAF {
            let leaf = self.leaves.get(gap.leaf);
            if let Some(key) = leaf.slots.key(gap.slot) {
                gap.slot += 1;
                return Some(key);
            }
            if leaf.next == NO_LEAF {
                return None;
            }
            *gap = Gap { leaf: leaf.next, slot: 0 };
        }
        None
    }

    /// The key before the gap; the gap moves in front of it.
    #[inline]
    pub(super) fn previous(&self, gap: &mut Gap) -> Option<Address> {
        while gap.leaf != NO_LEAF {
            let leaf = self.leaves.get(gap.leaf);
            if let Some(slot) = gap.slot.checked_sub(1) {
                gap.slot = slot;
                return leaf.slots.key(slot);
            }
            if leaf.previous == NO_LEAF {
                return None;
            }
            *gap = Gap { leaf: leaf.previous, slot: self.leaves.get(leaf.previous).slots.len() };
        }
        None
    }

    fn insert_below(&mut self, arena: &Arena, node: u32, height: usize, key: Address) -> Option<Split> {
        if height == 0 {
            return self.insert_in_leaf(arena, node, key);
        }
        let inner = self.inners.get(node);
        let position = child_of(&inner.separators, arena, arena.key(key));
        let child = inner.children[position];
        let split = self.insert_below(arena, child, height - 1, key)?;
        self.insert_in_inner(arena, node, position, &split)
    }

    fn insert_in_leaf(&mut self, arena: &Arena, number: u32, key: Address) -> Option<Split> {
        let leaf = self.leaves.get_mut(number);
        let (Ok(position) | Err(position)) = leaf.slots.search(arena, arena.key(key));
        if !leaf.slots.is_full() {
            leaf.slots.insert(arena, position, key);
            return None;
        }
        // Ascending keys leave full leaves behind.
        let appends = position == SLOTS && leaf.next == NO_LEAF;
        let middle = if appends { SLOTS } else { SLOTS / 2 };
        let mut slots = leaf.slots.split_off(arena, middle);
        if position > middle || appends {
            slots.insert(arena, position - middle, key);
        } else {
            leaf.slots.insert(arena, position, key);
        }
        let next = leaf.next;
        let separator = slots.key(0)?;
        let right = self.leaves.add(Leaf { slots, next, previous: number });
        self.leaves.get_mut(number).next = right;
        if next == NO_LEAF {
            self.last_leaf = right;
        } else {
            self.leaves.get_mut(next).previous = right;
        }
        Some(Split { separator, right })
    }

    /// Takes in the split of child `position`.
    fn insert_in_inner(
        &mut self,
        arena: &Arena,
        number: u32,
        position: usize,
        split: &Split,
    ) -> Option<Split> {
        let inner = self.inners.get_mut(number);
        if !inner.separators.is_full() {
            inner.insert(arena, position, split);
            return None;
        }
        let middle = SLOTS / 2;
        let mut right =
            InnerNode { separators: inner.separators.split_off(arena, middle + 1), children: [0; SLOTS + 1] };
        right.children[..SLOTS - middle].copy_from_slice(&inner.children[middle + 1..]);
        // The one in the middle moves up.
        let separator = inner.separators.pop()?;
        if position > middle {
            right.insert(arena, position - middle - 1, split);
        } else {
            inner.insert(arena, position, split);
        }
        Some(Split { separator, right: self.inners.add(right) })
    }
}

impl InnerNode {
    fn insert(&mut self, arena: &Arena, position: usize, split: &Split) {
        let children = self.separators.len() + 1;
        self.separators.insert(arena, position, split.separator);
        self.children.copy_within(position + 1..children, position + 2);
        self.children[position + 1] = split.right;
    }
}

/// The child below which `key` belongs.
#[inline]
fn child_of(separators: &Slots, arena: &Arena, key: &[u8]) -> usize {
    match separators.search(arena, key) {
        Ok(position) => position + 1,
        Err(position) => position,
    }
}
