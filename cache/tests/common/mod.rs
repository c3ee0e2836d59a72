//! What the tests of the cache share: a value, keys whose bytes are known, and both backends.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "every test file uses a part of this, and a helper that fails is a test that fails"
)]

use aquifer_cache::{Cache, CacheKey, CacheOptions, Cached, Class, Load};
use aquifer_io::{BackendChoice, ExecutorOptions, select_backend, spawn_executor};
use bytes::Bytes;
use std::cell::Cell;
use std::future::Future;
use std::path::Path;
use std::rc::Rc;

/// Runs `test` on an executor thread of each backend that works here; `threads` always does.
pub fn on_each_backend<Fut: Future<Output = ()> + 'static>(test: fn(u64) -> Fut) {
    for choice in [BackendChoice::Threads, BackendChoice::TokioUring] {
        let selection = match select_backend(choice) {
            Ok(selection) => selection,
            Err(error) => {
                assert_ne!(choice, BackendChoice::Threads, "{error}");
                eprintln!("not tested on {choice}: {error}");
                continue;
            }
        };
        let options = ExecutorOptions { backend: selection.backend, seed: 7, ..ExecutorOptions::default() };
        spawn_executor(options, move || test(aquifer_io::random_u64())).unwrap().join().unwrap();
    }
}

/// A decoded block: here, its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block(pub Rc<[u8]>);

impl Cached for Block {
    fn memory_bytes(&self) -> usize {
        self.0.len()
    }
}

/// A block that keeps the bytes it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBlock(pub Bytes);

impl Cached for RawBlock {
    fn memory_bytes(&self) -> usize {
        self.0.len()
    }

    fn raw_bytes(&self) -> Option<Bytes> {
        Some(self.0.clone())
    }
}

/// The n-th key; 1000 to 5999 bytes long.
pub fn key(n: u64) -> CacheKey {
    CacheKey { object: n % 13 + 1, offset: n * 8192, bytes: u32::try_from(1000 + n * 997 % 5000).unwrap() }
}

/// The bytes under the n-th key, for ever.
pub fn data(n: u64) -> Bytes {
    (0..u64::from(key(n).bytes))
        .map(|at| (n * 131 + at * 7 + at / 256).to_le_bytes()[0])
        .collect::<Vec<u8>>()
        .into()
}

pub type Counter = Rc<Cell<u64>>;

/// Loads the n-th block; `fetches` counts what was asked of remote. Every byte of what is decoded is checked.
pub fn load(cache: &Cache<Block>, n: u64, fetches: &Counter) -> Load<Block, String> {
    let fetches = Rc::clone(fetches);
    cache.get_or_load(
        Class::Data,
        key(n),
        move |raw| {
            assert_eq!(*raw, data(n), "key {n}: other bytes than were put there");
            Ok(Block(raw.to_vec().into()))
        },
        move || async move {
            fetches.set(fetches.get() + 1);
            aquifer_io::yield_now().await;
            Ok(data(n))
        },
    )
}

/// Loads and checks.
pub async fn check(cache: &Cache<Block>, n: u64, fetches: &Counter) {
    let block = load(cache, n, fetches).await.unwrap();
    assert_eq!(block.0[..], data(n)[..], "key {n}");
}

/// No memory tier, an SSD tier of `disk_bytes`.
pub fn ssd_only(path: &Path, disk_bytes: u64) -> CacheOptions {
    CacheOptions { memory_bytes: 0, disk_bytes, disk_path: Some(path.to_owned()), ..CacheOptions::default() }
}

/// Until the writer has nothing left to write.
pub async fn written<V: Cached>(cache: &Cache<V>) {
    while cache.stats().ssd.queued_bytes > 0 {
        aquifer_io::yield_now().await;
    }
}
