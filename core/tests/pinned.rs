//! A pinned disk tier under an engine, in simulated worlds: everything is local when it is open, and stays so.

use crate::common::faults::{Fault, Faulty};
use aquifer::{Client, DiskOptions, Engine, ErrorKind, KeyRange, OpenProgress, Options, SsdMode};
use aquifer_io::simulated::{
    DiskImage, DiskOperation, Effect, Fault as DiskFault, RunEnd, World, WorldOptions,
};
use aquifer_io::{ExecutorOptions, File, OpenOptions, random_u64, sleep};
use aquifer_remote::shape::{FaultRates, LatencyProfile};
use aquifer_remote::{Remote, RemoteOptions, ShapeOptions, SimulatedDfs, Timers, wrap};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FOLDER: &str = "/local";
const SHARDS: usize = 2;
const KEYS: u64 = 4_000;
const MIB: u64 = 1 << 20;
const DISK_BYTES: u64 = 48 * MIB;

/// The DFS, which outlives the machine, and how often its packs were read.
#[derive(Clone)]
struct Store {
    dfs: SimulatedDfs,
    pack_reads: Arc<AtomicU64>,
}

impl Store {
    fn new(seed: u64) -> Self {
        let shape = ShapeOptions {
            latency: LatencyProfile::Hdfs,
            bandwidth_bytes_per_s: 200 << 20,
            faults: FaultRates::each(0),
        };
        Self { dfs: SimulatedDfs::new(seed, &shape), pack_reads: Arc::default() }
    }

    fn remote(&self) -> Arc<dyn Remote> {
        let options = RemoteOptions {
            timers: Timers::Executor,
            seed: Some(1),
            environment: false,
            ..RemoteOptions::default()
        };
        let counted = Faulty::new(wrap(self.dfs.remote(), &options).unwrap().foreground);
        let reads = Arc::clone(&self.pack_reads);
        counted.set(move |operation, name| {
            if operation.starts_with("get") && name.starts_with("pack/") {
                reads.fetch_add(1, Ordering::Relaxed);
            }
            Fault::None
        });
        counted
    }

    fn pack_reads(&self) -> u64 {
        self.pack_reads.load(Ordering::Relaxed)
    }
}

/// Runs `main` to its end on the disk that `image` holds; the disk afterwards.
fn in_world<Fut: Future<Output = ()> + 'static>(
    seed: u64,
    image: DiskImage,
    main: impl FnOnce() -> Fut + Send + 'static,
) -> DiskImage {
    let world = World::new(seed, WorldOptions { trace_bytes_max: 0, image, ..WorldOptions::default() });
    let driver = world.spawn_executor(ExecutorOptions { seed, ..ExecutorOptions::default() }, main);
    assert_eq!(world.run_until_idle(), RunEnd::Idle);
    driver.join().unwrap();
    world.disk_image()
}

fn remote_only() -> Options {
    Options {
        key_groups: Some(16),
        shards: SHARDS,
        memory_bytes: 8 * MIB,
        seed: Some(9),
        ..Options::default()
    }
}

type Heard = Arc<Mutex<Vec<OpenProgress>>>;

fn pinned(disk_bytes: u64) -> (Options, Heard) {
    let heard = Heard::default();
    let note = Arc::clone(&heard);
    let options = Options {
        disk: DiskOptions {
            bytes: disk_bytes,
            mode: SsdMode::Pinned,
            dir: Some(FOLDER.into()),
            on_open: Some(Arc::new(move |progress| note.lock().unwrap().push(progress))),
            ..DiskOptions::default()
        },
        ..remote_only()
    };
    (options, heard)
}

/// What was heard rises, and ends at the total; which that is.
fn check_progress(heard: &Heard) -> u64 {
    let heard = heard.lock().unwrap();
    assert!(heard.windows(2).all(|pair| pair[0].done_bytes <= pair[1].done_bytes), "{heard:?}");
    assert!(heard.iter().all(|progress| progress.total_bytes == heard[0].total_bytes), "{heard:?}");
    let last = heard.last().unwrap();
    assert_eq!(last.done_bytes, last.total_bytes);
    last.total_bytes
}

