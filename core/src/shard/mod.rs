//! A shard: key groups, memtable, segments and cache, owned by one thread, without a lock.
//!
//! ```text
//! mailbox ─> loop ─┬─ write ──> memtable ──full──> frozen ──> flush task ──> pack on the DFS ──> segment
//!                  ├─ read ───> memtable, frozen, segments: answered at once if all is in memory, else by a task of its own
//!                  └─ barrier > freeze, then the flush task hands its segment to the checkpoint
//! ```
//! An operation takes effect when the loop meets it: a write changes the memtable there and then, and a read looks at the memtable
//! and at the version of that moment even if it waits for blocks later. What must wait before it can take effect lines up by key
//! ([`order`]), so operations on one key keep the order of the mailbox.

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
