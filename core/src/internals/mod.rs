//! Doors for fuzzers and measurements. No part of the library's interface: nothing here is stable.

pub mod decoders;
#[cfg(test)]
mod fixtures_test;
#[cfg(feature = "internals")]
pub mod speed;
