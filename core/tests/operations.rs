//! Operations as callers see them: order without awaiting, bounds, code on the shard's thread, compaction.

use crate::common::{memory, scan_all, small};
use aquifer::{DiskOptions, Engine, ErrorKind, FromMemory, KEY_BYTES_MAX, Options};
use std::collections::BTreeMap;
use std::sync::Arc;

#[test]
fn operations_on_a_key_take_effect_in_the_order_of_the_calls_awaited_or_not() {
    let remote = memory();
    aquifer::block_on(async {
        let engine = Engine::open(Arc::clone(&remote), small(2)).await.unwrap();
        engine.client().put(b"hot", &0u64.to_le_bytes()).await.unwrap();
        engine.client().checkpoint(Vec::new()).await.unwrap();
        drop(engine);
        // Reopened: the first reads wait for the DFS while later writes are taken at once.
        let engine = Engine::open(remote, small(2)).await.unwrap();
        let client = engine.client();
        let mut pending = Vec::new();
        for n in 0..300u64 {
            let before = client.get(b"hot");
            let put = client.put(b"hot", &(n + 1).to_le_bytes());
            let after = client.get(b"hot");
            pending.push((n, before, put, after));
        }
        for (n, before, put, after) in pending {
            assert_eq!(before.await.unwrap().as_deref(), Some(n.to_le_bytes().as_slice()));
            put.await.unwrap();
            assert_eq!(after.await.unwrap().as_deref(), Some((n + 1).to_le_bytes().as_slice()));
        }
    });
}

#[test]
fn a_checkpoint_holds_what_was_called_before_it_and_nothing_after() {
    let remote = memory();
    aquifer::block_on(async {
        let engine = Engine::open(Arc::clone(&remote), small(4)).await.unwrap();
        let client = engine.client();
        let before: Vec<_> = (0..500u32).map(|n| client.put(&n.to_le_bytes(), b"before")).collect();
        let checkpoint = client.checkpoint(Vec::new());
        let after: Vec<_> = (0..1_000u32).map(|n| client.put(&n.to_le_bytes(), b"after")).collect();
        checkpoint.await.unwrap();
        for put in before.into_iter().chain(after) {
            put.await.unwrap();
        }
        drop(engine);
        let engine = Engine::open(remote, small(3)).await.unwrap();
        let all = scan_all(&engine.client(), 16, 100).await;
        assert_eq!(all.len(), 500);
        assert!(all.values().all(|value| value == b"before"));
    });
}

#[test]
fn one_checkpoint_runs_at_a_time() {
    aquifer::block_on(async {
        let engine = Engine::open(memory(), small(2)).await.unwrap();
        let client = engine.client();
        client.put(b"key", b"value").await.unwrap();
        let first = client.checkpoint(Vec::new());
        let second = client.checkpoint(Vec::new()).await;
        first.await.unwrap();
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Busy);
        client.checkpoint(Vec::new()).await.unwrap();
    });
}