type Model = BTreeMap<u64, Vec<u8>>;

fn value() -> Vec<u8> {
    let words = 1 + random_u64() % 120;
    (0..words).flat_map(|_| random_u64().to_le_bytes()).collect()
}

async fn put(client: &Client, model: &mut Model, keys: impl Iterator<Item = u64>) {
    for key in keys {
        let value = value();
        client.put(&key.to_le_bytes(), &value).await.unwrap();
        model.insert(key, value);
    }
}

async fn check_all(client: &Client, model: &Model) {
    for key in 0..KEYS {
        let found = client.get(&key.to_le_bytes()).await.unwrap();
        assert_eq!(found.as_deref(), model.get(&key).map(Vec::as_slice), "key {key}");
    }
}

async fn is_all_local(client: &Client) -> bool {
    client.stats().await.unwrap().is_all_local()
}

/// Waits until nothing moves any more.
async fn rest(store: &Store) {
    let mut before = u64::MAX;
    while before != store.dfs.requests() {
        before = store.dfs.requests();
        sleep(Duration::from_secs(1)).await;
    }
}

async fn file_bytes() -> u64 {
    let mut bytes = 0;
    for shard in 0..SHARDS {
        let path = Path::new(FOLDER).join(format!("shard-{shard:04}.cache"));
        let file = File::open(&path, OpenOptions { read: true, ..OpenOptions::default() }).await.unwrap();
        bytes += file.bytes().await.unwrap();
    }
    bytes
}

/// A store with a state of some megabytes, in several segments.
fn filled(store: &Store) -> Model {
    let (to, from) = std::sync::mpsc::channel();
    let store = store.clone();
    drop(in_world(1, DiskImage::default(), move || async move {
        let mut model = Model::new();
        let engine = Engine::open(store.remote(), remote_only()).await.unwrap();
        let client = engine.client();
        for round in 0..4 {
            put(&client, &mut model, (0..KEYS).filter(|key| key % 4 != round)).await;
            client.checkpoint(Vec::new()).await.unwrap();
        }
        rest(&store).await;
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
        to.send(model).unwrap();
    }));
    from.recv().unwrap()
}

#[test]
fn once_open_no_read_goes_to_the_dfs_and_a_restart_fetches_nothing() {
    let store = Store::new(1);
    let model = filled(&store);
    drop(in_world(2, DiskImage::default(), move || async move {
        let (options, heard) = pinned(DISK_BYTES);
        let engine = Engine::open(store.remote(), options).await.unwrap();
        let total = check_progress(&heard);
        assert!(total > 2 * MIB && heard.lock().unwrap().len() > 10, "{total}");
        let client = engine.client();
        let stats = client.stats().await.unwrap();
        assert_eq!(stats.sum(|shard| shard.pinned_bytes), total);
        assert!(stats.is_all_local() && stats.sum(|shard| shard.not_local_bytes) == 0);
        let fetched = store.pack_reads();
        assert!(fetched > 0);
        check_all(&client, &model).await;
        client.forget_memory().await.unwrap();
        check_all(&client, &model).await;
        assert_eq!(store.pack_reads(), fetched, "every read was local");
        engine.close().await.unwrap();
        let (options, heard) = pinned(DISK_BYTES);
        let engine = Engine::open(store.remote(), options).await.unwrap();
        assert_eq!(check_progress(&heard), total);
        check_all(&engine.client(), &model).await;
        assert_eq!(store.pack_reads(), fetched, "all of it was there");
        engine.close().await.unwrap();
    }));
}

