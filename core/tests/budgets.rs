//! Budgets of memory and disk changed while an engine is busy, in a simulated world: nothing that was written is lost or read wrongly, and
//! files never take more than the budget in force.

use aquifer::{Client, DiskOptions, Engine, ErrorKind, Options};
use aquifer_io::simulated::{DiskOperation, Effect, Fault, RunEnd, World, WorldOptions};
use aquifer_io::{ExecutorOptions, File, OpenOptions, random_u64, sleep, spawn_local};
use aquifer_remote::shape::{FaultRates, LatencyProfile};
use aquifer_remote::{RemoteOptions, ShapeOptions, SimulatedDfs, Timers, wrap};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const FOLDER: &str = "/local";
const SHARDS: usize = 2;
const KEYS: u64 = 1_500;
const MIB: u64 = 1 << 20;

fn options(memory_bytes: u64, disk_bytes: u64) -> Options {
    Options {
        key_groups: Some(16),
        shards: SHARDS,
        memory_bytes,
        disk: DiskOptions { bytes: disk_bytes, dir: Some(FOLDER.into()), ..DiskOptions::default() },
        seed: Some(9),
        ..Options::default()
    }
}

/// Runs `main` to its end in a world of its own, on a store that answers as an HDFS does.
fn in_world<Fut: Future<Output = ()> + 'static>(
    seed: u64,
    fault: Option<Fault>,
    main: impl FnOnce(std::sync::Arc<dyn aquifer_remote::Remote>) -> Fut + Send + 'static,
) {
    let shape = ShapeOptions {
        latency: LatencyProfile::Hdfs,
        bandwidth_bytes_per_s: 200 << 20,
        faults: FaultRates::each(0),
    };
    let dfs = SimulatedDfs::new(seed, &shape);
    let world = World::new(seed, WorldOptions { trace_bytes_max: 0, ..WorldOptions::default() });
    fault.into_iter().for_each(|fault| world.order_fault(fault));
    let executor = ExecutorOptions { seed, ..ExecutorOptions::default() };
    let driver = world.spawn_executor(executor, move || async move {
        let options = RemoteOptions {
            timers: Timers::Executor,
            seed: Some(seed),
            environment: false,
            ..RemoteOptions::default()
        };
        main(wrap(dfs.remote(), &options).unwrap().foreground).await;
    });
    assert_eq!(world.run_until_idle(), RunEnd::Idle);
    driver.join().unwrap();
}

/// Bytes of the files in the local folder.
async fn file_bytes() -> u64 {
    let mut bytes = 0;
    for shard in 0..SHARDS {
        let path = Path::new(FOLDER).join(format!("shard-{shard:04}.cache"));
        if let Ok(file) = File::open(&path, OpenOptions { read: true, ..OpenOptions::default() }).await {
            bytes += file.bytes().await.unwrap();
        }
    }
    bytes
}

type Model = BTreeMap<u64, Vec<u8>>;

fn value() -> Vec<u8> {
    let words = 1 + random_u64() % 300;
    (0..words).flat_map(|_| random_u64().to_le_bytes()).collect()
}

/// Random operations against a map, a few in flight, until `is_over`; how many.
async fn churn(client: &Client, model: &mut Model, is_over: impl Fn() -> bool) -> u64 {
    let mut operations = 0;
    while !is_over() {
        let mut writes = Vec::new();
        for _ in 0..8 {
            let key = random_u64() % KEYS;
            if random_u64().is_multiple_of(8) {
                model.remove(&key);
                writes.push(client.delete(&key.to_le_bytes()));
            } else {
                let value = value();
                writes.push(client.put(&key.to_le_bytes(), &value));
                model.insert(key, value);
            }
        }
        for write in writes {
            write.await.unwrap();
        }
        for _ in 0..8 {
            let key = random_u64() % KEYS;
            let found = client.get(&key.to_le_bytes()).await.unwrap();
            assert_eq!(found.as_deref(), model.get(&key).map(Vec::as_slice), "key {key}");
        }
        operations += 16;
        if operations % 4_096 == 0 {
            client.checkpoint(Vec::new()).await.unwrap();
        }
    }
    operations
}

async fn check_all(client: &Client, model: &Model) {
    for key in 0..KEYS {
        let found = client.get(&key.to_le_bytes()).await.unwrap();
        assert_eq!(found.as_deref(), model.get(&key).map(Vec::as_slice), "key {key}");
    }
}

/// What memtables and the memory tier hold, by their own account.
async fn memory_bytes(client: &Client) -> u64 {
    let stats = client.stats().await.unwrap();
    stats.sum(|shard| shard.memtable_bytes + shard.frozen_bytes + shard.cache.memory.bytes())
}

/// What the disk budget may be at this moment: while it is changed, the larger of the two.
#[derive(Default)]
struct InForce {
    disk_bytes: Cell<u64>,
    is_over: Cell<bool>,
    looks: Cell<u64>,
}

async fn watch(in_force: Rc<InForce>) {
    while !in_force.is_over.get() {
        let allowed = in_force.disk_bytes.get();
        let found = file_bytes().await;
        // A change that began meanwhile may have made the files larger.
        let allowed = allowed.max(in_force.disk_bytes.get());
        assert!(found <= allowed, "{found} bytes of files, {allowed} are allowed");
        in_force.looks.set(in_force.looks.get() + 1);
        sleep(Duration::from_micros(300)).await;
    }
}

