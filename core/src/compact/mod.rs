//! Merges sorted runs, so that a read has few of them to look into, and drops what is dead.
//!
//! [`pick`] says what to do next, a pure function of the version; [`job`] is what it says. The shard carries it out, in slices within a
//! [`budget`] (see [`crate::shard::compaction`]); [`offer`] and [`remote`] let other processes do it ([`crate::worker`]). See decision 0008.

pub(crate) mod budget;
pub(crate) mod demand;
pub(crate) mod job;
pub(crate) mod read_cost;
pub(crate) mod pick;
pub(crate) mod offer;
pub(crate) mod remote;
pub(crate) mod state;

#[cfg(test)]
mod model;
#[cfg(test)]
mod pick_test;
