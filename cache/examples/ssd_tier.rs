//! Numbers of the SSD tier, for docs/performance.md: `cargo run --release -p aquifer-cache --example ssd_tier -- FOLDER [entries]`.
//!
//! 1. Write amplification under Zipf 0.99 churn, the file half as large as the data.
//! 2. Restart with so many cached entries (5 million by default), after a clean stop and after a kill: until the first hit, and the index's memory.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for the developer's terminal")]
#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "numbers to be read")]

use aquifer_cache::{Ask, Cache, CacheKey, CacheOptions, Cached, Class, ObjectRead, ObjectReader, Written};
use aquifer_io::{ExecutorOptions, now, sleep, spawn_executor, yield_now};
use bytes::Bytes;
use futures_util::future::join_all;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// A block that is not looked at.
#[derive(Clone)]
struct Block(u64);

impl Cached for Block {
    type Error = String;

    fn memory_bytes(&self) -> usize {
        8
    }
}

/// The DFS.
struct Object {
    is_there: bool,
}

impl ObjectReader<String> for Object {
    fn read(&self, range: Range<u64>) -> ObjectRead<String> {
        let is_there = self.is_there;
        Box::pin(async move {
            let bytes = usize::try_from(range.end - range.start).unwrap_or(0);
            if is_there { Ok(Bytes::from(vec![0xA5; bytes])) } else { Err("not on the SSD".to_owned()) }
        })
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "/var/tmp".to_owned()));
    let entries: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(5_000_000);
    let path = folder.join("ssd_tier.cache");
    let options = ExecutorOptions { buffer_bytes_max: 32 << 20, ..ExecutorOptions::default() };
    let thread = spawn_executor(options, move || async move {
        churn(&path).await;
        restart(&path, entries).await;
        std::fs::remove_file(&path).unwrap();
    });
    thread.unwrap().join().unwrap();
}

fn key(n: u64, bytes: u32) -> CacheKey {
    CacheKey { object: n / 10_000 + 1, offset: n % 10_000 * 8192, bytes }
}

fn options(path: &Path, disk_bytes: u64) -> CacheOptions {
    CacheOptions {
        memory_bytes: 0,
        disk_bytes,
        disk_path: Some(path.to_owned()),
        store: 1,
        ..CacheOptions::default()
    }
}

/// Ranks by the inverse of Zipf's distribution, approximately: exact enough for what is asked here.
struct Zipf {
    sums: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(items: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=items)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        Self { sums, state: 1 }
    }

    fn next(&mut self) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (self.state >> 11) as f64 / (1u64 << 53) as f64 * self.sums.last().copied().unwrap_or(1.0);
        let rank = self.sums.partition_point(|&sum| sum < at) as u64;
        // Neighbouring ranks lie apart.
        rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.sums.len() as u64
    }
}

