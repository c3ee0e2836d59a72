//! A compaction is under way when its engine closes, or when the DFS goes away. In simulated worlds, so that how long something takes is
//! exact, and how much of it has to fail is chosen.

use crate::common;
use crate::common::faults::{Fault, Faulty};
use aquifer::{
    Client, CompactionBudget, CompactionOptions, Engine, Options, VerifyOptions, WriteWait, verify_store,
};
use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_remote::shape::LatencyProfile;
use aquifer_remote::{Remote, ShapeOptions, SimulatedDfs};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const KEYS: u32 = 1_500;

type State = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(n: u32) -> Vec<u8> {
    format!("key-{n:05}").into_bytes()
}

/// Bytes that do not compress.
fn value(n: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(n));
    (0..700).map(|_| random.u8(..)).collect()
}

/// Runs `test` in a world of its own, on a store with a latency and a handle that can fail.
fn in_world<Fut: Future<Output = ()> + 'static>(test: impl FnOnce(Arc<Faulty>) -> Fut + Send + 'static) {
    let dfs =
        SimulatedDfs::new(1, &ShapeOptions { latency: LatencyProfile::Hdfs, ..ShapeOptions::default() });
    let world = World::new(1, WorldOptions::default());
    let executor = ExecutorOptions { name: "test".to_owned(), seed: 1, ..ExecutorOptions::default() };
    let driver = world.spawn_executor(executor, move || test(Faulty::new(dfs.remote())));
    world.run_for(Duration::from_secs(3_600));
    driver.join().unwrap();
}

/// So slow that the first of several outputs is long up when the last is not begun.
fn slow() -> Options {
    let compaction = CompactionBudget { upload_bytes_per_s: Some(64 * 1024), ..CompactionBudget::default() };
    Options {
        compaction: CompactionOptions { budget: compaction, ..CompactionOptions::default() },
        ..common::small(1)
    }
}

/// Puts, a checkpoint, deletions of more than half, a checkpoint: a merge of everything is due at once.
async fn make_garbage(client: &Client) -> State {
    for n in 0..KEYS {
        client.put(&key(n), &value(n)).await.unwrap();
    }
    client.checkpoint(Vec::new()).await.unwrap();
    for n in (0..KEYS).filter(|n| n % 3 > 0) {
        client.delete(&key(n)).await.unwrap();
    }
    client.checkpoint(Vec::new()).await.unwrap();
    (0..KEYS).filter(|n| n % 3 == 0).map(|n| (key(n), value(n))).collect()
}

async fn compactions(client: &Client) -> u64 {
    client.stats().await.unwrap().sum(|shard| shard.compactions)
}

/// Until a merge has put an output up and is not done yet.
async fn in_the_middle_of_a_merge(client: &Client) {
    let seen = async || {
        let stats = client.stats().await.unwrap();
        (stats.sum(|shard| shard.compactions), stats.sum(|shard| shard.compacted_bytes))
    };
    let (mut merges, mut bytes) = seen().await;
    let begun = aquifer_io::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(600), "no merge of several outputs in ten minutes");
        aquifer_io::sleep(Duration::from_millis(10)).await;
        let (merges_now, bytes_now) = seen().await;
        if merges_now == merges && bytes_now > bytes {
            return;
        }
        (merges, bytes) = (merges_now, bytes_now);
    }
}

async fn merged(client: &Client) -> u64 {
    client.stats().await.unwrap().sum(|shard| shard.compacted_bytes)
}

async fn settle(client: &Client) {
    while compactions(client).await == 0 {
        aquifer_io::sleep(Duration::from_millis(100)).await;
    }
}

async fn check(client: &Client, state: &State) {
    assert!(common::scan_all(client, 16, 1000).await == *state, "reads as written");
}

async fn check_sound(remote: Arc<dyn Remote>) {
    let report = verify_store(remote, VerifyOptions::default(), |_| {}).await.unwrap();
    assert!(report.is_sound() && report.entries > 0, "{report:?}");
}

