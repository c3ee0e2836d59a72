//! What the tests of the cache share: a value, keys whose bytes are known, and both backends.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "every test file uses a part of this, and a helper that fails is a test that fails"
)]

use aquifer_cache::{Ask, Cache, CacheKey, CacheOptions, Cached, Class, Load, ObjectRead, ObjectReader};
use aquifer_io::{BackendChoice, ExecutorOptions, select_backend, spawn_executor};
use bytes::Bytes;
use std::cell::Cell;
use std::future::Future;
use std::ops::Range;
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
    type Error = String;

    fn memory_bytes(&self) -> usize {
        self.0.len()
    }
}

/// A block that keeps the bytes it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBlock(pub Bytes);

impl Cached for RawBlock {
    type Error = String;

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

/// What lies in an object, for ever: the blocks of its keys, and something else between them.
pub fn object_bytes(object: u64, range: Range<u64>) -> Bytes {
    let byte = |at: u64| {
        let n = at / 8192;
        let within = usize::try_from(at % 8192).unwrap();
        let is_block = key(n).object == object && within < key(n).bytes as usize;
        if is_block { (n * 131 + at % 8192 * 7 + at % 8192 / 256).to_le_bytes()[0] } else { 0xEE }
    };
    range.map(byte).collect::<Vec<u8>>().into()
}

/// An object that a function reads.
pub struct Reader<F>(pub F);

impl<F, Fut> ObjectReader<String> for Reader<F>
where
    F: Fn(Range<u64>) -> Fut,
    Fut: Future<Output = Result<Bytes, String>> + 'static,
{
    fn read(&self, range: Range<u64>) -> ObjectRead<String> {
        Box::pin((self.0)(range))
    }

    fn is_of_range(&self, error: &String) -> bool {
        error.contains("range")
    }
}

/// An object that a function reads.
pub fn reader<Fut: Future<Output = Result<Bytes, String>> + 'static>(
    read: impl Fn(Range<u64>) -> Fut + 'static,
) -> Rc<dyn ObjectReader<String>> {
    Rc::new(Reader(read))
}

/// Decodes and checks every byte of the n-th block.
pub fn decode(n: u64) -> impl Fn(&Bytes) -> Result<Block, String> {
    move |raw| {
        assert_eq!(*raw, data(n), "key {n}: other bytes than were put there");
        Ok(Block(raw.to_vec().into()))
    }
}

/// The object of the n-th block; `fetches` counts the reads of it.
pub fn object(n: u64, fetches: &Counter) -> Rc<dyn ObjectReader<String>> {
    let fetches = Rc::clone(fetches);
    let object = key(n).object;
    reader(move |range| {
        fetches.set(fetches.get() + 1);
        async move {
            aquifer_io::yield_now().await;
            Ok(object_bytes(object, range))
        }
    })
}

/// Loads the n-th block; `fetches` counts what was asked of remote. Every byte of what is decoded is checked.
pub fn load(cache: &Cache<Block>, n: u64, fetches: &Counter) -> Load<Block> {
    cache.get_or_load(Ask::new(Class::Data, key(n)), &object(n, fetches), decode(n))
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
