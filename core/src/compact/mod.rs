//! Merges sorted runs, so that a read has few of them to look into, and drops what is dead.
//!
//! [`pick`] says what to do next, a pure function of the version; [`job`] is what it says; [`work`] carries it out, in slices within a
//! [`budget`]; [`run`] is the shard's task around them. [`offer`], [`remote`] and [`worker`] let other processes do the work. See decision 0008.

pub(crate) mod budget;
pub(crate) mod demand;
pub(crate) mod job;
#[cfg(test)]
mod model;
pub(crate) mod offer;
mod pick;
#[cfg(test)]
mod pick_test;
pub(crate) mod read_cost;
pub(crate) mod remote;
pub(crate) mod run;
mod work;
pub(crate) mod worker;
