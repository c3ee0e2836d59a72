//! What a merge reads: its inputs come from the SSD if they are there, else in windows of the read plan.

use crate::common;
use aquifer::{Client, Engine, Key, Options};
use aquifer_cache::{CacheStats, ReadClass};

/// Runs that one merge takes.
const RUNS: u64 = 8;

fn key(n: u64) -> Vec<u8> {
    format!("key-{n:08}").into_bytes()
}

fn beside(key: &[u8]) -> Key<'_> {
    Key::beside(b"one group", key)
}

fn value(n: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(n);
    (0..100).map(|_| random.u8(..)).collect()
}

async fn cache(client: &Client) -> CacheStats {
    client.stats().await.unwrap().shards.first().unwrap().cache.clone()
}

/// One run of these keys.
async fn write(client: &Client, keys: impl Iterator<Item = u64>) {
    for n in keys {
        client.put(beside(&key(n)), &value(n)).await.unwrap();
    }
    client.checkpoint(Vec::new()).await.unwrap();
    // Committed: the shard puts the segment in its memtable's place a moment later.
    while client.stats().await.unwrap().sum(|shard| shard.frozen_bytes) > 0 {
        std::thread::yield_now();
    }
}

async fn read(client: &Client, keys: impl Iterator<Item = u64>) {
    for n in keys {
        let found = client.get(beside(&key(n))).await.unwrap();
        assert_eq!(found.as_deref(), Some(value(n).as_slice()), "key {n}");
    }
}

/// Blocks that are fetched from the DFS for a read of these keys with nothing in memory.
async fn fetches(client: &Client, keys: impl Iterator<Item = u64>) -> u64 {
    client.forget_memory().await.unwrap();
    let before = cache(client).await.loads.fetches;
    read(client, keys).await;
    cache(client).await.loads.fetches - before
}

/// Reads until all of it comes from the SSD, and once more: it is in use there.
async fn warm(client: &Client, keys: impl Iterator<Item = u64> + Clone) {
    let mut passes = 0;
    while fetches(client, keys.clone()).await > 0 {
        passes += 1;
        assert!(passes < 1_000, "it never comes to the SSD: {:?}", cache(client).await.ssd);
        // The SSD's writer gets on.
        std::thread::yield_now();
    }
    assert_eq!(fetches(client, keys).await, 0);
}

/// Until no more than so many runs are left.
async fn merged(client: &Client, runs_max: u64) {
    for _ in 0..1_000_000 {
        if client.stats().await.unwrap().sum(|shard| shard.runs) <= runs_max {
            return;
        }
        std::thread::yield_now();
    }
    unreachable!("nothing was merged");
}

fn options(folder: Option<&std::path::Path>) -> Options {
    let mut options = Options { memory_bytes: 16 << 20, key_groups: Some(1), ..common::small(1) };
    if let Some(folder) = folder {
        (options.disk.bytes, options.disk.dir) = (64 << 20, Some(folder.to_owned()));
    }
    options
}

#[test]
fn a_merge_whose_inputs_are_on_the_ssd_reads_them_from_there() {
    let folder = tempfile::tempdir().unwrap();
    for disk in [None, Some(folder.path())] {
        aquifer::block_on(async {
            let engine = Engine::open(common::memory(), options(disk)).await.unwrap();
            let client = engine.client();
            for run in 0..RUNS - 1 {
                let keys = (0..8_000).filter(|n| n % RUNS == run);
                write(&client, keys.clone()).await;
                // While it is the newest: reads that search further runs pay for a merge, and that would be done before the last run is there.
                if disk.is_some() {
                    warm(&client, keys).await;
                }
            }
            let stats = client.stats().await.unwrap();
            let found = (stats.sum(|shard| shard.runs), stats.sum(|shard| shard.compactions));
            assert_eq!(found, (RUNS - 1, 0), "the merge that counts is that of all runs");
            write(&client, (0..8_000).filter(|n| n % RUNS == RUNS - 1)).await;
            merged(&client, 1).await;
            let found = cache(&client).await;
            let merge = ReadClass::Compaction as usize;
            let (gets, reads) = (*found.plan.remote.get(merge).unwrap(), *found.plan.ssd.get(merge).unwrap());
            match disk {
                None => assert!(gets.requests >= RUNS, "a window of each run at least: {gets:?}"),
                Some(_) => {
                    // The run that was written last may be on its way to the SSD still.
                    assert!(gets.requests <= 4, "{gets:?}");
                    assert!(reads.blocks > 7_000 / 40 && reads.read_bytes > 500_000, "{reads:?}");
                }
            }
            assert_eq!((gets.in_flight, reads.in_flight), (0, 0));
            read(&client, 0..8_000).await;
            engine.close().await.unwrap();
        });
    }
}
