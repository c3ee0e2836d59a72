//! Doors for fuzzers and measurements. No part of the library's interface: nothing here is stable.

#[cfg(feature = "internals")]
pub mod blocks;
pub mod decoders;
#[cfg(test)]
mod fixtures_test;
#[cfg(test)]
mod older_store_test;
#[cfg(feature = "internals")]
pub mod panics;
#[cfg(feature = "internals")]
pub mod speed;
