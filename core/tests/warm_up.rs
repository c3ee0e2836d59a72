//! A restore elsewhere fetches what was in use before, in few large reads, and whoever reads meanwhile is answered. Counted on a simulated
//! store with the latencies of S3, in virtual time.

use crate::common::faults::{Fault, Faulty};
use aquifer::{Client, DiskOptions, Engine, KeyRange, Options, Reader, ReaderOptions, WarmUpStats};
use aquifer_cache::{ReadClass, ReadStats};
use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_remote::shape::LatencyProfile;
use aquifer_remote::{ShapeOptions, SimulatedDfs};
use futures_util::future::join_all;
use std::path::PathBuf;
use std::time::Duration;

const KEY_GROUPS: u16 = 16;
const KEYS: u64 = 20_000;
/// Bytes of a value: not compressible, so that blocks are many.
const VALUE_BYTES: usize = 200;

fn options(shards: usize, memory_mib: u64) -> Options {
    Options {
        key_groups: Some(KEY_GROUPS),
        shards,
        memory_bytes: memory_mib << 20,
        seed: Some(1),
        ..Options::default()
    }
}

fn with_disk(folder: &str, options: Options) -> Options {
    Options {
        disk: DiskOptions { bytes: 64 << 20, dir: Some(PathBuf::from(folder)), ..DiskOptions::default() },
        ..options
    }
}

fn key(n: u64) -> Vec<u8> {
    format!("key-{n:08}").into_bytes()
}

fn value(n: u64, round: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(n * 1_000 + round);
    (0..VALUE_BYTES).map(|_| random.u8(..)).collect()
}

/// One key in 16: with the hash that spreads keys over groups, two blocks of three.
fn hot() -> Vec<u64> {
    (0..KEYS).filter(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xff < 16).collect()
}

async fn check_all(client: &Client, keys: &[u64]) {
    for some in keys.chunks(64) {
        let all = some.iter().map(|&n| async move {
            let found = client.get(&key(n)).await.unwrap();
            assert_eq!(found.as_deref(), Some(value(n, 0).as_slice()), "key {n}");
        });
        join_all(all).await;
    }
}

async fn stats(client: &Client) -> Vec<WarmUpStats> {
    client.stats().await.unwrap().shards.iter().map(|shard| shard.warm_up).collect()
}

/// Waits until the warm-up of all shards has ended.
async fn warmed(client: &Client) -> Vec<WarmUpStats> {
    loop {
        let stats = stats(client).await;
        if stats.iter().all(|stats| !stats.is_running) {
            return stats;
        }
        aquifer_io::sleep(Duration::from_millis(5)).await;
    }
}

async fn remote_reads(client: &Client, class: ReadClass) -> ReadStats {
    let shards = client.stats().await.unwrap().shards;
    let mut sum = ReadStats::default();
    for shard in shards {
        let of_class = shard.cache.plan.remote[class as usize];
        sum.requests += of_class.requests;
        sum.blocks += of_class.blocks;
        sum.read_bytes += of_class.read_bytes;
    }
    sum
}

/// Reads everything that was hot: one key in a hundred may need a block that was not hot, where the filter of a newer run errs.
async fn assert_nearly_none(dfs: &SimulatedDfs, client: &Client) {
    let before = dfs.requests();
    check_all(client, &hot()).await;
    let requests = dfs.requests() - before;
    assert!(requests * 100 <= hot().len() as u64, "{requests} requests for {} keys", hot().len());
}

/// A store, loaded in three sorted runs, whose hot keys were read before its last checkpoint.
async fn store(dfs: &SimulatedDfs, shards: usize) -> u64 {
    let engine = Engine::open(dfs.remote(), options(shards, 64)).await.unwrap();
    let client = engine.client();
    for run in 0..3 {
        for n in (0..KEYS).filter(|n| n % 3 >= run) {
            client.put(&key(n), &value(n, 0)).await.unwrap();
        }
        assert_eq!(client.checkpoint(Vec::new()).await.unwrap().hot_extents, 0, "nobody has read anything");
    }
    client.forget_memory().await.unwrap();
    for _ in 0..3 {
        check_all(&client, &hot()).await;
    }
    let checkpoint = client.checkpoint(b"here".to_vec()).await.unwrap();
    assert!(checkpoint.hot_extents > 50, "{checkpoint:?}");
    engine.close().await.unwrap();
    dfs.set_latency(LatencyProfile::S3);
    checkpoint.hot_extents
}