#[test]
fn too_small_a_budget_says_what_is_needed_and_that_is_enough() {
    let store = Store::new(2);
    let model = filled(&store);
    drop(in_world(3, DiskImage::default(), move || async move {
        let (options, _) = pinned(2 * MIB);
        let refused = Engine::open(store.remote(), options).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        let text = refused.to_string();
        let needed = text.split(" are needed at least").next().unwrap().rsplit(' ').next().unwrap();
        let needed: u64 = needed.parse().unwrap();
        let (options, _) = pinned(needed - SHARDS as u64);
        assert!(Engine::open(store.remote(), options).await.is_err(), "a little less is not: {text}");
        let (options, heard) = pinned(needed);
        let engine = Engine::open(store.remote(), options).await.unwrap();
        check_progress(&heard);
        let client = engine.client();
        assert!(is_all_local(&client).await);
        let fetched = store.pack_reads();
        check_all(&client, &model).await;
        assert_eq!(store.pack_reads(), fetched);
        assert!(file_bytes().await <= needed);
        engine.close().await.unwrap();
        let nothing = pinned(0).0.validate().unwrap_err().to_string();
        assert!(nothing.contains("disk.bytes is 0"), "{nothing}");
    }));
}

#[test]
fn everything_stays_local_through_overwrites_compactions_and_range_deletions() {
    let store = Store::new(3);
    let mut model = filled(&store);
    drop(in_world(4, DiskImage::default(), move || async move {
        let (options, _) = pinned(DISK_BYTES);
        let engine = Engine::open(store.remote(), options).await.unwrap();
        let client = engine.client();
        let mut compactions = 0;
        for round in 0..12_u64 {
            let snapshot = client.snapshot().await.unwrap();
            put(&client, &mut model, (0..KEYS).filter(|key| (key + round) % 3 > 0)).await;
            let group = u16::try_from(round % 16).unwrap();
            client.delete_range(&KeyRange::group(group)).await.unwrap();
            model.retain(|key, _| client.key_group(&key.to_le_bytes()) != group);
            client.checkpoint(Vec::new()).await.unwrap();
            drop(snapshot);
            if round % 4 == 3 {
                rest(&store).await;
                let stats = client.stats().await.unwrap();
                assert!(stats.is_all_local(), "{stats:?}");
                client.forget_memory().await.unwrap();
                let fetched = store.pack_reads();
                check_all(&client, &model).await;
                assert_eq!(store.pack_reads(), fetched, "round {round}: every read was local");
                assert!(file_bytes().await <= DISK_BYTES);
                // What nobody needs any more has left: what is there is what is pinned, its rounding and headers.
                let there = stats.sum(|shard| shard.cache.ssd.tier.bytes());
                let pinned = stats.sum(|shard| shard.pinned_bytes);
                assert!(there >= pinned && there < pinned * 3 / 2, "{there} bytes there for {pinned}");
                compactions = stats.sum(|shard| shard.compactions);
            }
        }
        assert!(compactions > 0);
        engine.close().await.unwrap();
    }));
}

#[test]
fn a_crash_in_the_middle_of_opening_costs_nothing_but_time() {
    let recovered = Arc::new(AtomicU64::new(0));
    for seed in 0..6 {
        let recovered_in_all = Arc::clone(&recovered);
        let store = Store::new(4);
        let model = filled(&store);
        let whole = store.pack_reads();
        let image = with_files(&store);
        let world = World::new(seed, WorldOptions { trace_bytes_max: 0, image, ..WorldOptions::default() });
        let (options, heard) = pinned(DISK_BYTES);
        let first = store.clone();
        let driver = world.spawn_executor(
            ExecutorOptions { seed, ..ExecutorOptions::default() },
            move || async move {
                let engine = Engine::open(first.remote(), options).await.unwrap();
                sleep(Duration::from_secs(60)).await;
                drop(engine);
            },
        );
        // Up to a part of the way that the seed chooses.
        let is_there = |heard: &Heard| {
            let heard = heard.lock().unwrap();
            heard.last().is_some_and(|last| last.done_bytes > last.total_bytes / 7 * (seed + 1))
        };
        for _ in 0..100_000 {
            if is_there(&heard) {
                break;
            }
            world.run_for(Duration::from_micros(100));
        }
        assert!(is_there(&heard) && !driver.has_ended());
        let image = world.crash();
        let before = store.pack_reads() - whole;
        drop(in_world(seed + 10, image, move || async move {
            let (options, heard) = pinned(DISK_BYTES);
            let engine = Engine::open(store.remote(), options).await.unwrap();
            check_progress(&heard);
            let fetched = store.pack_reads();
            let client = engine.client();
            assert!(before > 0 && is_all_local(&client).await);
            let stats = client.stats().await.unwrap();
            recovered_in_all
                .fetch_add(stats.sum(|shard| shard.cache.ssd.recovered_entries), Ordering::Relaxed);
            check_all(&client, &model).await;
            assert_eq!(store.pack_reads(), fetched);
            engine.close().await.unwrap();
        }));
    }
    assert!(recovered.load(Ordering::Relaxed) > 1_000, "what was local before the crash is there");
}

