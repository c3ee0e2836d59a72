//! Compaction in other processes: workers on a store that an engine has open, workers that die in the middle, and what the engine reads then.

use crate::common;
use crate::common::faults::{Fault, Faulty};
use aquifer::{CompactionOptions, Engine, Options, RemoteCompaction, WorkerOptions, compact_store};
use aquifer_remote::Remote;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A small engine that offers every merge.
fn offering(lease: Duration) -> Options {
    Options {
        compaction: CompactionOptions {
            remote: Some(RemoteCompaction { offer_bytes_min: 0, lease, always: true }),
            ..CompactionOptions::default()
        },
        ..common::small(1)
    }
}

fn worker(name: &str) -> WorkerOptions {
    WorkerOptions {
        memory_bytes: 8 << 20,
        poll: Duration::from_millis(10),
        beat: Duration::from_millis(20),
        name: name.to_owned(),
        ..WorkerOptions::default()
    }
}

/// Writes enough for several merges, until `until` says that is enough; gives what was written.
async fn write(
    engine: &Engine,
    seed: u64,
    mut until: impl AsyncFnMut() -> bool,
) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let client = engine.client();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut written = BTreeMap::new();
    for round in 0_u64..4000 {
        for _ in 0..50 {
            let key = random.u16(0..20_000).to_le_bytes().to_vec();
            let value = vec![random.u8(..); 200];
            client.put(&key, &value).await.unwrap();
            written.insert(key, value);
        }
        if round % 20 == 0 {
            // Small runs, which are merged by eights: jobs come however little the memtables hold.
            client.checkpoint(Vec::new()).await.unwrap();
            if until().await {
                return written;
            }
        }
    }
    unreachable!("nobody compacted");
}

async fn check(engine: &Engine, written: &BTreeMap<Vec<u8>, Vec<u8>>) {
    assert!(common::scan_all(&engine.client(), 16, 1000).await == *written, "reads as written");
}

async fn compactions(engine: &Engine) -> u64 {
    engine.client().stats().await.unwrap().sum(|shard| shard.compactions)
}

#[test]
fn two_workers_do_what_one_engine_offers_and_it_reads_the_same() {
    let store = Faulty::new(common::memory());
    let results = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&results);
    store.set(move |operation, name| {
        let is_result = operation == "put_if_absent" && name.ends_with("/done");
        seen.fetch_add(u64::from(is_result), Ordering::AcqRel);
        Fault::None
    });
    let remote: Arc<dyn Remote> = store;
    let workers: Vec<_> = ["a", "b"]
        .map(|name| {
            let (remote, options) = (Arc::clone(&remote), worker(name));
            std::thread::spawn(move || {
                aquifer::block_on(async {
                    // There is no store before the engine opens it.
                    loop {
                        let options =
                            WorkerOptions { idle_max: Some(Duration::from_secs(3)), ..options.clone() };
                        match compact_store(Arc::clone(&remote), options).await {
                            Err(error) if error.kind() == aquifer::ErrorKind::Invalid => {
                                std::thread::yield_now();
                            }
                            outcome => return outcome.unwrap(),
                        }
                    }
                })
            })
        })
        .into();
    let written = aquifer::block_on(async {
        // Nobody but a worker may do it: the lease is longer than the test.
        let engine = Engine::open(Arc::clone(&remote), offering(Duration::from_secs(600))).await.unwrap();
        let written = write(&engine, 1, async || {
            results.load(Ordering::Acquire) >= 3 && compactions(&engine).await >= 3
        })
        .await;
        check(&engine, &written).await;
        engine.client().checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
        written
    });
    let jobs: u64 = workers.into_iter().map(|worker| worker.join().unwrap().jobs).sum();
    assert!(jobs >= 3, "{jobs} jobs");
    aquifer::block_on(async {
        let engine = Engine::open(remote, common::small(2)).await.unwrap();
        check(&engine, &written).await;
    });
}

#[test]
fn a_worker_that_dies_in_the_middle_blocks_nobody() {
    let store = Faulty::new(common::memory());
    let remote: Arc<dyn Remote> = Arc::clone(&store) as _;
    aquifer::block_on(async {
        let lease = Duration::from_millis(400);
        let engine = Engine::open(Arc::clone(&remote), offering(lease)).await.unwrap();
        // The worker's handle on the store dies with its first output: claim and job are there, no result and no sign of life follow.
        let mortal = Faulty::new(Arc::clone(&remote));
        let outputs = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&outputs);
        mortal.set(move |operation, name| {
            let dead = seen.load(Ordering::Acquire) > 0;
            if operation == "put" && name.starts_with("pack/") {
                seen.fetch_add(1, Ordering::AcqRel);
            }
            if dead { Fault::Away } else { Fault::None }
        });
        let victim: Arc<dyn Remote> = Arc::clone(&mortal) as _;
        let dying = std::thread::spawn(move || {
            let options = WorkerOptions { idle_max: Some(Duration::from_secs(2)), ..worker("victim") };
            drop(aquifer::block_on(compact_store(victim, options)));
        });
        let written = write(&engine, 2, async || {
            outputs.load(Ordering::Acquire) > 0 && compactions(&engine).await >= 2
        })
        .await;
        check(&engine, &written).await;
        assert!(outputs.load(Ordering::Acquire) > 0, "it died at work");
        // It comes back to life, finds that its job is gone, and harms nobody.
        mortal.set(|_, _| Fault::None);
        dying.join().unwrap();
        check(&engine, &written).await;
        engine.close().await.unwrap();
    });
}

#[test]
fn without_a_store_a_worker_says_so() {
    let error = aquifer::block_on(compact_store(common::memory(), worker("lost"))).unwrap_err();
    assert!(error.to_string().contains("there is no store at"), "{error}");
    let tight = WorkerOptions { memory_bytes: 1, ..worker("tight") };
    assert!(aquifer::block_on(compact_store(common::memory(), tight)).is_err());
}

/// A state that was written once and is read ever after kept the runs that its writes had left, sixteen of them and more: every read that missed
/// memory looked into each. Reads pay for a merge in the end; before that nothing is merged.
#[test]
fn what_is_read_for_long_is_merged_though_nobody_writes() {
    aquifer::block_on(async {
        let options = Options { memory_bytes: 32 << 20, ..common::small(1) };
        let engine = Engine::open(common::memory(), options).await.unwrap();
        let client = engine.client();
        let mut random = fastrand::Rng::with_seed(3);
        let mut written = BTreeMap::new();
        for _ in 0..7 {
            for _ in 0..3_000 {
                let (key, value) = (random.u16(0..9_000).to_le_bytes().to_vec(), vec![random.u8(..); 100]);
                client.put(&key, &value).await.unwrap();
                written.insert(key, value);
            }
            client.checkpoint(Vec::new()).await.unwrap();
        }
        // A checkpoint is there before the shard itself reads its segment.
        while client.stats().await.unwrap().sum(|shard| shard.frozen_bytes) > 0 {
            std::thread::yield_now();
        }
        let runs = async || client.stats().await.unwrap().sum(|shard| shard.runs);
        assert_eq!(runs().await, 7, "seven flushes are not merged for their own sake");
        let mut scans = 0;
        while runs().await > 4 {
            check(&engine, &written).await;
            scans += 1;
            assert!(scans < 1_000, "{} runs are left", runs().await);
        }
        assert!(scans > 2, "merged before reads had paid for it");
        check(&engine, &written).await;
        engine.close().await.unwrap();
    });
}
