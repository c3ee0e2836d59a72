//! The load on an engine, for whoever makes it: which keys, which operations, how long values are. All of it follows from a seed.

pub(crate) mod rng;
pub(crate) mod distribution;
pub(crate) mod mix;
pub(crate) mod record;
pub(crate) mod length;
pub(crate) mod workload;
