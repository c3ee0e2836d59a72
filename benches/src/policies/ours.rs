//! The memory tier of `aquifer-cache`, with its overhead in the budget like any other entry's.

use aquifer_cache::{Cache, CacheKey, CacheOptions, Cached, Class};

use super::Policy;
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
pub(super) struct Ours(Cache<Block>);

impl Ours {
    pub(super) async fn new(entries: usize) -> Result<Self, Failure> {
        let failed = |error: aquifer_cache::CacheError| Failure::Other(error.to_string());
        let options = |memory_bytes| CacheOptions { memory_bytes, ..CacheOptions::default() };
        // What one entry takes, asked of the cache itself: it counts its own overhead.
        let probe = Cache::open(options(1 << 20)).await.map_err(failed)?;
        probe.insert(Class::Data, key(0), &[], Some(Block));
        let entry_bytes = usize::try_from(probe.stats().memory.data.bytes).unwrap_or(VALUE_BYTES);
        Ok(Self(Cache::open(options(entries * entry_bytes)).await.map_err(failed)?))
    }
}

fn key(number: u32) -> CacheKey {
    CacheKey { object: 1, offset: u64::from(number) * VALUE_BYTES as u64, bytes: 4096 }
}

impl Policy for Ours {
    fn access(&mut self, number: u32) -> bool {
        let key = key(number);
        if self.0.get(Class::Data, &key).is_some() {
            return true;
        }
        self.0.insert(Class::Data, key, &[], Some(Block));
        false
    }
}