#[test]
fn both_budgets_change_while_a_random_workload_runs() {
    for seed in 0..3 {
        in_world(seed, None, move |remote| async move {
            let in_force = Rc::new(InForce::default());
            in_force.disk_bytes.set(4 * MIB);
            let engine = Engine::open(remote, options(12 * MIB, 4 * MIB)).await.unwrap();
            let client = engine.client();
            let watched = spawn_local(watch(Rc::clone(&in_force)));
            let work = spawn_local({
                let (client, in_force) = (client.clone(), Rc::clone(&in_force));
                async move {
                    let mut model = Model::new();
                    let done = churn(&client, &mut model, || in_force.is_over.get()).await;
                    (model, done)
                }
            });
            let (mut shrunk, mut hits) = (0, 0);
            for round in 0..24_u64 {
                sleep(Duration::from_millis(random_u64() % 60)).await;
                let disk_bytes =
                    [0, 3, 1 + random_u64() % 6, 5][(round % 4) as usize] * MIB + random_u64() % 5_000;
                let disk_bytes = if round % 4 == 0 { 0 } else { disk_bytes };
                let before = in_force.disk_bytes.get();
                hits += client.stats().await.unwrap().sum(|shard| shard.cache.ssd.tier.hits());
                in_force.disk_bytes.set(before.max(disk_bytes));
                engine.set_disk_bytes(disk_bytes).await.unwrap();
                in_force.disk_bytes.set(disk_bytes);
                let found = file_bytes().await;
                assert!(found <= disk_bytes, "{found} bytes of files, {disk_bytes} are allowed");
                shrunk += u64::from(disk_bytes < before);
                let memory = [8, 12, 24, 9 + random_u64() % 20][(random_u64() % 4) as usize] * MIB;
                engine.set_memory_bytes(memory).await.unwrap();
                let taken = memory_bytes(&client).await;
                assert!(taken <= memory, "{taken} bytes, {memory} are allowed");
            }
            in_force.is_over.set(true);
            let (model, operations) = work.await.unwrap();
            watched.await.unwrap();
            // After all of that the tier still does what it is for.
            engine.set_disk_bytes(16 * MIB).await.unwrap();
            for _ in 0..3 {
                client.forget_memory().await.unwrap();
                check_all(&client, &model).await;
            }
            let stats = client.stats().await.unwrap();
            assert!(
                operations > 1_000 && shrunk >= 6 && in_force.looks.get() > 200 && hits > 0,
                "{operations} {shrunk} {} {hits}",
                in_force.looks.get()
            );
            assert!(stats.shards.iter().all(|shard| shard.cache.ssd.off_reason.is_none()), "{stats:?}");
            engine.close().await.unwrap();
        });
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    in_world(5, None, |remote| async move {
        let homeless = Options { disk: DiskOptions::default(), ..options(64 * MIB, 0) };
        let engine = Engine::open(remote.clone(), homeless).await.unwrap();
        let refused = engine.set_disk_bytes(MIB).await.unwrap_err();
        assert!(
            refused.kind() == ErrorKind::Invalid && refused.to_string().contains("disk.dir"),
            "{refused}"
        );
        engine.set_disk_bytes(0).await.unwrap();
        let refused = engine.set_memory_bytes(MIB).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        // The number that it names is enough.
        let text = refused.to_string();
        let needed: u64 = text.split("at least ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
        engine.set_memory_bytes(needed).await.unwrap();
        assert!(engine.set_memory_bytes(needed - MIB).await.is_err(), "much less is not: {text}");
        engine.close().await.unwrap();
        // Two engines in one folder: the second comes as far as it wants to use it.
        let first = Engine::open(remote.clone(), options(8 * MIB, 2 * MIB)).await.unwrap();
        let second = Engine::open(remote, options(8 * MIB, 0)).await.unwrap();
        let refused = second.set_disk_bytes(2 * MIB).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Local, "{refused}");
        first.close().await.unwrap();
        second.set_disk_bytes(2 * MIB).await.unwrap();
        second.close().await.unwrap();
    });
}

#[test]
fn a_tier_that_an_error_switched_off_gives_its_disk_back() {
    // Set to 0 after a failed write, the budget was kept by a file that nobody used any more.
    let fault =
        Fault { operation: DiskOperation::Write, path: None, skip: 5, times: 1, effect: Effect::Error };
    in_world(7, Some(fault), |remote| async move {
        let engine = Engine::open(remote, options(8 * MIB, 4 * MIB)).await.unwrap();
        let client = engine.client();
        let mut model = Model::new();
        let rounds = Cell::new(0);
        churn(&client, &mut model, || rounds.replace(rounds.get() + 1) == 300).await;
        client.forget_memory().await.unwrap();
        check_all(&client, &model).await;
        let stats = client.stats().await.unwrap();
        let off = stats.shards.iter().filter(|shard| shard.cache.ssd.off_reason.is_some()).count();
        assert_eq!(off, 1, "one write failed");
        assert!(file_bytes().await > 3 * MIB, "the file is still there");
        engine.set_disk_bytes(0).await.unwrap();
        assert_eq!(file_bytes().await, 0);
        // And a new budget begins anew.
        engine.set_disk_bytes(2 * MIB).await.unwrap();
        check_all(&client, &model).await;
        let stats = client.stats().await.unwrap();
        assert!(stats.shards.iter().all(|shard| shard.cache.ssd.off_reason.is_none()));
        engine.close().await.unwrap();
    });
}
