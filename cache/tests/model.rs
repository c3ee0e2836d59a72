//! The whole cache against what the keys are known to hold: it may forget, never lie, never pass a budget.
#![expect(clippy::cast_possible_truncation, reason = "a helper that fails is a test that fails")]

use crate::common::{Block, Counter, data, key, load, on_each_backend, ssd_only};
use aquifer_cache::{Cache, CacheOptions, CacheStats, Class};
use aquifer_io::{Task, random_u64, spawn_local, yield_now};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

const MEMORY_BYTES: [usize; 5] = [0, 10_000, 60_000, 200_000, 1_000_000];
const DISK_BYTES: [u64; 5] = [0, 80_000, 300_000, 1_000_000, 4_000_000];

fn below(n: u64) -> u64 {
    random_u64() % n
}

fn chosen<T: Copy>(from: &[T]) -> T {
    from[usize::try_from(below(from.len() as u64)).unwrap()]
}

/// Loads and inserts blocks, mostly of a hot tenth, and gives some loads up.
async fn caller(cache: Rc<Cache<Block>>, steps: u64) {
    let fetches = Counter::default();
    for _ in 0..steps {
        let n = if below(4) == 0 { below(600) } else { below(60) };
        match below(10) {
            0..6 => {
                let block = load(&cache, n, &fetches).await.unwrap();
                assert_eq!(block.0[..], data(n)[..]);
            }
            6 => drop(load(&cache, n, &fetches)),
            7 => {
                let value = (below(2) == 0).then(|| Block(data(n).to_vec().into()));
                cache.insert(chosen(&[Class::Data, Class::Meta]), key(n), &data(n), value);
            }
            8 if below(10) == 0 => cache.remove(&key(n)),
            _ => {
                if let Some(block) = cache.get(chosen(&[Class::Data, Class::Meta]), &key(n)) {
                    assert_eq!(block.0[..], data(n)[..]);
                }
            }
        }
    }
}

fn check_budgets(stats: &CacheStats, memory_bytes: usize, disk_bytes: u64, path: &Path) {
    assert!(stats.memory.bytes() as usize <= memory_bytes);
    assert!(stats.ssd.file_bytes <= disk_bytes && stats.ssd.tier.bytes() <= disk_bytes);
    if let Ok(meta) = fs::metadata(path) {
        assert!(meta.len() <= disk_bytes && meta.blocks() * 512 <= disk_bytes);
    }
}

#[test]
fn it_may_forget_but_never_lies_or_passes_a_budget() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        for _ in 0..8 {
            let (mut memory_bytes, disk_bytes) = (chosen(&MEMORY_BYTES), chosen(&DISK_BYTES));
            let options = CacheOptions {
                memory_bytes,
                meta_bytes_max: memory_bytes / 4,
                write_buffer_bytes: chosen(&[16 << 10, 64 << 10, 1 << 20]),
                region_bytes: chosen(&[16 << 10, 64 << 10, 1 << 20]),
                ..ssd_only(&path, disk_bytes)
            };
            if disk_bytes == 0 {
                // A file that was left behind is not this cache's to touch.
                drop(fs::remove_file(&path));
            }
            let cache = Rc::new(Cache::open(options).await.unwrap());
            let mut callers: Vec<Task<()>> =
                (0..16).map(|_| spawn_local(caller(Rc::clone(&cache), 150))).collect();
            while let Some(next) = callers.pop() {
                for _ in 0..20 {
                    if below(5) == 0 {
                        memory_bytes = chosen(&MEMORY_BYTES);
                        cache.set_memory_bytes(memory_bytes);
                    }
                    check_budgets(&cache.stats(), memory_bytes, disk_bytes, &path);
                    yield_now().await;
                }
                next.await.unwrap();
            }
            let stats = cache.stats();
            assert_eq!(stats.ssd.off_reason, None);
            assert_eq!(stats.ssd.bad_entries, 0, "nobody touched the file");
            check_budgets(&stats, memory_bytes, disk_bytes, &path);
            if let Ok(cache) = Rc::try_unwrap(cache) {
                cache.close().await;
            }
        }
    });
}
