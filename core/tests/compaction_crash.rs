//! The power fails in the middle of a compaction: at every write to the store, just before and just after it is applied, of the
//! owner and of a worker beside it. What is found then is the state of a checkpoint, whole, and the merge is done anew.

use crate::common;
use crate::common::faults::{Fault, Faulty};
use aquifer::{
    Client, CompactionOptions, Engine, Key, KeyRange, Options, RemoteCompaction, VerifyOptions,
    WorkerOptions, compact_store, verify_store,
};
use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_remote::shape::LatencyProfile;
use aquifer_remote::{Remote, ShapeOptions, SimulatedDfs};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KEYS: u32 = 900;
const CHECKPOINTS: u64 = 3;
const LEASE: Duration = Duration::from_secs(2);

type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a life of the machine told before it ended.
#[derive(Debug, Default)]
struct Known {
    begun: u64,
    acknowledged: u64,
    /// It came to its end.
    is_over: bool,
}

fn options(offers: bool) -> Options {
    let remote = RemoteCompaction { offer_bytes_min: 0, lease: LEASE, always: true };
    Options {
        compaction: CompactionOptions { remote: offers.then_some(remote), ..CompactionOptions::default() },
        ..common::small(1)
    }
}

/// A DFS with a latency, so that crashes meet requests on their way, and without faults of its own.
fn dfs(seed: u64) -> SimulatedDfs {
    SimulatedDfs::new(seed, &ShapeOptions { latency: LatencyProfile::Hdfs, ..ShapeOptions::default() })
}

fn key(n: u32) -> Vec<u8> {
    format!("key-{n:05}").into_bytes()
}

/// Bytes that do not compress, so that a merge has several outputs.
fn value(n: u32, checkpoint: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(n) << 8 | checkpoint);
    (0..700).map(|_| random.u8(..)).collect()
}

/// What is written before checkpoint `number`: first puts, then deletions of so much that a merge is due at once, then more.
async fn write(client: &Client, number: u64) {
    match number {
        1 => {
            for n in 0..KEYS {
                client.put(&key(n), &value(n, 1)).await.unwrap();
            }
        }
        2 => {
            for n in (0..KEYS).filter(|n| n % 3 > 0) {
                client.delete(&key(n)).await.unwrap();
            }
            client.merge(&key(0), "append", b"more").await.unwrap();
            client.put(Key::in_group(2, b"range/1"), b"dead").await.unwrap();
            client.delete_range(&KeyRange::prefix(Key::in_group(2, b"range/"))).await.unwrap();
        }
        _ => {
            for n in KEYS..KEYS + 100 {
                client.put(&key(n), &value(n, number)).await.unwrap();
            }
        }
    }
}

/// The state at checkpoint `number`.
fn state(number: u64) -> State {
    let mut state = State::new();
    if number >= 1 {
        state.extend((0..KEYS).map(|n| (key(n), value(n, 1))));
    }
    if number >= 2 {
        (0..KEYS).filter(|n| n % 3 > 0).for_each(|n| drop(state.remove(&key(n))));
        state.get_mut(&key(0)).unwrap().extend_from_slice(b"more");
    }
    if number >= 3 {
        state.extend((KEYS..KEYS + 100).map(|n| (key(n), value(n, 3))));
    }
    state
}