/// A disk that has the files, for good and with nothing in them: names that were never synced may be gone after a crash.
fn with_files(store: &Store) -> DiskImage {
    let store = store.clone();
    in_world(5, DiskImage::default(), move || async move {
        let mut options = pinned(DISK_BYTES).0;
        options.disk.mode = SsdMode::BestEffort;
        let engine = Engine::open(store.remote(), options).await.unwrap();
        engine.close().await.unwrap();
    })
}

#[test]
fn what_was_unpinned_before_a_crash_does_not_stay_for_ever() {
    // Removals of pinned blocks are written down nowhere: a crash brings them back.
    let store = Store::new(8);
    let mut model = filled(&store);
    let (to, from) = std::sync::mpsc::channel();
    let image = with_files(&store);
    let world = World::new(9, WorldOptions { trace_bytes_max: 0, image, ..WorldOptions::default() });
    let first = store.clone();
    let driver =
        world.spawn_executor(ExecutorOptions { seed: 9, ..ExecutorOptions::default() }, move || async move {
            let (options, _) = pinned(DISK_BYTES);
            let engine = Engine::open(first.remote(), options).await.unwrap();
            let client = engine.client();
            for group in 0..12 {
                client.delete_range(&KeyRange::group(group)).await.unwrap();
                model.retain(|key, _| client.key_group(&key.to_le_bytes()) != group);
            }
            put(&client, &mut model, 0..KEYS / 4).await;
            client.checkpoint(Vec::new()).await.unwrap();
            rest(&first).await;
            client.checkpoint(Vec::new()).await.unwrap();
            to.send(model).unwrap();
            sleep(Duration::from_secs(3_600)).await;
            drop(engine);
        });
    let model = loop {
        world.run_for(Duration::from_millis(10));
        if let Ok(model) = from.try_recv() {
            break model;
        }
        assert!(!driver.has_ended());
    };
    let image = world.crash();
    let whole = {
        let (before, store) = (store.pack_reads(), store.clone());
        let opened = store.clone();
        drop(in_world(11, DiskImage::default(), move || async move {
            let engine = Engine::open(opened.remote(), pinned(DISK_BYTES).0).await.unwrap();
            engine.close().await.unwrap();
        }));
        store.pack_reads() - before
    };
    drop(in_world(10, image, move || async move {
        let (options, heard) = pinned(DISK_BYTES);
        let before = store.pack_reads();
        let engine = Engine::open(store.remote(), options).await.unwrap();
        check_progress(&heard);
        let client = engine.client();
        let stats = client.stats().await.unwrap();
        let recovered = stats.sum(|shard| shard.cache.ssd.recovered_entries);
        let left = stats.sum(|shard| shard.cache.ssd.tier.data.entries + shard.cache.ssd.tier.meta.entries);
        assert!(recovered > left * 3 / 2, "{recovered} entries came back, {left} are left");
        let there = stats.sum(|shard| shard.cache.ssd.tier.bytes());
        let pinned = stats.sum(|shard| shard.pinned_bytes);
        assert!(there >= pinned && there < pinned * 3 / 2, "{there} bytes there for {pinned}");
        let again = store.pack_reads() - before;
        assert!(again < whole / 2, "only what the crash took is fetched again: {again} of {whole}");
        let fetched = store.pack_reads();
        check_all(&client, &model).await;
        assert_eq!(store.pack_reads(), fetched);
        engine.close().await.unwrap();
    }));
}

