//! A compaction does not empty the cache: where blocks of its inputs were in use, those of its output that stand for them are on the SSD when it
//! ends, and the rest of the output is not. On a simulated disk and store, in virtual time.

use crate::common;
use aquifer::{Client, DiskOptions, Engine, Key, Options};
use aquifer_cache::{CacheStats, ReadClass};
use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_remote::{ShapeOptions, SimulatedDfs};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// Runs that one merge takes.
const RUNS: u64 = 8;
/// Runs that are there when the hot keys are read: no more than reads leave alone, so that they do not pay for a merge.
const RUNS_READ: u64 = 4;
const KEYS: u64 = 8_000;
/// Of so many neighbours the first tenth is hot.
const NEIGHBOURS: u64 = 2_000;
/// Those of them that share no block with a hot one in any run: a block has less than 40 entries, of every eighth key.
const COLD: Range<u64> = 550..1_650;

fn key(n: u64) -> Vec<u8> {
    format!("key-{n:08}").into_bytes()
}

/// All keys in their order, in one key group: hot keys share blocks with hot keys.
fn beside(key: &[u8]) -> Key<'_> {
    Key::beside(b"one group", key)
}

/// Not compressible, so that blocks are many.
fn value(n: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(n);
    (0..100).map(|_| random.u8(..)).collect()
}

async fn cache(client: &Client) -> CacheStats {
    client.stats().await.unwrap().shards.first().unwrap().cache.clone()
}

/// Runs, and merges so far.
async fn runs(client: &Client) -> (u64, u64) {
    let stats = client.stats().await.unwrap();
    (stats.sum(|shard| shard.runs), stats.sum(|shard| shard.compactions))
}

/// The run of this number: all of them reach over all keys.
async fn write(client: &Client, run: u64) {
    for n in (0..KEYS).filter(|n| n % RUNS == run) {
        client.put(beside(&key(n)), &value(n)).await.unwrap();
    }
    client.checkpoint(Vec::new()).await.unwrap();
}

async fn read(client: &Client, keys: impl Iterator<Item = u64>) {
    for n in keys {
        let found = client.get(beside(&key(n))).await.unwrap();
        assert_eq!(found.as_deref(), Some(value(n).as_slice()), "key {n}");
    }
}

/// GETs for reads of these keys with nothing in memory.
async fn gets(client: &Client, keys: impl Iterator<Item = u64>) -> u64 {
    async fn so_far(client: &Client) -> u64 {
        cache(client).await.plan.remote.get(ReadClass::Foreground as usize).unwrap().requests
    }
    client.forget_memory().await.unwrap();
    let before = so_far(client).await;
    read(client, keys).await;
    so_far(client).await - before
}

fn hot() -> impl Iterator<Item = u64> {
    (0..KEYS).filter(|n| n % NEIGHBOURS < NEIGHBOURS / 10)
}

/// Some of the cold keys.
fn cold() -> impl Iterator<Item = u64> {
    (0..KEYS).step_by(50).filter(|n| COLD.contains(&(n % NEIGHBOURS)))
}

/// Heads and metas come to memory, and hardly any data: filters know that no such key is there.
async fn ask_in_vain(client: &Client) {
    for n in (0..KEYS).step_by(500) {
        let absent = format!("key-{n:08}-absent");
        assert_eq!(client.get(beside(absent.as_bytes())).await.unwrap(), None);
    }
}

/// Where the blocks of the hot keys are when the merge begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the SSD, and were read from there.
    ReadFromSsd,
    /// In memory; nobody has read them from the SSD.
    InMemory,
    /// On the SSD, where nobody has read them since they came.
    Unread,
}

fn options() -> Options {
    Options {
        key_groups: Some(1),
        memory_bytes: 8 << 20,
        disk: DiskOptions { bytes: 64 << 20, dir: Some(PathBuf::from("/local")), ..DiskOptions::default() },
        ..common::small(1)
    }
}

/// Runs a test in a world of its own.
fn simulated<Fut>(test: impl FnOnce(SimulatedDfs) -> Fut + Send + 'static)
where
    Fut: Future<Output = ()> + 'static,
{
    let dfs = SimulatedDfs::new(1, &ShapeOptions::default());
    let world = World::new(1, WorldOptions { trace_bytes_max: 0, ..WorldOptions::default() });
    let driver = world.spawn_executor(ExecutorOptions::default(), move || test(dfs));
    world.run_for(Duration::from_secs(3_600));
    assert!(driver.has_ended(), "it hangs");
    driver.join().unwrap();
}

/// GETs for all hot keys, and for how many of the cold ones there is one, after a merge of everything.
async fn gets_after_a_merge(dfs: SimulatedDfs, place: Place) -> (u64, u64) {
    let engine = Engine::open(dfs.remote(), options()).await.unwrap();
    let client = engine.client();
    for run in 0..RUNS_READ {
        write(&client, run).await;
    }
    let keys = || hot().filter(|n| n % RUNS < RUNS_READ);
    assert!(gets(&client, keys()).await > 0, "nothing of a load is on the SSD");
    if place == Place::ReadFromSsd {
        for _ in 0..3 {
            // The SSD's writer is done.
            aquifer_io::sleep(Duration::from_secs(1)).await;
            assert_eq!(gets(&client, keys()).await, 0);
        }
    }
    if place != Place::InMemory {
        client.forget_memory().await.unwrap();
        ask_in_vain(&client).await;
    }
    // What is written while nobody reads is not written through: so is the output, when the last two runs were.
    for run in RUNS_READ..RUNS - 1 {
        write(&client, run).await;
    }
    assert_eq!(runs(&client).await, (RUNS - 1, 0), "the merge that counts is that of all runs");
    write(&client, RUNS - 1).await;
    while runs(&client).await.0 > 1 {
        aquifer_io::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(runs(&client).await, (1, 1));
    // What is not there was not offered. The whole output is more than the writer takes at once: offered, part of it would be turned away.
    let rejections = cache(&client).await.ssd.rejections;
    assert_eq!(rejections.behind + rejections.budget, 0, "{rejections:?}");
    let gets_hot = gets(&client, hot()).await;
    let mut fetched = 0;
    for n in cold() {
        fetched += u64::from(gets(&client, std::iter::once(n)).await > 0);
    }
    engine.close().await.unwrap();
    (gets_hot, fetched)
}

/// A filter may have let a key pass that is not there: then a block was read.
fn assert_nearly_all_cold(fetched: u64) {
    let all = cold().count() as u64;
    assert!(fetched * 20 >= all * 19, "{fetched} of {all} cold keys are not on the SSD");
}

#[test]
fn what_was_read_from_the_ssd_is_there_again_after_a_merge_and_nothing_else() {
    simulated(async |dfs| {
        let (hot, fetched) = gets_after_a_merge(dfs, Place::ReadFromSsd).await;
        assert_eq!(hot, 0);
        assert_nearly_all_cold(fetched);
    });
}

#[test]
fn what_was_in_memory_is_on_the_ssd_after_a_merge_and_nothing_else() {
    simulated(async |dfs| {
        let (hot, fetched) = gets_after_a_merge(dfs, Place::InMemory).await;
        assert_eq!(hot, 0);
        assert_nearly_all_cold(fetched);
    });
}

#[test]
fn what_lies_on_the_ssd_unread_is_not_written_again() {
    simulated(async |dfs| {
        let (hot, fetched) = gets_after_a_merge(dfs, Place::Unread).await;
        assert!(hot > 10, "nobody was to read them: {hot}");
        assert_nearly_all_cold(fetched);
    });
}
