//! What loading and overwriting upload for each byte put, once settled: `cargo run --release -p aquifer --example write_amplification`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement ends at the first failure"
)]

use aquifer::{Compression, CompressionOptions, Engine, Options};
use aquifer_remote::RemoteOptions;
use std::collections::VecDeque;
use std::time::Duration;

/// Keys of 16 bytes with values of 100; another number as the first argument.
const KEYS: u64 = 400_000;

fn main() {
    let keys = std::env::args().nth(1).map_or(KEYS, |keys| keys.parse().expect("a number of keys"));
    aquifer::block_on(measure(keys));
}

/// A key that is as long as its number is not.
fn key(id: u64) -> Vec<u8> {
    [id.to_le_bytes(), id.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()].concat()
}

async fn measure(keys: u64) {
    let remote = aquifer_remote::open_url("memory://", RemoteOptions::default()).unwrap();
    let options = Options {
        key_groups: Some(128),
        shards: 2,
        memory_bytes: (keys * 116 / 10).max(8 << 20),
        compression: CompressionOptions { blocks: Compression::None, ..CompressionOptions::default() },
        seed: Some(1),
        ..Options::default()
    };
    let engine = Engine::open(remote, options).await.unwrap();
    let client = engine.client();
    let mut random = fastrand::Rng::with_seed(1);
    let mut order: Vec<u64> = (0..keys).collect();
    random.shuffle(&mut order);
    let mut before = 0;
    for phase in ["load", "overwrite", "overwrite"] {
        let mut pending = VecDeque::new();
        for loaded in &order {
            let id = if phase == "load" { *loaded } else { random.u64(0..keys) };
            let value: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(100).collect();
            pending.push_back(client.put(&key(id), &value));
            if pending.len() >= 64 {
                pending.pop_front().unwrap().await.unwrap();
            }
        }
        for put in pending {
            put.await.unwrap();
        }
        let stats = settled(&client).await;
        let written = stats.sum(|shard| shard.compacted_bytes + shard.flushed_bytes);
        let put = (keys * 116) as f64;
        println!(
            "{phase}: {:.2} bytes uploaded for each byte put; {} runs in {} shards, {} segments, {:.2} of the live bytes",
            (written - before) as f64 / put,
            stats.sum(|shard| shard.runs),
            stats.shards.len(),
            stats.sum(|shard| shard.segments),
            stats.sum(|shard| shard.segment_bytes) as f64 / put,
        );
        before = written;
    }
}

/// The numbers once nothing was written between two looks, half a second apart on a shard's own clock.
async fn settled(client: &aquifer::Client) -> aquifer::EngineStats {
    let mut last = u64::MAX;
    loop {
        let pause = |_shard| async { aquifer_io::sleep(Duration::from_millis(500)).await };
        client.run_on_shard(0, pause).await.unwrap();
        let stats = client.stats().await.unwrap();
        let written = stats.sum(|shard| shard.compacted_bytes + shard.flushed_bytes);
        if written == last {
            return stats;
        }
        last = written;
    }
}
