//! Write amplification of the SSD tier alone under Zipf 0.99 churn, the file half as large as the data, for docs/performance.md:
//! `cargo run --release -p aquifer-cache --example ssd_tier -- FOLDER`. With an engine around it, and the restart: `aquifer-bench run --suite cache`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for the developer's terminal")]
#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "numbers to be read")]

use aquifer_cache::{Ask, Cache, CacheKey, CacheOptions, Cached, Class, ObjectRead, ObjectReader};
use aquifer_io::{ExecutorOptions, spawn_executor};
use bytes::Bytes;
use futures_util::future::join_all;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

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
struct Object;

impl ObjectReader<String> for Object {
    fn read(&self, range: Range<u64>) -> ObjectRead<String> {
        Box::pin(async move {
            let bytes = usize::try_from(range.end - range.start).unwrap_or(0);
            Ok(Bytes::from(vec![0xA5; bytes]))
        })
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "/var/tmp".to_owned()));
    let path = folder.join("ssd_tier.cache");
    let options = ExecutorOptions { buffer_bytes_max: 32 << 20, ..ExecutorOptions::default() };
    let thread = spawn_executor(options, move || async move {
        churn(&path).await;
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
    let object: Rc<dyn ObjectReader<String>> = Rc::new(Object);
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