/// 60,000 blocks of about 4 KB; each read takes what Zipf 0.99 says, and meanwhile every block is replaced by a new one (as
/// compactions do).
async fn churn(path: &Path) {
    const BLOCKS: usize = 60_000;
    const READS: u64 = 640_000;
    drop(std::fs::remove_file(path));
    let data_bytes = BLOCKS as u64 * 4_000;
    let cache = Cache::<Block>::open(options(path, data_bytes / 2)).await.unwrap();
    let mut zipf = Zipf::new(BLOCKS, 0.99);
    let mut versions = vec![0u64; BLOCKS];
    let object: Rc<dyn ObjectReader<String>> = Rc::new(Object { is_there: true });
    let (mut hits_before, mut replaced) = (0, 0usize);
    let mut together = Vec::new();
    for n in 0..READS {
        let rank = zipf.next();
        let version = versions.get(rank as usize).copied().unwrap_or(0);
        let bytes = 3_600 + (rank * 37 % 800) as u32;
        let key = key(rank + version * BLOCKS as u64, bytes);
        let ask = Ask::new(Class::Data, key);
        let load = cache.get_or_load(ask, &object, |raw| Ok(Block(raw.len() as u64)));
        together.push(load);
        if together.len() == 32 {
            for block in join_all(together.drain(..)).await {
                assert!(block.unwrap().0 > 0);
            }
        }
        if n % 120 == 0 {
            for _ in 0..14 {
                replaced = (replaced + 7) % BLOCKS;
                if let Some(version) = versions.get_mut(replaced) {
                    *version += 1;
                }
            }
        }
        if n == READS / 2 {
            hits_before = cache.stats().ssd.tier.data.hits;
        }
    }
    let stats = cache.stats().ssd;
    println!(
        "churn: file {} MiB of {} MiB of data; hits {:.1} % of the later half; taken {} MiB, kept {} MiB, snapshots {} MiB, written {} MiB: \
         write amplification {:.3}; rejected {} cold, {} behind",
        stats.file_bytes >> 20,
        data_bytes >> 20,
        (stats.tier.data.hits - hits_before) as f64 * 100.0 / (READS / 2) as f64,
        stats.taken_bytes >> 20,
        stats.kept_bytes >> 20,
        stats.snapshot_bytes >> 20,
        stats.written_bytes >> 20,
        stats.written_bytes as f64 / stats.taken_bytes as f64,
        stats.rejections.cold,
        stats.rejections.behind
    );
    cache.close().await;
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

async fn restart(path: &Path, entries: u64) {
    // Small blocks, so that the file stays small: 1,400 bytes, three sectors. There is room for the snapshot at 1.5 KiB an entry.
    const BYTES: u32 = 1_400;
    drop(std::fs::remove_file(path));
    let disk_bytes = entries * 1_536 * 21 / 20;
    let block = vec![0x5Au8; BYTES as usize];
    for is_clean in [true, false] {
        let cache = Cache::<Block>::open(options(path, disk_bytes)).await.unwrap();
        let begun = now();
        for n in 0..entries {
            loop {
                let before = cache.stats().ssd.rejections.behind;
                cache.offer_written(Class::Data, key(n, BYTES), &block, None, Written::Ahead);
                if cache.stats().ssd.rejections.behind == before {
                    break;
                }
                yield_now().await;
            }
        }
        sleep(Duration::from_millis(300)).await;
        let stats = cache.stats().ssd;
        println!(
            "filled: {} entries in {:.1} s, index {} MB",
            stats.tier.data.entries,
            begun.elapsed().as_secs_f64(),
            stats.index_bytes / 1_000_000
        );
        if is_clean {
            cache.close().await;
        }
        drop(cache);
        sleep(Duration::from_millis(50)).await;
        let resident = resident_bytes();
        let nothing: Rc<dyn ObjectReader<String>> = Rc::new(Object { is_there: false });
        let begun = now();
        let cache = Cache::<Block>::open(options(path, disk_bytes)).await.unwrap();
        let opened = begun.elapsed();
        let ask = Ask::new(Class::Data, key(entries - 9, BYTES));
        let load = cache.get_or_load(ask, &nothing, |raw| Ok(Block(raw.len() as u64)));
        assert_eq!(load.await.unwrap().0, u64::from(BYTES));
        let stats = cache.stats().ssd;
        println!(
            "restart after {}: {} entries, first hit after {:.3} s (opened after {:.3} s), index {:.1} MB by its own account = {:.2} bytes an entry \
             (resident memory of the process grew by {:.1} MB)",
            if is_clean { "a clean stop" } else { "a kill" },
            stats.recovered_entries,
            begun.elapsed().as_secs_f64(),
            opened.as_secs_f64(),
            stats.index_bytes as f64 / 1e6,
            stats.index_bytes as f64 / stats.recovered_entries as f64,
            resident_bytes().saturating_sub(resident) as f64 / 1e6
        );
        drop(cache);
        sleep(Duration::from_millis(50)).await;
    }
}
