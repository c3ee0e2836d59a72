//! A hash map as a store: the least that a lookup in memory can cost, seen through the same lanes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use crate::load::record::{write_key, write_value};
use crate::run::stream::Plan;
use crate::run::target::{Target, TargetError};

/// Keys with their values.
pub(crate) type Map = HashMap<Box<[u8]>, Box<[u8]>, Xxh3DefaultBuilder>;

/// A map with every key of a plan.
pub(crate) fn filled(plan: &Plan) -> Arc<Map> {
    let keys = plan.keys.load(Ordering::Relaxed);
    let value_bytes = usize::try_from(plan.value_bytes.mean_bytes()).unwrap_or(usize::MAX);
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let mut map = Map::with_capacity_and_hasher(usize::try_from(keys).unwrap_or(0), Xxh3DefaultBuilder);
    for number in 0..keys {
        write_key(&mut key, number, plan.key_bytes, crate::run::lane::PRESENT);
        write_value(&mut value, number, 0, value_bytes);
        map.insert(key.as_slice().into(), value.as_slice().into());
    }
    Arc::new(map)
}

/// See the module. Writes copy their value and forget it.
#[derive(Clone)]
pub(crate) struct MapTarget(Arc<Map>);

impl MapTarget {
    pub(crate) fn new(map: Arc<Map>) -> Self {
        Self(map)
    }
}

impl Target for MapTarget {
    const OWNS_ALL: bool = true;
    type Value = Bytes;

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        Ok(self.0.get(key).map(|value| Bytes::copy_from_slice(value)))
    }

    async fn put(&self, _key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        std::hint::black_box(Bytes::copy_from_slice(value));
        Ok(())
    }

    async fn delete(&self, _key: &[u8]) -> Result<(), TargetError> {
        Ok(())
    }
}
