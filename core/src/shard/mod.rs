//! A shard: key groups, memtable, segments and cache, owned by one thread. Its state needs no lock; only its mailbox has one.
//!
//! ```text
//! mailbox ─> loop ─┬─ write ──> memtable ──full──> frozen ──> flush task ──> pack on the DFS ──> segment
//!                  ├─ read ───> memtable, frozen, segments: answered at once if all is in memory, else by a task of its own
//!                  └─ barrier ─> the memtable is frozen; the flush task makes a segment of it and hands that to the checkpoint
//! ```
//! An operation takes effect when the loop takes it from the mailbox: a write changes the memtable there and then, and a read looks at the
//! memtable and at the version of that moment even if it waits for blocks later. An operation on one key that must wait before it can take
//! effect lines up behind others on that key ([`order`]); one on several keys makes the loop rest until nothing is lined up. So operations on
//! one key keep the order of the mailbox.

pub(crate) mod parts;
pub(crate) mod shard_core;
pub(crate) mod spawn;
pub(crate) mod memory;
pub(crate) mod reads;
pub(crate) mod warm_up;
pub(crate) mod compaction;
pub(crate) mod writes;
pub(crate) mod order;
pub(crate) mod local_copies;
pub(crate) mod stats;
pub(crate) mod handle;
pub(crate) mod life;

pub use handle::Shard;
