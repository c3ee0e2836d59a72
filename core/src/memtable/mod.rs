//! The newest writes of a shard, ordered, in memory. Single-threaded.
//!
//! ```text
//!  point read, update ─> index (hash of the key) ──┐
//!                                                  ├─> key ─> newest version ─> older version …      in the arena
//!  new key, seek, scan ─> tree (order of the key) ─┘
//!  range deletions ─────> ranges, apart from the keys: a newer one hides the older versions below it
//! ```
//!
//! * A write that no snapshot can tell from the one before takes its place, in its slot if it fits: a hot set of any update rate keeps
//!   its size. Else it is chained in front of it.
//! * Keys stay until the table is dropped, as a deletion has to hide what segments hold.
//! * [`Memtable::bytes`] is what the table's allocations take, not what its entries add up to.

mod arena;
mod index;
mod ranges;
mod record;
mod slots;
mod tree;
mod table;
mod cursor;
mod merge;
mod parts;

#[cfg(test)]
mod model_test;

#[cfg(test)]
use cursor::Visible;
pub(crate) use merge::MergeWrite;
pub(crate) use parts::Memtables;
pub(crate) use table::{Found, Memtable};
