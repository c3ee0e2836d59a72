//! Merges sorted runs, so that a read has few of them to look into, and drops what is dead.
//!
//! [`pick`] says what to do next, a pure function of the version; [`job`] is what it says; [`run`] carries it out. See decision 0008.

mod job;
#[cfg(test)]
mod model;
mod pick;
pub(crate) mod run;
