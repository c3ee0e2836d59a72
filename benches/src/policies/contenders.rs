//! The policies that are held against each other.

use super::lru::Lru;
use super::ours::AquiferCache;
use super::policy::Policy;
use super::sieve::Sieve;
use super::tiny_lfu::TinyLfu;
use crate::failure::Failure;

/// The policies, in the order of the columns.
pub(super) const POLICIES: [&str; 4] = ["S3-FIFO (ours)", "SIEVE", "W-TinyLFU", "LRU"];

/// A cache of each policy for so many entries, in the order of [`POLICIES`].
pub(super) async fn every_policy(entries: usize) -> Result<[Box<dyn Policy>; POLICIES.len()], Failure> {
    Ok([
        Box::new(AquiferCache::new(entries).await?),
        Box::new(Sieve::new(entries)),
        Box::new(TinyLfu::new(entries)),
        Box::new(Lru::new(entries)),
    ])
}
