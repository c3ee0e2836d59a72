//! How many requests and round trips cold reads take, counted on a simulated store with the latencies of S3, in virtual time.

use crate::common;
use crate::common::faults::{Fault, Faulty};
use aquifer::{Client, Engine, Key, KeyRange, MultiGetOptions, Options, ScanOptions, Source};
use aquifer_cache::{PlanStats, ReadStats};
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_io::{ExecutorOptions, now};
use aquifer_remote::shape::LatencyProfile;
use aquifer_remote::{ShapeOptions, SimulatedDfs};
use futures_util::future::join_all;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The median of the S3 profile.
const ROUND_TRIP: Duration = Duration::from_millis(25);
const KEYS: u64 = 20_000;

fn options(seed: u64) -> Options {
    Options {
        key_groups: Some(8),
        shards: 1,
        memory_bytes: 64 << 20,
        warm_up: false,
        seed: Some(seed),
        ..Options::default()
    }
}

fn key(n: u64) -> Vec<u8> {
    format!("key-{n:08}").into_bytes()
}

fn beside(key: &[u8]) -> Key<'_> {
    Key::beside(b"one group", key)
}

fn value(n: u64) -> Vec<u8> {
    Shape::default().value(n)
}

/// What lies in the store.
#[derive(Clone, Debug)]
struct Shape {
    /// Keys of each sorted run, the oldest first.
    runs: Vec<Vec<u64>>,
    value_bytes: usize,
    compresses: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { runs: vec![(0..KEYS).collect()], value_bytes: 96, compresses: false }
    }
}

impl Shape {
    fn value(&self, n: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(n);
        let word: [u8; 8] = std::array::from_fn(|_| random.u8(..));
        let byte = |at| if self.compresses { word[at % 8] } else { random.u8(..) };
        (0..self.value_bytes).map(byte).collect()
    }

    async fn check(&self, client: &Client, n: u64) {
        let found = client.get(beside(&key(n))).await.unwrap();
        assert_eq!(found.as_deref(), Some(self.value(n).as_slice()), "key {n}");
    }
}

/// What a test found.
#[derive(Debug, Default)]
struct Found {
    requests: u64,
    took: Duration,
    plan: PlanStats,
}

impl Found {
    fn remote(&self) -> ReadStats {
        self.plan.remote_all()
    }
}