/// Opens, compares, goes on with what is missing, and waits for a merge between the checkpoints.
async fn life(remote: Arc<dyn Remote>, offers: bool, known: Arc<Mutex<Known>>) {
    let engine = Engine::open(remote, options(offers)).await.unwrap();
    let client = engine.client();
    let number =
        engine.restored().and_then(|checkpoint| checkpoint.metadata.first().copied()).map_or(0, u64::from);
    {
        let known = known.lock().unwrap();
        assert!((known.acknowledged..=known.begun).contains(&number), "{number} restored: {known:?}");
    }
    assert!(common::scan_all(&client, 16, 1000).await == state(number), "the state of checkpoint {number}");
    for number in number + 1..=CHECKPOINTS {
        // Segments that went down by name during the load are no merges.
        let compactions = async || client.stats().await.unwrap().sum(|shard| shard.compactions);
        let before = compactions().await;
        write(&client, number).await;
        known.lock().unwrap().begun = number;
        client.checkpoint(vec![u8::try_from(number).unwrap()]).await.unwrap();
        known.lock().unwrap().acknowledged = number;
        if number == 2 {
            while compactions().await == before {
                aquifer_io::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    assert!(common::scan_all(&client, 16, 1000).await == state(CHECKPOINTS), "all of it");
    engine.close().await.unwrap();
    known.lock().unwrap().is_over = true;
}

async fn work(remote: Arc<dyn Remote>) {
    let options = WorkerOptions {
        memory_bytes: 8 << 20,
        poll: Duration::from_millis(20),
        beat: Duration::from_millis(200),
        ..WorkerOptions::default()
    };
    // Until the world ends.
    while let Err(error) = compact_store(Arc::clone(&remote), options.clone()).await {
        assert_eq!(error.kind(), aquifer::ErrorKind::Invalid, "no store yet, at most: {error}");
        aquifer_io::sleep(Duration::from_millis(10)).await;
    }
}

fn executor(name: &str) -> ExecutorOptions {
    ExecutorOptions { name: name.to_owned(), seed: 7, ..ExecutorOptions::default() }
}

/// The object at whose write somebody died, once that happened.
type Death = Arc<Mutex<Option<String>>>;

/// A handle whose owner dies at write number `at`.
fn mortal(remote: Arc<dyn Remote>, at: u64, last: Fault, death: Death) -> Arc<Faulty> {
    let mortal = Faulty::new(remote);
    let mut writes = 0;
    mortal.set(move |operation, name| {
        let mut death = death.lock().unwrap();
        if death.is_some() {
            return Fault::Dead;
        }
        writes += u64::from(operation.starts_with("put") || operation == "delete");
        if writes == at {
            *death = Some(name.to_owned());
            return last;
        }
        Fault::None
    });
    mortal
}

/// The store after a crash: sound, and a second life brings it to its end.
fn recover(dfs: &SimulatedDfs, seed: u64, known: &Arc<Mutex<Known>>) {
    let world = World::new(seed, WorldOptions::default());
    let (store, shared) = (dfs.clone(), Arc::clone(known));
    let driver = world.spawn_executor(executor("after"), move || async move {
        // A crash may have come before there was a store.
        if let Ok(report) = verify_store(store.remote(), VerifyOptions::default(), |_| {}).await {
            assert!(report.is_sound(), "{report:?}");
        }
        life(store.remote(), false, shared).await;
        let report = verify_store(store.remote(), VerifyOptions::default(), |_| {}).await.unwrap();
        assert!(report.is_sound() && report.segments > 0, "{report:?}");
    });
    world.run_for(Duration::from_secs(600));
    driver.join().unwrap();
    assert!(known.lock().unwrap().is_over);
}

/// Crashes at write number `at`, and says of which object; `None` if there are not so many.
fn crash_at(at: u64, last: Fault, with_worker: bool) -> Option<String> {
    let (dfs, known, death) = (dfs(at), Arc::new(Mutex::new(Known::default())), Death::default());
    let world = World::new(at, WorldOptions::default());
    let (store, shared, dies) = (dfs.clone(), Arc::clone(&known), Arc::clone(&death));
    // Owner and worker are on one machine here, so that it may be the write of either.
    drop(world.spawn_executor(executor("driver"), move || async move {
        let remote: Arc<dyn Remote> = mortal(store.remote(), at, last, dies);
        if with_worker {
            drop(aquifer_io::spawn_local(work(Arc::clone(&remote))));
        }
        life(remote, with_worker, shared).await;
    }));
    while death.lock().unwrap().is_none() {
        if known.lock().unwrap().is_over {
            return None;
        }
        world.run_for(Duration::from_millis(1));
    }
    // What is on its way may come to the store or not.
    world.run_for(Duration::from_millis(at % 3));
    drop(world.crash());
    recover(&dfs, at, &known);
    death.lock().unwrap().take()
}

/// How many of these objects have `part` in their names.
fn count(objects: &[String], part: &str) -> usize {
    objects.iter().filter(|object| object.contains(part)).count()
}

#[test]
fn the_owner_crashes_at_every_write_around_its_merge() {
    for last in [Fault::Dead, Fault::DeadAfter] {
        let crashes: Vec<_> = (1..).map_while(|at| crash_at(at, last, false)).collect();
        assert_eq!(count(&crashes, "/manifest/"), 4, "the opening's and each checkpoint's: {crashes:?}");
        assert!(count(&crashes, "pack/") >= 5, "three of checkpoints, two of the merge: {crashes:?}");
    }
}

#[test]
fn owner_and_worker_crash_at_every_write_around_a_merge_of_the_worker() {
    for last in [Fault::Dead, Fault::DeadAfter] {
        let crashes: Vec<_> = (1..).map_while(|at| crash_at(at, last, true)).collect();
        for part in ["/job", "/claim-0000", "/done"] {
            assert!(count(&crashes, part) >= 1, "{part}: {crashes:?}");
        }
        assert!(count(&crashes, "pack/") >= 5, "{crashes:?}");
    }
}

/// The worker alone dies at its write number `at`, of the object that is named; `None` if it does not write so often.
fn lose_worker_at(at: u64, last: Fault) -> Option<String> {
    let (dfs, known, death) = (dfs(at), Arc::new(Mutex::new(Known::default())), Death::default());
    let world = World::new(at, WorldOptions::default());
    let (store, dies) = (dfs.clone(), Arc::clone(&death));
    let worker = move || work(mortal(store.remote(), at, last, dies));
    drop(world.spawn_executor(executor("worker"), worker));
    let (store, shared) = (dfs.clone(), Arc::clone(&known));
    let owner = world.spawn_executor(executor("owner"), move || life(store.remote(), true, shared));
    let mut waited = 0;
    while !known.lock().unwrap().is_over {
        world.run_for(Duration::from_millis(50));
        waited += 1;
        assert!(waited < 2_000, "a dead worker blocks nobody: {:?}", known.lock().unwrap());
    }
    owner.join().unwrap();
    drop(world.crash());
    recover(&dfs, at, &known);
    death.lock().unwrap().take()
}

#[test]
fn a_worker_dies_at_every_write_and_the_owner_loses_nothing() {
    for last in [Fault::Dead, Fault::DeadAfter] {
        let deaths: Vec<_> = (1..).map_while(|at| lose_worker_at(at, last)).collect();
        for (part, least) in [("/claim-0000", 1), ("pack/", 2), ("/done", 1)] {
            assert!(count(&deaths, part) >= least, "{part}: {deaths:?}");
        }
    }
}