/// Runs a test in a world of its own.
fn simulated<Fut>(bandwidth_bytes_per_s: u64, test: impl FnOnce(SimulatedDfs) -> Fut + Send + 'static)
where
    Fut: Future<Output = ()> + 'static,
{
    let shape = ShapeOptions { bandwidth_bytes_per_s: 200 << 20, ..ShapeOptions::default() };
    let shape = ShapeOptions { bandwidth_bytes_per_s, ..shape };
    let dfs = SimulatedDfs::new(1, &shape);
    let world = World::new(1, WorldOptions { trace_bytes_max: 0, ..WorldOptions::default() });
    let driver = world.spawn_executor(ExecutorOptions::default(), move || test(dfs));
    world.run_for(Duration::from_secs(4 * 3_600));
    assert!(driver.has_ended(), "it hangs");
    driver.join().unwrap();
}

const FAST: u64 = 200 << 20;

#[test]
fn reads_of_what_was_hot_come_from_memory_after_few_large_requests() {
    simulated(FAST, async |dfs| {
        let listed = store(&dfs, 1).await;
        let reader = Reader::open(dfs.remote(), ReaderOptions::default()).await.unwrap();
        assert_eq!(reader.checkpoint().unwrap().hot_extents, listed);
        assert_eq!(reader.stats().await.unwrap().shards[0].warm_up, WarmUpStats::default(), "a reader waits");
        reader.close().await.unwrap();

        let engine = Engine::open(dfs.remote(), options(1, 64)).await.unwrap();
        assert_eq!(engine.restored().unwrap().hot_extents, listed);
        let client = engine.client();
        let warmed = warmed(&client).await[0];
        assert_eq!((warmed.listed, warmed.failed), (listed, 0), "{warmed:?}");
        assert_eq!(warmed.warmed, listed, "{warmed:?}");
        let reads = remote_reads(&client, ReadClass::WarmUp).await;
        // Three heads, and extents of half a megabyte or so.
        assert!(reads.requests <= 30 && reads.blocks > 10 * reads.requests, "{reads:?}");
        assert!(warmed.bytes > 1 << 20, "{warmed:?}");
        assert_nearly_none(&dfs, &client).await;
        // A second move soon after: what was hot before is hot still, though nobody but the test has read it here.
        let again = client.checkpoint(Vec::new()).await.unwrap();
        assert!(again.hot_extents * 10 >= listed * 9, "{again:?}");
        engine.close().await.unwrap();
    });
}

#[test]
fn what_memory_does_not_hold_goes_to_the_ssd() {
    simulated(FAST, async |dfs| {
        let listed = store(&dfs, 2).await;
        let options = with_disk("/elsewhere", options(1, 4));
        let engine = Engine::open(dfs.remote(), options.clone()).await.unwrap();
        let client = engine.client();
        let warmed_up = warmed(&client).await[0];
        assert_eq!((warmed_up.warmed, warmed_up.failed), (listed, 0), "{warmed_up:?}");
        let shard = &client.stats().await.unwrap().shards[0];
        let memory = shard.cache.memory.bytes();
        assert!(warmed_up.bytes > 2 * memory, "memory holds a part of it: {memory} of {warmed_up:?}");
        assert_nearly_none(&dfs, &client).await;
        engine.close().await.unwrap();
        // Opened where it was: what is on the SSD is not fetched again.
        let engine = Engine::open(dfs.remote(), options).await.unwrap();
        let client = engine.client();
        warmed(&client).await;
        let reads = remote_reads(&client, ReadClass::WarmUp).await;
        assert!(reads.read_bytes * 20 < warmed_up.bytes, "{reads:?}");
        engine.close().await.unwrap();
    });
}

#[test]
fn it_ends_where_there_is_no_room_and_pushes_nothing_out() {
    simulated(FAST, async |dfs| {
        let listed = store(&dfs, 1).await;
        let engine = Engine::open(dfs.remote(), options(1, 4)).await.unwrap();
        let client = engine.client();
        let warmed = warmed(&client).await[0];
        assert!(warmed.warmed > 0 && warmed.skipped > 0, "{warmed:?}");
        assert_eq!((warmed.warmed + warmed.skipped, warmed.failed), (listed, 0), "{warmed:?}");
        let stats = &client.stats().await.unwrap().shards[0];
        let (evictions, entries) = (stats.cache.memory.data.evictions, stats.cache.memory.data.entries);
        assert_eq!(evictions, 0, "{entries} entries");
        let reads = remote_reads(&client, ReadClass::WarmUp).await;
        assert!(reads.read_bytes < 4 << 20, "no more than a cache of that size holds: {reads:?}");
        // Without room from the start nothing is asked for; nor with the option off, where checkpoints list nothing either.
        engine.close().await.unwrap();
        let off = Options { warm_up: false, ..options(1, 64) };
        let engine = Engine::open(dfs.remote(), off).await.unwrap();
        let client = engine.client();
        aquifer_io::sleep(Duration::from_secs(10)).await;
        assert_eq!(client.stats().await.unwrap().shards[0].warm_up, WarmUpStats::default());
        assert_eq!(remote_reads(&client, ReadClass::WarmUp).await, ReadStats::default());
        check_all(&client, &hot()).await;
        assert_eq!(client.checkpoint(Vec::new()).await.unwrap().hot_extents, 0);
        engine.close().await.unwrap();
    });
}

/// Reads that come while the warm-up is under way are answered, and answered right; and the engine may be closed or crash in the midst. Until
/// the next checkpoint the manifests keep the list.
#[test]
fn who_reads_meanwhile_is_answered_and_it_may_end_at_any_moment() {
    simulated(2 << 20, async |dfs| {
        let listed = store(&dfs, 1).await;
        for millis in [0, 30, 100, 300, 700] {
            let engine = Engine::open(dfs.remote(), options(2, 64)).await.unwrap();
            let client = engine.client();
            aquifer_io::sleep(Duration::from_millis(millis)).await;
            let began = aquifer_io::now();
            let n = 7_777 + millis;
            assert_eq!(client.get(&key(n)).await.unwrap().as_deref(), Some(value(n, 0).as_slice()));
            let took = aquifer_io::now().duration_since(began);
            assert!(took < Duration::from_secs(3), "{took:?} at {millis} ms");
            assert!(stats(&client).await.iter().any(|stats| stats.is_running), "{millis} ms");
            drop(engine);
        }
        let engine = Engine::open(dfs.remote(), options(1, 64)).await.unwrap();
        let client = engine.client();
        // What is not fetched yet is listed by the next checkpoint.
        let checkpoint = client.checkpoint(Vec::new()).await.unwrap();
        assert!(checkpoint.hot_extents * 10 >= listed * 9, "{checkpoint:?}");
        check_all(&client, &hot()).await;
        let warmed = warmed(&client).await[0];
        assert_eq!((warmed.warmed + warmed.skipped, warmed.failed), (listed, 0), "{warmed:?}");
        let before = dfs.requests();
        check_all(&client, &hot()).await;
        assert_eq!(dfs.requests(), before);
        engine.close().await.unwrap();
    });
}

#[test]
fn segments_that_are_replaced_meanwhile_are_left() {
    simulated(512 << 10, async |dfs| {
        let listed = store(&dfs, 1).await;
        let engine = Engine::open(dfs.remote(), options(1, 16)).await.unwrap();
        let client = engine.client();
        while stats(&client).await[0].warmed < 10 {
            aquifer_io::sleep(Duration::from_millis(5)).await;
        }
        // All segments are dead as a whole now: they leave the version unread.
        for group in 0..KEY_GROUPS {
            client.delete_range(&KeyRange::group(group)).await.unwrap();
        }
        client.checkpoint(Vec::new()).await.unwrap();
        while client.stats().await.unwrap().sum(|shard| shard.segments) > 1 {
            aquifer_io::sleep(Duration::from_millis(5)).await;
        }
        let warmed = warmed(&client).await[0];
        assert!(warmed.skipped > listed / 4, "{warmed:?}");
        assert_eq!((warmed.warmed + warmed.skipped, warmed.failed), (listed, 0), "{warmed:?}");
        let last = client.checkpoint(Vec::new()).await.unwrap();
        assert_eq!(last.hot_extents, 0, "nothing of it is left");
        engine.close().await.unwrap();
    });
}

#[test]
fn each_shard_warms_its_own_key_groups() {
    simulated(FAST, async |dfs| {
        let listed = store(&dfs, 2).await;
        for shards in [1, 3] {
            let engine = Engine::open(dfs.remote(), options(shards, 96)).await.unwrap();
            let client = engine.client();
            let warmed = warmed(&client).await;
            let sum: u64 = warmed.iter().map(|stats| stats.warmed).sum();
            // A partition at the border of two shards is one of both.
            assert!((listed..=listed + 4 * 3).contains(&sum), "{listed}: {warmed:?}");
            assert!(warmed.iter().all(|stats| stats.warmed == stats.listed), "{warmed:?}");
            assert_nearly_none(&dfs, &client).await;
            engine.close().await.unwrap();
        }
    });
}

#[test]
fn errors_end_the_warm_up_and_nothing_else() {
    simulated(FAST, async |dfs| {
        let listed = store(&dfs, 1).await;
        let remote = Faulty::new(dfs.remote());
        let mut reads = 0;
        remote.set(move |operation, _| {
            reads += usize::from(operation == "get_range");
            // The heads come.
            if operation == "get_range" && reads > 3 { Fault::Away } else { Fault::None }
        });
        let engine = Engine::open(remote.clone(), options(1, 64)).await.unwrap();
        let client = engine.client();
        let warmed = warmed(&client).await[0];
        assert!(warmed.failed >= 8 && warmed.warmed == 0, "{warmed:?}");
        assert_eq!(warmed.failed + warmed.skipped, listed, "{warmed:?}");
        remote.set(|_, _| Fault::None);
        check_all(&client, &hot()).await;
        client.put(&key(1), &value(1, 0)).await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
    });
}

/// The hottest keys of a small cache are kept by themselves, apart from their blocks: the list names these blocks all the same, long after
/// anybody has read one.
#[test]
fn blocks_of_entries_that_are_kept_by_themselves_are_listed() {
    simulated(FAST, async |dfs| {
        store(&dfs, 1).await;
        let engine = Engine::open(dfs.remote(), options(1, 4)).await.unwrap();
        let client = engine.client();
        warmed(&client).await;
        let hottest: Vec<u64> = hot().into_iter().step_by(40).collect();
        // Others in between push the blocks of the hottest keys out.
        for round in 0..12 {
            check_all(&client, &hottest).await;
            let others: Vec<u64> = (0..1_500).map(|n| (n * 13 + round * 1_511) % KEYS).collect();
            check_all(&client, &others).await;
            check_all(&client, &hottest).await;
        }
        // Longer than what is counted of loads.
        for _ in 0..8 {
            aquifer_io::sleep(Duration::from_secs(15 * 60)).await;
            check_all(&client, &hottest).await;
        }
        let checkpoint = client.checkpoint(Vec::new()).await.unwrap();
        assert!(checkpoint.hot_extents > 0, "{checkpoint:?}");
        engine.close().await.unwrap();
        let engine = Engine::open(dfs.remote(), options(1, 64)).await.unwrap();
        let client = engine.client();
        warmed(&client).await;
        let before = dfs.requests();
        check_all(&client, &hottest).await;
        let requests = dfs.requests() - before;
        assert!(requests * 10 <= hottest.len() as u64, "{requests} requests for {} keys", hottest.len());
        engine.close().await.unwrap();
    });
}
