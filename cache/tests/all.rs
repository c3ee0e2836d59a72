//! All tests of the cache through its public interface, as one program.

#![cfg(test)]

mod common;
mod load;
mod model;
mod plan;
mod ssd;
mod ssd_sim;
