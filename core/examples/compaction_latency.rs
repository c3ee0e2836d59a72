//! How long point reads take while a merge runs at the full budget, against the same reads before it:
//! `cargo run --release -p aquifer --example compaction_latency [rounds]`.
//!
//! One shard, everything in memory, one read after the other from a foreign thread. The merge is offered to workers that do not exist,
//! so that it begins when the lease is over: until then the same engine, with the same cache and the same runs, is measured without it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement ends at the first failure"
)]

use aquifer::{
    Client, CompactionBudget, CompactionOptions, Compression, CompressionOptions, Engine, Options,
    RemoteCompaction,
};
use aquifer_remote::{Remote, RemoteOptions};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const KEYS: u64 = 500_000;
/// For half of this the merge stands idle.
const LEASE: Duration = Duration::from_secs(60);
/// Reads between two looks at what compaction does.
const READS_A_LOOK: usize = 500;

fn main() {
    let rounds = std::env::args().nth(1).map_or(5, |rounds| rounds.parse().expect("a number of rounds"));
    aquifer::block_on(async {
        let remote = aquifer_remote::open_url("memory://", RemoteOptions::default()).unwrap();
        load(&remote).await;
        for _ in 0..rounds {
            measure(&remote).await;
        }
    });
}

fn key(id: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&id.to_le_bytes());
    key[8..].copy_from_slice(&id.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    key
}

fn options(memory_bytes: u64) -> Options {
    Options {
        key_groups: Some(128),
        shards: 1,
        memory_bytes,
        compression: CompressionOptions { blocks: Compression::None, ..CompressionOptions::default() },
        seed: Some(1),
        ..Options::default()
    }
}

/// Leaves a checkpoint of more runs than compaction would.
async fn load(remote: &Arc<dyn Remote>) {
    let crawl = CompactionBudget { upload_bytes_per_s: Some(64 * 1024), ..CompactionBudget::default() };
    let options = Options {
        compaction: CompactionOptions { budget: crawl, ..CompactionOptions::default() },
        ..options(12 << 20)
    };
    let engine = Engine::open(Arc::clone(remote), options).await.unwrap();
    let client = engine.client();
    let mut order: Vec<u64> = (0..KEYS).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    let mut pending = VecDeque::new();
    for id in order {
        pending.push_back(client.put(&key(id), &[7; 100]));
        if pending.len() >= 64 {
            pending.pop_front().unwrap().await.unwrap();
        }
    }
    for put in pending {
        put.await.unwrap();
    }
    client.checkpoint(Vec::new()).await.unwrap();
    let stats = client.stats().await.unwrap();
    println!("{} keys in {} runs", KEYS, stats.sum(|shard| shard.runs));
    engine.close().await.unwrap();
}

async fn measure(remote: &Arc<dyn Remote>) {
    let options = Options {
        compaction: CompactionOptions {
            budget: CompactionBudget { cpu_percent: 100, ..CompactionBudget::default() },
            remote: Some(RemoteCompaction { offer_bytes_min: 0, lease: LEASE, always: true }),
        },
        ..options(512 << 20)
    };
    let engine = Engine::open(Arc::clone(remote), options).await.unwrap();
    let client = engine.client();
    let ids: Vec<u64> = (0..KEYS).collect();
    for some in ids.chunks(512) {
        for read in some.iter().map(|id| client.get(&key(*id))).collect::<Vec<_>>() {
            read.await.unwrap().unwrap();
        }
    }
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut random = fastrand::Rng::with_seed(2);
    // Runs that became one by their names alone, before.
    let (written, jobs) = progress(&client).await;
    assert_eq!(written, 0, "the machine is too slow to warm up before the merge begins");
    loop {
        let mut some = Vec::with_capacity(READS_A_LOOK);
        let before = progress(&client).await;
        for _ in 0..READS_A_LOOK {
            let id = random.u64(0..KEYS);
            let begun = aquifer_io::now();
            client.get(&key(id)).await.unwrap().unwrap();
            some.push(begun.elapsed());
        }
        let after = progress(&client).await;
        match (before, after) {
            (_, (_, ended)) if ended > jobs => break,
            ((0, _), (0, _)) => without.extend(some),
            // What is read after the merge's end is not in memory any more.
            ((written, _), _) if written > 0 => with.extend(some),
            _ => {}
        }
    }
    engine.close().await.unwrap();
    let (without, with) = (quantiles(without), quantiles(with));
    println!("without: {without}");
    println!("with:    {with}");
    println!("p99 {:.2} times", with.p99.as_secs_f64() / without.p99.as_secs_f64());
}

/// Bytes that merges wrote so far, and jobs that ended.
async fn progress(client: &Client) -> (u64, u64) {
    let stats = client.stats().await.unwrap();
    (stats.sum(|shard| shard.compacted_bytes), stats.sum(|shard| shard.compactions))
}

struct Quantiles {
    reads: usize,
    p50: Duration,
    p99: Duration,
    p999: Duration,
    most: Duration,
}

impl std::fmt::Display for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reads, p50, p99, p999, most } = self;
        write!(f, "{reads} reads, p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}, most {most:?}")
    }
}

fn quantiles(mut all: Vec<Duration>) -> Quantiles {
    assert!(!all.is_empty(), "nothing was measured: use more keys");
    all.sort_unstable();
    let at = |thousandths: usize| all[(all.len() - 1) * thousandths / 1000];
    Quantiles { reads: all.len(), p50: at(500), p99: at(990), p999: at(999), most: at(1000) }
}
