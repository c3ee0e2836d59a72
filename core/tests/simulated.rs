//! The whole engine in a simulated world, on a simulated store: crashes at any moment, and one seed replays all of it.

use aquifer::{Client, Engine, Options};
use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_remote::shape::{FaultRates, LatencyProfile};
use aquifer_remote::{RemoteOptions, ShapeOptions, SimulatedDfs, Timers, wrap};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KEY_GROUPS: u16 = 16;
const KEYS: u64 = 200;

type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the test knows of the store, over all lives of the machine.
#[derive(Default)]
struct Known {
    /// The state at each checkpoint that was begun, by its number.
    begun: BTreeMap<u64, State>,
    /// The newest checkpoint that returned.
    acknowledged: u64,
    /// Checkpoints that returned, in all lives.
    checkpoints: u64,
    /// Lives that found a store to restore.
    restored: u64,
}

fn options(seed: u64) -> Options {
    Options {
        key_groups: Some(KEY_GROUPS),
        shards: 2,
        memory_bytes: 8 << 20,
        seed: Some(seed),
        ..Options::default()
    }
}

async fn scan(client: &Client) -> State {
    let mut all = State::new();
    for group in 0..KEY_GROUPS {
        let mut after: Option<bytes::Bytes> = None;
        loop {
            let page = client.scan_group(group, after.as_deref(), 50).await.unwrap();
            all.extend(page.entries.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    all
}

/// One life of the machine: restore, compare, then write and checkpoint until the power fails.
async fn life(dfs: SimulatedDfs, known: Arc<Mutex<Known>>, seed: u64) {
    let remote_options = RemoteOptions {
        timers: Timers::Executor,
        seed: Some(seed),
        attempt_timeout: Duration::from_millis(100),
        environment: false,
        ..RemoteOptions::default()
    };
    let remote = wrap(dfs.remote(), &remote_options).unwrap().foreground;
    let engine = Engine::open(remote, options(seed)).await.unwrap();
    assert_eq!(engine.backend(), aquifer_io::Backend::Simulated);
    let client = engine.client();
    let found = scan(&client).await;
    let mut number = match engine.restored() {
        Some(checkpoint) if !checkpoint.metadata.is_empty() => {
            u64::from_le_bytes(checkpoint.metadata.as_slice().try_into().unwrap())
        }
        _ => 0,
    };
    let mut state = {
        let mut known = known.lock().unwrap();
        assert!(number >= known.acknowledged, "{number} restored, {} acknowledged", known.acknowledged);
        let state = known.begun.get(&number).cloned().unwrap_or_default();
        assert!(found == state, "the state of checkpoint {number}: all of it and nothing newer");
        known.restored += u64::from(number > 0);
        // Of a later one that was begun nothing may be left: its number is used again.
        known.begun.retain(|&begun, _| begun <= number);
        state
    };
    loop {
        for _ in 0..20 {
            let key = format!("key-{}", aquifer_io::random_u64() % KEYS).into_bytes();
            if aquifer_io::random_u64().is_multiple_of(4) {
                client.delete(&key).await.unwrap();
                state.remove(&key);
            } else {
                let value = aquifer_io::random_u64().to_le_bytes().repeat(20);
                client.put(&key, &value).await.unwrap();
                state.insert(key, value);
            }
        }
        let key = format!("key-{}", aquifer_io::random_u64() % KEYS).into_bytes();
        assert_eq!(client.get(&key).await.unwrap().as_deref(), state.get(&key).map(Vec::as_slice));
        number += 1;
        known.lock().unwrap().begun.insert(number, state.clone());
        client.checkpoint(number.to_le_bytes().to_vec()).await.unwrap();
        let mut known = known.lock().unwrap();
        known.acknowledged = number;
        known.checkpoints += 1;
    }
}

/// What a run left behind: hashes of all that happened, and how much it was.
#[derive(Debug, PartialEq, Eq)]
struct Course {
    worlds: Vec<u64>,
    store: u64,
    requests: u64,
    checkpoints: u64,
    restored: u64,
}

fn run(seed: u64) -> Course {
    let shape = ShapeOptions {
        latency: LatencyProfile::Hdfs,
        bandwidth_bytes_per_s: 50 << 20,
        faults: FaultRates::each(10_000),
    };
    let dfs = SimulatedDfs::new(seed, &shape);
    let known = Arc::new(Mutex::new(Known::default()));
    let mut worlds = Vec::new();
    for number in 0..8_u64 {
        let world =
            World::new(seed * 100 + number, WorldOptions { trace_bytes_max: 0, ..WorldOptions::default() });
        let executor =
            ExecutorOptions { name: "driver".to_owned(), seed: number, ..ExecutorOptions::default() };
        let (store, shared) = (dfs.clone(), Arc::clone(&known));
        let driver = world.spawn_executor(executor, move || life(store, shared, seed + number));
        // The power fails at a moment that the seed chooses: while it opens, writes, checkpoints.
        world.run_for(Duration::from_millis(20 + (seed * 7 + number) * 7_919 % 2_500));
        assert!(!driver.has_ended(), "{:?}", driver.join());
        worlds.push(world.trace_hash());
        drop(world.crash());
    }
    let known = known.lock().unwrap();
    Course {
        worlds,
        store: dfs.trace_hash(),
        requests: dfs.requests(),
        checkpoints: known.checkpoints,
        restored: known.restored,
    }
}

#[test]
fn crashes_lose_nothing_that_was_acknowledged_and_one_seed_replays_them() {
    for seed in 0..2 {
        let course = run(seed);
        assert!(course.checkpoints > 100 && course.restored >= 4 && course.requests > 1_000, "{course:?}");
        assert_eq!(course, run(seed));
    }
}
