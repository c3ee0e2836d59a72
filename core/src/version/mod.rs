//! What a shard's lookups see below its memtable: frozen memtables, then sorted runs of segments, newest first. Immutable: each change
//! makes a new one, so that a read that waits goes on in the version it began in, and a snapshot keeps its version for as long as it lives.
//!
//! ```text
//! frozen    memtables that wait for their upload
//! level 0   tiers: one run a flush, or what several were merged into; any of them may hold any key
//! level 1   the bottom: one run, older than every tier, cut into segments at key-group borders
//! ```
//! A merge of some key groups takes these groups out of its inputs, by clipping them; the objects stay as they are.

pub(crate) mod head_pin;
pub(crate) mod local_use;
mod segment;
mod state;
mod change;
pub(crate) mod invariants;

pub(crate) use change::Change;
#[cfg(test)]
pub(crate) use segment::Facts;
pub(crate) use segment::{Segment, SegmentId, id_of, intersection};
#[cfg(test)]
pub(crate) use state::tests;
pub(crate) use state::{Frozen, SortedRun, Version, depth};