#[test]
fn closing_during_a_merge_takes_no_longer_and_loses_nothing() {
    in_world(|remote| async move {
        let packs = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&packs);
        remote.set(move |operation, name| {
            seen.fetch_add(u64::from(operation == "put" && name.starts_with("pack/")), Ordering::SeqCst);
            Fault::None
        });
        let engine = Engine::open(remote.clone(), slow()).await.unwrap();
        let client = engine.client();
        let state = make_garbage(&client).await;
        in_the_middle_of_a_merge(&client).await;
        let begun = aquifer_io::now();
        engine.close().await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
        let closed = packs.load(Ordering::SeqCst);
        aquifer_io::sleep(Duration::from_secs(60)).await;
        assert_eq!(packs.load(Ordering::SeqCst), closed, "nothing goes on behind a closed engine");
        check_sound(remote.clone()).await;

        let engine = Engine::open(remote.clone(), common::small(1)).await.unwrap();
        check(&engine.client(), &state).await;
        // Deletions that a checkpoint holds are not due at an opening: one more write brings the merge about.
        engine.client().put(b"one more", b"value").await.unwrap();
        engine.client().checkpoint(Vec::new()).await.unwrap();
        settle(&engine.client()).await;
        engine.client().delete(b"one more").await.unwrap();
        engine.client().checkpoint(Vec::new()).await.unwrap();
        check(&engine.client(), &state).await;
        engine.close().await.unwrap();
        check_sound(remote).await;
    });
}

#[test]
fn while_the_dfs_is_away_during_a_merge_writes_wait_and_say_why_and_cached_reads_go_on() {
    in_world(|remote| async move {
        let is_away = Arc::new(AtomicBool::new(false));
        let away = Arc::clone(&is_away);
        remote.set(move |_, _| if away.load(Ordering::SeqCst) { Fault::Away } else { Fault::None });
        let engine = Engine::open(remote.clone(), slow()).await.unwrap();
        let client = engine.client();
        let mut state = make_garbage(&client).await;
        in_the_middle_of_a_merge(&client).await;
        // In memory from here on, whatever happens.
        let cached = key(3);
        assert_eq!(client.get(&cached).await.unwrap(), Some(value(3).into()));
        is_away.store(true, Ordering::SeqCst);
        let merged_before = merged(&client).await;

        // More than memtables may hold: the last ones wait.
        let new = KEYS..KEYS + 1_500;
        state.extend(new.clone().map(|n| (key(n), value(n))));
        let (acknowledged, writer) = (Rc::new(Cell::new(0)), client.clone());
        let count = Rc::clone(&acknowledged);
        let puts = aquifer_io::spawn_local(async move {
            for n in new {
                writer.put(&key(n), &value(n)).await.unwrap();
                count.set(count.get() + 1);
            }
        });
        let mut waited = 0;
        loop {
            let stats = client.stats().await.unwrap();
            if stats.shards[0].write_wait == WriteWait::StoreAway {
                break;
            }
            aquifer_io::sleep(Duration::from_millis(100)).await;
            waited += 1;
            assert!(waited < 600, "writes wait for the store and say so: {:?}", stats.shards[0]);
        }
        let before = acknowledged.get();
        aquifer_io::sleep(Duration::from_secs(30)).await;
        assert!(
            before == acknowledged.get() && before < 1_500,
            "not acknowledged without room for it: {before}"
        );
        assert_eq!(client.get(&cached).await.unwrap(), Some(value(3).into()), "what is cached is read");
        assert_eq!(merged(&client).await, merged_before, "the merge waits as well");

        is_away.store(false, Ordering::SeqCst);
        puts.await.unwrap();
        settle(&client).await;
        client.checkpoint(Vec::new()).await.unwrap();
        check(&client, &state).await;
        let wait = client.stats().await.unwrap().shards[0].write_wait;
        assert!(matches!(wait, WriteWait::None | WriteWait::Paced), "the store is back: {wait:?}");
        engine.close().await.unwrap();
        check_sound(remote.clone()).await;
        let engine = Engine::open(remote, common::small(2)).await.unwrap();
        check(&engine.client(), &state).await;
        engine.close().await.unwrap();
    });
}
