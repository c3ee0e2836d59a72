//! The memory tier of `aquifer-cache`, with its overhead in the budget like any other entry's.

use aquifer_cache::{Cache, CacheKey, CacheOptions, Cached, Class};

use super::policy::Policy;
use crate::failure::Failure;

/// Bytes of an entry: a block.
const VALUE_BYTES: usize = 4096;

/// A value that says it is a block.
#[derive(Clone)]
struct Block;

impl Cached for Block {
    type Error = std::convert::Infallible;

    fn memory_bytes(&self) -> usize {
        VALUE_BYTES
    }
}

/// See the module.
pub(super) struct AquiferCache(Cache<Block>);

impl AquiferCache {
    pub(super) async fn new(entries: usize) -> Result<Self, Failure> {
        let entry_bytes = VALUE_BYTES + entry_overhead_bytes().await?;
        Ok(Self(open(entries.saturating_mul(entry_bytes)).await?))
    }
}

async fn open(memory_bytes: usize) -> Result<Cache<Block>, Failure> {
    let options = CacheOptions { memory_bytes, ..CacheOptions::default() };
    Cache::open(options).await.map_err(|error| Failure::Other(error.to_string()))
}

/// What an entry takes beside its value, asked of the cache itself: it counts its own overhead.
pub(crate) async fn entry_overhead_bytes() -> Result<usize, Failure> {
    let probe = open(1 << 20).await?;
    probe.insert(Class::Data, key(0), &[], Some(Block));
    let entry_bytes = usize::try_from(probe.stats().memory.data.bytes).unwrap_or(VALUE_BYTES);
    Ok(entry_bytes.saturating_sub(VALUE_BYTES))
}

fn key(number: u32) -> CacheKey {
    CacheKey { object: 1, offset: u64::from(number) * VALUE_BYTES as u64, bytes: 4096 }
}

impl Policy for AquiferCache {
    fn access(&mut self, number: u32) -> bool {
        let key = key(number);
        if self.0.get(Class::Data, &key).is_some() {
            return true;
        }
        self.0.insert(Class::Data, key, &[], Some(Block));
        false
    }
}