#[test]
fn an_opening_that_is_given_up_ends_and_leaves_nothing_locked() {
    let store = Store::new(5);
    let model = filled(&store);
    drop(in_world(6, DiskImage::default(), move || async move {
        for wait_us in [10, 3_000, 9_000, 20_000] {
            let (options, _) = pinned(DISK_BYTES);
            let opening = Engine::open(store.remote(), options);
            let pause = sleep(Duration::from_micros(wait_us));
            futures_util::pin_mut!(opening, pause);
            drop(futures_util::future::select(opening, pause).await);
        }
        let (options, heard) = pinned(DISK_BYTES);
        let engine = Engine::open(store.remote(), options).await.unwrap();
        check_progress(&heard);
        check_all(&engine.client(), &model).await;
        engine.close().await.unwrap();
    }));
}

#[test]
fn a_state_that_outgrows_the_disk_is_read_from_the_dfs_and_said_to_be() {
    let store = Store::new(6);
    let mut model = filled(&store);
    drop(in_world(7, DiskImage::default(), move || async move {
        let (options, _) = pinned(DISK_BYTES);
        let engine = Engine::open(store.remote(), options).await.unwrap();
        let client = engine.client();
        // Smaller than the state: nothing fails.
        engine.set_disk_bytes(2 * MIB).await.unwrap();
        put(&client, &mut model, 0..KEYS).await;
        client.checkpoint(Vec::new()).await.unwrap();
        rest(&store).await;
        let stats = client.stats().await.unwrap();
        assert!(!stats.is_all_local() && stats.sum(|shard| shard.not_local_bytes) > 0, "{stats:?}");
        assert!(file_bytes().await <= 2 * MIB);
        client.forget_memory().await.unwrap();
        check_all(&client, &model).await;
        engine.set_disk_bytes(0).await.unwrap();
        let stats = client.stats().await.unwrap();
        assert_eq!(stats.sum(|shard| shard.not_local_bytes), stats.sum(|shard| shard.pinned_bytes));
        // And with room for it all of it comes back.
        engine.set_disk_bytes(DISK_BYTES).await.unwrap();
        for _ in 0..1_000 {
            if is_all_local(&client).await {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        client.forget_memory().await.unwrap();
        let fetched = store.pack_reads();
        check_all(&client, &model).await;
        assert!(is_all_local(&client).await && store.pack_reads() == fetched);
        engine.close().await.unwrap();
    }));
}

#[test]
fn a_disk_that_fails_switches_the_tier_off_and_that_is_said() {
    for (operation, effect, skip) in [
        (DiskOperation::Write, Effect::Error, 20),
        (DiskOperation::Write, Effect::NoSpace, 2),
        (DiskOperation::Space, Effect::NoSpace, 0),
    ] {
        let store = Store::new(7);
        let mut model = filled(&store);
        let world = World::new(8, WorldOptions { trace_bytes_max: 0, ..WorldOptions::default() });
        world.order_fault(DiskFault { operation, path: None, skip, times: u64::MAX, effect });
        let driver = world.spawn_executor(
            ExecutorOptions { seed: 8, ..ExecutorOptions::default() },
            move || async move {
                let (options, heard) = pinned(DISK_BYTES);
                let engine = Engine::open(store.remote(), options).await.unwrap();
                check_progress(&heard);
                let client = engine.client();
                put(&client, &mut model, 0..KEYS).await;
                client.checkpoint(Vec::new()).await.unwrap();
                check_all(&client, &model).await;
                let stats = client.stats().await.unwrap();
                assert!(!stats.is_all_local());
                assert_eq!(stats.sum(|shard| shard.not_local_bytes), stats.sum(|shard| shard.pinned_bytes));
                assert!(stats.shards.iter().all(|shard| shard.cache.ssd.off_reason.is_some()));
                engine.close().await.unwrap();
            },
        );
        world.run_until_idle();
        driver.join().unwrap();
    }
}
