//! Segments of which nothing is alive go from the manifest without being read: what a range deletion took as a whole, and what has
//! expired on a store that nobody uses any more.

use crate::common;
use crate::common::faults::{Fault, Faulty};
use aquifer::{Engine, Expiry, KeyRange, Options};
use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_remote::{Remote, ShapeOptions, SimulatedDfs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const KEY_GROUPS: u16 = 16;

#[test]
fn what_a_range_deletion_takes_is_dropped_unread_and_a_snapshot_still_reads_it() {
    let store = Faulty::new(common::memory());
    let read = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&read);
    store.set(move |operation, name| {
        let reads_segments = operation.starts_with("get") && name.starts_with("pack/");
        seen.fetch_add(u64::from(reads_segments), Ordering::AcqRel);
        Fault::None
    });
    let remote: Arc<dyn Remote> = store;
    aquifer::block_on(async {
        let engine = Engine::open(Arc::clone(&remote), common::small(1)).await.unwrap();
        let client = engine.client();
        for round in 0..3_u8 {
            for n in 0..1000_u32 {
                client.put(&n.to_le_bytes(), &[round; 100]).await.unwrap();
            }
            client.checkpoint(Vec::new()).await.unwrap();
        }
        let snapshot = client.snapshot().await.unwrap();
        let segments = async || client.stats().await.unwrap().sum(|shard| shard.segments);
        assert_eq!(segments().await, 3);
        for group in 0..KEY_GROUPS {
            client.delete_range(&KeyRange::group(group)).await.unwrap();
        }
        client.put(b"later", b"kept").await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        while segments().await > 1 {
            aquifer_io::yield_now().await;
        }
        assert_eq!(read.load(Ordering::Acquire), 0, "segments were read");
        let found = client.get_at(&snapshot, &7_u32.to_le_bytes()).await.unwrap().unwrap();
        assert_eq!(*found, [2; 100]);
        let all = common::scan_all(&client, KEY_GROUPS, 100).await;
        assert_eq!(all.into_iter().collect::<Vec<_>>(), [(b"later".to_vec(), b"kept".to_vec())]);
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
        let engine = Engine::open(remote, common::small(2)).await.unwrap();
        assert_eq!(common::scan_all(&engine.client(), KEY_GROUPS, 100).await.len(), 1);
        engine.close().await.unwrap();
    });
}

/// Expired segments stayed until the next write: an idle shard never looked at the clock again.
#[test]
fn what_has_expired_goes_from_a_store_that_nobody_uses() {
    let world = World::new(1, WorldOptions { trace_bytes_max: 0, ..WorldOptions::default() });
    let executor = ExecutorOptions { name: "driver".to_owned(), seed: 1, ..ExecutorOptions::default() };
    let driver = world.spawn_executor(executor, move || async move {
        let options = Options { key_groups: Some(KEY_GROUPS), ..common::small(1) };
        let dfs = SimulatedDfs::new(1, &ShapeOptions::default());
        let engine = Engine::open(dfs.remote(), options).await.unwrap();
        let client = engine.client();
        for minutes in [10, 20] {
            let expiry = Expiry::After(Duration::from_secs(60 * minutes));
            for n in 0..100_u32 {
                client.put_with(&n.to_le_bytes(), b"passing", expiry).await.unwrap();
            }
            client.checkpoint(Vec::new()).await.unwrap();
        }
        let segments = async || client.stats().await.unwrap().sum(|shard| shard.segments);
        for (minutes, expected) in [(9, 2), (2, 1), (10, 0)] {
            aquifer_io::sleep(Duration::from_secs(60 * minutes)).await;
            assert_eq!(segments().await, expected, "{minutes} minutes later");
        }
        let requests = dfs.requests();
        aquifer_io::sleep(Duration::from_secs(24 * 60 * 60)).await;
        assert_eq!(dfs.requests(), requests, "an idle shard asks for nothing");
        engine.close().await.unwrap();
    });
    world.run_for(Duration::from_secs(2 * 24 * 60 * 60));
    assert!(driver.has_ended(), "it hangs");
    driver.join().unwrap();
}