#[test]
fn what_is_out_of_bounds_is_refused_and_says_by_how_much() {
    aquifer::block_on(async {
        let remote = memory();
        let engine = Engine::open(Arc::clone(&remote), small(1)).await.unwrap();
        let client = engine.client();
        let long = vec![1u8; KEY_BYTES_MAX + 1];
        for error in [
            client.put(&long, b"").await.unwrap_err(),
            client.get(&long).await.unwrap_err(),
            client.put(b"k", &vec![0; 3_000_000]).await.unwrap_err(),
            client.checkpoint(vec![0; 70_000]).await.unwrap_err(),
            client.scan_group(16, None, 10).await.unwrap_err(),
            client.scan_group(0, None, 0).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
        let longest = vec![1u8; KEY_BYTES_MAX];
        client.put(&longest, b"value").await.unwrap();
        client.put(b"", b"the empty key is a key").await.unwrap();
        client.checkpoint(vec![0; 65_536]).await.unwrap();
        drop(engine);
        let other = Options { key_groups: Some(32), ..small(1) };
        let error = Engine::open(Arc::clone(&remote), other).await.unwrap_err();
        assert!(error.to_string().contains("16 key groups") && error.kind() == ErrorKind::Invalid, "{error}");
        let any = Options { key_groups: None, ..small(1) };
        let engine = Engine::open(remote, any).await.unwrap();
        assert_eq!(engine.client().get(&longest).await.unwrap().as_deref(), Some(b"value".as_slice()));
        assert_eq!(
            engine.client().get(b"").await.unwrap().as_deref(),
            Some(b"the empty key is a key".as_slice())
        );
    });
}

#[test]
fn code_runs_on_the_thread_of_the_shard_that_owns_the_key() {
    aquifer::block_on(async {
        let engine = Engine::open(memory(), small(3)).await.unwrap();
        let client = engine.client();
        let shard = client.shard_of(b"counter");
        let total = client.run_on_shard(shard, |shard| async move {
            for _ in 0..100 {
                let value =
                    shard.get(b"counter").await?.map_or(0, |value| value.first().copied().unwrap_or(0));
                shard.put(b"counter", &[value + 1]).await?;
            }
            let FromMemory::Known(now) = shard.try_get(b"counter")? else {
                panic!("a fresh write is in memory")
            };
            Ok::<_, aquifer::Error>(now)
        });
        assert_eq!(total.await.unwrap().unwrap().as_deref(), Some([100u8].as_slice()));
        assert_eq!(client.get(b"counter").await.unwrap().as_deref(), Some([100u8].as_slice()));
        let elsewhere = (shard + 1) % 3;
        let refused =
            client.run_on_shard(elsewhere, |shard| async move { shard.get(b"counter").await }).await.unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(client.run_on_shard(9, |_| async {}).await.unwrap_err().kind(), ErrorKind::Invalid);
    });
}

#[test]
fn many_flushes_are_merged_into_few_runs_and_deleted_keys_vanish_from_the_dfs() {
    let remote = memory();
    aquifer::block_on(async {
        let engine = Engine::open(Arc::clone(&remote), small(1)).await.unwrap();
        let client = engine.client();
        let mut model = BTreeMap::new();
        for round in 0..40u8 {
            for n in 0..200u32 {
                let key = format!("{:05}", (n * 37 + u32::from(round) * 11) % 3_000).into_bytes();
                let value = vec![round; 200];
                client.put(&key, &value).await.unwrap();
                model.insert(key, value);
            }
            client.checkpoint(Vec::new()).await.unwrap();
        }
        let merged = async |client: &aquifer::Client| loop {
            let stats = client.stats().await.unwrap();
            if stats.sum(|shard| shard.runs) <= 16 {
                return stats;
            }
            client.get(b"00000").await.unwrap();
        };
        let stats = merged(&client).await;
        assert!(stats.sum(|shard| shard.compactions) >= 3, "{stats:?}");
        assert_eq!(stats.sum(|shard| shard.compaction_errors), 0);
        assert_eq!(scan_all(&client, 16, 500).await, model);
        client.checkpoint(Vec::new()).await.unwrap();
        drop(engine);

        let engine = Engine::open(Arc::clone(&remote), small(2)).await.unwrap();
        let client = engine.client();
        assert_eq!(scan_all(&client, 16, 500).await, model);
        for key in model.keys() {
            client.delete(key).await.unwrap();
        }
        assert_eq!(scan_all(&client, 16, 500).await, BTreeMap::new());
        client.checkpoint(Vec::new()).await.unwrap();
        drop(engine);
        let engine = Engine::open(remote, small(1)).await.unwrap();
        assert_eq!(scan_all(&engine.client(), 16, 500).await, BTreeMap::new());
    });
}

/// Opening failed at the lock of a folder that did not exist, although the options promise to create it.
#[test]
fn the_local_folder_is_created_if_absent() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b");
    let options = Options {
        disk: DiskOptions { bytes: 16 << 20, dir: Some(folder.clone()), ..DiskOptions::default() },
        ..small(1)
    };
    aquifer::block_on(async { Engine::open(memory(), options).await.unwrap().close().await.unwrap() });
    assert!(folder.is_dir());
}
