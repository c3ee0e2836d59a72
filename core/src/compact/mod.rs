//! Merges sorted runs, so that a read has few of them to look into, and drops what is dead.
//!
//! [`pick`] says what to do next, a pure function of the version; [`job`] is what it says; [`work`] carries it out, in slices within a
//! [`budget`]; [`run`] is the shard's task around them. [`offer`], [`remote`] and [`worker`] let other processes do the work. See decision 0008.

pub(crate) mod budget;
pub(crate) mod demand;
pub(crate) mod job;
pub(crate) mod read_cost;
mod pick;
pub(crate) mod offer;
pub(crate) mod remote;
mod work;
pub(crate) mod run;
pub(crate) mod worker;

#[cfg(test)]
mod model;
#[cfg(test)]
mod pick_test;