/// Fills a store in `runs` sorted runs, the last ones over parts of the keys, and lets `test` loose on it with cold caches.
fn cold<Fut>(seed: u64, runs: u64, test: impl FnOnce(Client) -> Fut + Send + 'static) -> Found
where
    Fut: Future<Output = ()> + 'static,
{
    cold_of(seed, Shape { runs: overlapping(runs), ..Shape::default() }, LatencyProfile::S3, test)
}

fn overlapping(runs: u64) -> Vec<Vec<u64>> {
    (0..runs).map(|run| (0..KEYS).filter(|n| n % runs >= run).collect()).collect()
}

/// Fills a store and lets `test` loose on it with cold caches.
fn cold_of<Fut>(
    seed: u64,
    filling: Shape,
    latency: LatencyProfile,
    test: impl FnOnce(Client) -> Fut + Send + 'static,
) -> Found
where
    Fut: Future<Output = ()> + 'static,
{
    let shape = ShapeOptions { bandwidth_bytes_per_s: 200 << 20, ..ShapeOptions::default() };
    let dfs = SimulatedDfs::new(seed, &shape);
    let found = Arc::new(Mutex::new(Found::default()));
    let (store, result) = (dfs.clone(), Arc::clone(&found));
    let world = World::new(seed, WorldOptions { trace_bytes_max: 0, ..WorldOptions::default() });
    let driver =
        world.spawn_executor(ExecutorOptions { seed, ..ExecutorOptions::default() }, move || async move {
            let engine = Engine::open(store.remote(), options(seed)).await.unwrap();
            for run in &filling.runs {
                for &n in run {
                    engine.client().put(beside(&key(n)), &filling.value(n)).await.unwrap();
                }
                engine.client().checkpoint(Vec::new()).await.unwrap();
            }
            engine.close().await.unwrap();
            let engine = Engine::open(store.remote(), options(seed + 1)).await.unwrap();
            let client = engine.client();
            let shards = client.stats().await.unwrap();
            let runs = filling.runs.len() as u64;
            assert_eq!(shards.sum(|shard| shard.runs), runs, "nothing was merged");
            store.set_latency(latency);
            let (requests, began) = (store.requests(), now());
            test(client.clone()).await;
            let took = now().duration_since(began);
            // What was asked for ahead and is not needed any more.
            aquifer_io::sleep(ROUND_TRIP * 40).await;
            *result.lock().unwrap() = Found {
                requests: store.requests() - requests,
                took,
                plan: client.stats().await.unwrap().shards[0].cache.plan,
            };
        });
    world.run_for(Duration::from_secs(3_600));
    driver.join().unwrap();
    let found = std::mem::take(&mut *found.lock().unwrap());
    assert_eq!(found.remote().in_flight, 0);
    found
}

/// The median over a few seeds: single requests of the profile take up to six times its median.
fn median_took(found: &[Found]) -> Duration {
    let mut took: Vec<_> = found.iter().map(|found| found.took).collect();
    took.sort_unstable();
    took[took.len() / 2]
}

async fn check(client: &Client, n: u64) {
    Shape::default().check(client, n).await;
}

#[test]
fn the_first_get_of_a_cold_segment_takes_two_requests() {
    let found: Vec<_> =
        (0..5).map(|seed| cold(seed, 1, |client| async move { check(&client, 77).await })).collect();
    for found in &found {
        assert_eq!(
            (found.requests, found.remote().requests),
            (2, 2),
            "its head, then a partition: {found:?}"
        );
    }
    assert!(median_took(&found) <= ROUND_TRIP * 5 / 2, "{found:?}");
}

#[test]
fn neighbours_at_once_take_two_requests_of_each_large_run() {
    for runs in [1, 4] {
        let found: Vec<_> = (0..11)
            .map(|seed| {
                cold(seed, runs, |client| async move {
                    join_all((5_000..5_256).map(|n| check(&client, n))).await;
                })
            })
            .collect();
        for found in &found {
            assert!(found.requests <= 8, "{found:?}");
            // A head and a partition of each run, with its blocks; a run that is small comes whole.
            let whole = u64::from(runs == 4);
            assert_eq!(found.requests, 2 * runs - whole, "{found:?}");
            assert!(found.remote().merge_factor().unwrap() > 3.0, "{found:?}");
        }
        // Of four requests at once the slowest is slower than the median, and that twice.
        let bound = if runs == 1 { ROUND_TRIP * 5 / 2 } else { ROUND_TRIP * 3 };
        assert!(median_took(&found) <= bound, "{runs} runs: {found:?}");
    }
}

/// The goal of the read plan, over what a store may look like: one run or five that overlap, one partition or several, blocks compressed or
/// not, small values and large ones.
#[test]
fn neighbours_at_once_meet_the_goal_whatever_the_shape() {
    // As much as one memtable holds. Five runs: what a store mostly looks like, much at the bottom and little of what was written since.
    let one = |bytes: usize| vec![(4_000..4_000 + 2_000_000 / bytes as u64).collect::<Vec<_>>()];
    let newer = (0..4u64).map(|run| (5_000..5_256).filter(|n| n % 8 == run).collect());
    let mut shapes = Vec::new();
    for (value_bytes, compresses) in [(100, false), (1_000, false), (100, true), (1_000, true)] {
        let mut runs = one(value_bytes);
        shapes.push(Shape { runs: runs.clone(), value_bytes, compresses });
        runs.extend(newer.clone());
        shapes.push(Shape { runs, value_bytes, compresses });
    }
    // Neighbours, of which 1,000-byte values are four partitions; and 100-byte values over three.
    for (step, shape) in shapes.iter().map(|shape| (1, shape)).chain([(5, &shapes[0]), (5, &shapes[1])]) {
        let found: Vec<_> = (0..5)
            .map(|seed| {
                let asked = shape.clone();
                cold_of(seed, shape.clone(), LatencyProfile::S3, move |client| async move {
                    let keys = (0..256).map(|n| 5_000 + n * step);
                    join_all(keys.map(|n| asked.check(&client, n))).await;
                })
            })
            .collect();
        let what = format!("{} runs of {} bytes, step {step}", shape.runs.len(), shape.value_bytes);
        assert!(found.iter().all(|found| found.requests <= 8), "{what}: {found:?}");
        assert!(median_took(&found) <= ROUND_TRIP * 5 / 2, "{what}: {found:?}");
    }
}

/// Keys of one batch, or of as many callers, that are spread over nine partitions: the first one of a partition alone would not ask for
/// its data, as a request costs little here; but all of them together do.
#[test]
fn keys_of_a_few_partitions_take_a_few_requests_where_requests_are_cheap() {
    let keys = || (0..100).map(|n| 5_000 + n * 45);
    for at_once in [true, false] {
        let found = cold_of(1, Shape::default(), LatencyProfile::Nvme, move |client| async move {
            if at_once {
                let keys: Vec<_> = keys().map(key).collect();
                let keys = keys.iter().map(|key| beside(key));
                let answers = client.multi_get(keys, &MultiGetOptions::default()).await.unwrap();
                assert!(answers.iter().all(|answer| answer.as_ref().unwrap().value.is_some()));
            } else {
                join_all(keys().map(|n| check(&client, n))).await;
            }
        });
        assert!(found.requests <= 10, "a head and nine partitions at most: {found:?}");
        // Somebody alone does not move sixty kilobytes to save a request that costs less.
        let alone = cold_of(1, Shape::default(), LatencyProfile::Nvme, |client| async move {
            check(&client, 5_000).await;
        });
        assert_eq!(alone.requests, 3, "head, meta, block: {alone:?}");
        assert!(alone.remote().read_bytes < 20_000, "{alone:?}");
    }
}

#[test]
fn a_batch_asks_for_the_blocks_of_all_runs_at_once() {
    let shape = Shape { runs: overlapping(4), compresses: true, ..Shape::default() };
    let asked = shape.clone();
    let found = cold_of(3, shape, LatencyProfile::S3, move |client| async move {
        let keys: Vec<_> = (0..512).map(|n| key(n * 39)).collect();
        let keys = keys.iter().map(|key| beside(key));
        let answers = client.multi_get(keys, &MultiGetOptions::default()).await.unwrap();
        for (n, answer) in (0..).zip(answers) {
            let answer = answer.unwrap();
            assert_eq!(answer.value.as_deref(), Some(asked.value(n * 39).as_slice()), "key {n}");
            assert_eq!(answer.source, Source::Remote);
        }
    });
    // One run after the other would be eight round trips of the median, and the slowest of many is slower.
    assert!(found.took <= ROUND_TRIP * 8, "{found:?}");
    assert!(found.requests <= 32, "{found:?}");
    assert!(found.remote().read_amplification().unwrap() < 4.0, "{found:?}");
}

/// The deadline passes while one half of the keys waits for the store; the other half is in memory.
#[test]
fn at_the_deadline_keys_that_are_known_are_answered_and_others_timed_out() {
    let found = cold(5, 1, |client| async move {
        for n in 0..4 {
            client.put(beside(&key(n)), b"new").await.unwrap();
        }
        let keys: Vec<_> = (0..8).map(key).collect();
        let options =
            MultiGetOptions { timeout: Some(Duration::from_millis(5)), ..MultiGetOptions::default() };
        let answers = client.multi_get(keys.iter().map(|key| beside(key)), &options).await.unwrap();
        for (n, answer) in answers.into_iter().enumerate() {
            let answer = answer.unwrap();
            let expected = if n < 4 { Source::Memtable } else { Source::TimedOut };
            assert_eq!((answer.source, answer.value.is_some()), (expected, n < 4), "key {n}");
        }
        // What timed out was on its way all the same.
        aquifer_io::sleep(ROUND_TRIP * 40).await;
        for n in 4..8 {
            check(&client, n).await;
        }
    });
    assert_eq!(found.requests, 2, "and no other request was needed: {found:?}");
}

async fn scan(client: &Client, reverse: bool, entries: usize, page_entries: usize) {
    let range = KeyRange::beside(b"one group", ..);
    let mut scan = client.scan(&range, &ScanOptions { reverse, page_entries, snapshot: None });
    for at in 0..entries as u64 {
        let n = if reverse { KEYS - 1 - at } else { at };
        let (found, found_value) = scan.next().await.unwrap().unwrap();
        assert_eq!((&found[..], &found_value[..]), (&key(n)[..], &value(n)[..]));
    }
}

#[test]
fn a_short_scan_reads_one_partition_and_a_long_one_ahead() {
    for reverse in [false, true] {
        let short = cold(7, 1, move |client| async move { scan(&client, reverse, 10, 10).await });
        assert_eq!(short.requests, 2, "a head, and a partition with its blocks: {short:?}");
        assert!(short.remote().blocks <= 4, "{short:?}");
        let long = cold(7, 1, move |client| async move { scan(&client, reverse, 8_000, 8_000).await });
        // 8,000 entries are 15 partitions: one after the other they would take as many round trips.
        assert!(long.took <= ROUND_TRIP * 8, "{long:?}");
        assert!(long.remote().requests <= 16, "{long:?}");
        let ahead = long.plan.remote[1];
        assert!(ahead.blocks >= 8, "{long:?}");
        // Nothing was read that the page did not need, but for the last partition.
        assert!(long.remote().read_bytes < 2 << 20, "{long:?}");
    }
}

/// A second scan of ten entries, everything needed to find them in memory: one block or two are read.
#[test]
fn ten_entries_are_one_block_or_two() {
    let found = cold(9, 1, |client| async move {
        scan(&client, false, 2_000, 2_000).await;
        client.forget_memory().await.unwrap();
        let before = client.stats().await.unwrap().shards[0].cache.plan.remote_all();
        scan(&client, false, 10, 10).await;
        let after = client.stats().await.unwrap().shards[0].cache.plan.remote_all();
        assert!(after.blocks - before.blocks <= 4, "{before:?} {after:?}");
    });
    assert!(found.requests > 0);
}

/// Batches and scans that are dropped after any number of polls, on the shard's own thread: those that go on are answered right,
/// and nothing stays in flight.
#[test]
fn dropped_at_any_await_others_go_on() {
    let found = cold(11, 4, |client| async move {
        for polls in 0..24 {
            client.forget_memory().await.unwrap();
            let (from, stays) = (polls * 800, client.clone());
            let stays = async move { join_all((from..from + 20).map(|n| check(&stays, n))).await };
            let ran = client.run_on_shard(0, move |shard| async move {
                let keys: Vec<_> = (0..40).map(|n| key(from + n * 19)).collect();
                let range = KeyRange::beside(b"one group", key(from).as_slice()..);
                let options = ScanOptions::default();
                let every = MultiGetOptions::default();
                let mut batch = Box::pin(shard.multi_get(keys.iter().map(|key| beside(key)), &every));
                let mut scan = Box::pin(shard.scan_page(&range, &options));
                for _ in 0..polls {
                    let is_done = futures_util::poll!(batch.as_mut()).is_ready();
                    if is_done || futures_util::poll!(scan.as_mut()).is_ready() {
                        break;
                    }
                    aquifer_io::sleep(Duration::from_millis(4)).await;
                }
            });
            let (_, ran) = futures_util::join!(stays, ran);
            ran.unwrap();
        }
        let keys: Vec<_> = (0..200).map(|n| key(n * 97)).collect();
        let answers = client.multi_get(keys.iter().map(|key| beside(key)), &MultiGetOptions::default()).await;
        for (n, answer) in (0..).zip(answers.unwrap()) {
            assert_eq!(answer.unwrap().value.as_deref(), Some(value(n * 97).as_slice()));
        }
    });
    assert!(found.requests > 100, "{found:?}");
}

/// Heads and metas of all runs are asked for at once. A run that cannot be read harms no key that a newer one answers.
#[test]
fn what_was_asked_for_ahead_and_is_not_needed_may_fail() {
    aquifer_io::block_on(async {
        let remote = Faulty::new(common::memory());
        let packs = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&packs);
        remote.set(move |operation, name| {
            if operation == "put" && name.starts_with("pack/") {
                noted.lock().unwrap().push(name.to_owned());
            }
            Fault::None
        });
        let engine = Engine::open(remote.clone(), options(1)).await.unwrap();
        for round in 0..2 {
            for n in (0..2_000).filter(|n| round == 0 || n % 2 == 0) {
                engine.client().put(beside(&key(n)), &value(n + round)).await.unwrap();
            }
            engine.client().checkpoint(Vec::new()).await.unwrap();
        }
        engine.close().await.unwrap();
        let engine = Engine::open(remote.clone(), options(2)).await.unwrap();
        let oldest = packs.lock().unwrap()[0].clone();
        remote.set(move |operation, name| match operation {
            "get_range" if name == oldest => Fault::Away,
            _ => Fault::None,
        });
        let client = engine.client();
        let found = client.get(beside(&key(100))).await.unwrap();
        assert_eq!(found, Some(value(101).into()), "the newer run has it");
        assert!(client.get(beside(&key(101))).await.is_err(), "only the older one has it");
        let keys = [key(200), key(201), key(202)];
        let answers = client.multi_get(keys.iter().map(|key| beside(key)), &MultiGetOptions::default()).await;
        let answers: Vec<_> = answers.unwrap().iter().map(Result::is_ok).collect();
        assert_eq!(answers, [true, false, true], "each key for itself");
        remote.set(|_, _| Fault::None);
        assert_eq!(client.get(beside(&key(101))).await.unwrap(), Some(value(101).into()));
        engine.close().await.unwrap();
    });
}
