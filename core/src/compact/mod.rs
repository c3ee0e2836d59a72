//! Merges sorted runs, so that a read has few of them to look into, and drops what is dead.
//!
//! [`pick`] says what to do next, a pure function of the version; [`job`] is what it says, and [`merge_job`] carries it out on a [`host`], in
//! slices within a [`budget`]: on the shard ([`crate::shard::compaction`]), or on a worker in another process ([`crate::compaction_worker`]), to which [`offer`]
//! and [`owner`] hand it. See decision 0008.

pub(crate) mod budget;
pub(crate) mod demand;
pub(crate) mod job;
pub(crate) mod read_cost;
pub(crate) mod pick;
pub(crate) mod offer;
pub(crate) mod owner;
pub(crate) mod state;
pub(crate) mod host;
pub(crate) mod merge_job;

#[cfg(test)]
mod model;
#[cfg(test)]
mod pick_test;
