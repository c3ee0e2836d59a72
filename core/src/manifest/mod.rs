//! Manifests: immutable numbered objects, each of which names every segment of a partition. The newest wins.
//!
//! A swap is one put-if-absent of manifest N+1, last and alone visible. Whoever loses that race, or finds a higher epoch in its
//! place, is fenced. While a store has one partition, its manifest is its checkpoint too: it carries the caller's metadata.

pub(crate) mod agreed;
pub(crate) mod hot;
mod search;
pub(crate) mod format;
pub(crate) mod invariants;
pub(crate) mod store;
mod claim;
