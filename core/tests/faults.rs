//! The DFS fails: lost answers, absence. Nothing is lost, nothing is counted twice, and the caller learns what to do.

use crate::common::faults::{Fault, Faulty};
use crate::common::{memory, small};
use aquifer::{DiskOptions, Engine, ErrorKind, Options};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

#[test]
fn a_lost_answer_to_the_manifest_swap_is_recognised_as_success() {
    let remote = Faulty::new(memory());
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), small(2)).await.unwrap();
        engine.client().put(b"key", b"value").await.unwrap();
        let lost = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&lost);
        remote.set(move |operation, name| {
            if operation == "put_if_absent" && name.contains("/manifest/") {
                counter.fetch_add(1, Ordering::SeqCst);
                return Fault::AnswerLost;
            }
            Fault::None
        });
        let info = engine.client().checkpoint(b"position".to_vec()).await.unwrap();
        assert_eq!(lost.load(Ordering::SeqCst), 1, "it did not take its own manifest for another writer's");
        assert_eq!(info.metadata, b"position");
        remote.set(|_, _| Fault::None);
        engine.client().checkpoint(b"position 2".to_vec()).await.unwrap();
    });
}

#[test]
fn a_lost_answer_while_claiming_the_epoch_does_not_claim_it_twice() {
    let remote = Faulty::new(memory());
    remote.set(|operation, _| if operation == "put_if_absent" { Fault::AnswerLost } else { Fault::None });
    // The probe needs to know for sure; a store that loses every answer cannot be proved safe.
    let refused = aquifer::block_on(Engine::open(remote.clone(), small(1))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    remote.set(|_, _| Fault::None);
    drop(aquifer::block_on(Engine::open(remote.clone(), small(1))).unwrap());
    remote.set(|operation, _| if operation == "put_if_absent" { Fault::AnswerLost } else { Fault::None });
    let engine = aquifer::block_on(Engine::open(remote.clone(), small(1))).unwrap();
    assert_eq!(engine.epoch(), 2);
}

#[test]
fn while_the_dfs_is_away_writes_stay_and_the_checkpoint_can_be_repeated() {
    let remote = Faulty::new(memory());
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), small(2)).await.unwrap();
        let client = engine.client();
        client.put(b"first", b"1").await.unwrap();
        client.checkpoint(b"1".to_vec()).await.unwrap();
        let away = Arc::new(AtomicBool::new(true));
        let is_away = Arc::clone(&away);
        remote.set(move |_, _| if is_away.load(Ordering::SeqCst) { Fault::Away } else { Fault::None });
        client.put(b"second", b"2").await.unwrap();
        let failed = client.checkpoint(b"2".to_vec()).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed}");
        assert_eq!(client.get(b"second").await.unwrap().as_deref(), Some(b"2".as_slice()), "still readable");
        away.store(false, Ordering::SeqCst);
        client.checkpoint(b"2 again".to_vec()).await.unwrap();
        drop(engine);
        let engine = Engine::open(remote.clone(), small(3)).await.unwrap();
        assert_eq!(engine.restored().unwrap().metadata, b"2 again");
        for (key, value) in [(b"first".as_slice(), b"1"), (b"second", b"2")] {
            assert_eq!(engine.client().get(key).await.unwrap().as_deref(), Some(value.as_slice()));
        }
    });
}

#[test]
fn a_checkpoint_that_fails_between_pack_and_manifest_is_invisible() {
    let remote = Faulty::new(memory());
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), small(2)).await.unwrap();
        let client = engine.client();
        client.put(b"key", b"old").await.unwrap();
        client.checkpoint(b"1".to_vec()).await.unwrap();
        client.put(b"key", b"new").await.unwrap();
        remote.set(|_, name| if name.contains("/manifest/") { Fault::Away } else { Fault::None });
        assert!(client.checkpoint(b"2".to_vec()).await.is_err());
        drop(engine);
        remote.set(|_, _| Fault::None);
        let engine = Engine::open(remote.clone(), small(2)).await.unwrap();
        assert_eq!(engine.restored().unwrap().metadata, b"1");
        assert_eq!(
            engine.client().get(b"key").await.unwrap().as_deref(),
            Some(b"old".as_slice()),
            "all of it, nothing newer"
        );
    });
}

#[test]
fn writes_wait_while_memory_is_full_and_go_on_when_the_dfs_is_back() {
    let remote = Faulty::new(memory());
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), small(1)).await.unwrap();
        let client = engine.client();
        let away = Arc::new(AtomicBool::new(true));
        let tried = Arc::new(AtomicU32::new(0));
        let (is_away, tries) = (Arc::clone(&away), Arc::clone(&tried));
        remote.set(move |operation, _| {
            tries.fetch_add(u32::from(operation == "put"), Ordering::SeqCst);
            // Comes back once the flush has met its absence a few times.
            if is_away.load(Ordering::SeqCst) && tries.load(Ordering::SeqCst) < 4 {
                Fault::Away
            } else {
                Fault::None
            }
        });
        // Four times what memtables may hold: these puts cannot all be taken before a flush succeeds.
        let value = vec![7u8; 10_000];
        let puts: Vec<_> = (0..100u32).map(|n| client.put(&n.to_le_bytes(), &value)).collect();
        for put in puts {
            put.await
                .or_else(|error| if error.kind() == ErrorKind::Busy { Ok(()) } else { Err(error) })
                .unwrap();
        }
        for n in 0..200u32 {
            client.put(&n.to_le_bytes(), &value).await.unwrap();
        }
        assert!(tried.load(Ordering::SeqCst) >= 4);
        let stats = client.stats().await.unwrap();
        assert!(stats.sum(|shard| shard.write_stalls) > 0);
        for n in 0..200u32 {
            assert_eq!(client.get(&n.to_le_bytes()).await.unwrap().as_deref(), Some(value.as_slice()));
        }
    });
}

#[test]
fn what_the_ssd_holds_is_read_while_the_dfs_is_away() {
    let remote = Faulty::new(memory());
    let folder = tempfile::tempdir().unwrap();
    let options = || Options {
        disk: DiskOptions {
            bytes: 32 * 1024 * 1024,
            dir: Some(folder.path().to_owned()),
            ..DiskOptions::default()
        },
        ..small(2)
    };
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), options()).await.unwrap();
        let client = engine.client();
        for n in 0..2_000u32 {
            client.put(&n.to_le_bytes(), &(n + 1).to_le_bytes()).await.unwrap();
            // What nobody reads beside its writes is not written through.
            client.get(&n.to_le_bytes()).await.unwrap();
        }
        client.checkpoint(Vec::new()).await.unwrap();
        remote.set(|_, _| Fault::Away);
        // Once from the blocks that the flush wrote through, once more past the memory tier.
        for _ in 0..2 {
            client.forget_memory().await.unwrap();
            for n in 0..2_000u32 {
                let found = client.get(&n.to_le_bytes()).await.unwrap();
                assert_eq!(found.as_deref(), Some((n + 1).to_le_bytes().as_slice()));
            }
        }
        let stats = client.stats().await.unwrap();
        assert_eq!(stats.sum(|shard| shard.cache.loads.fetches), 0);
        assert!(stats.sum(|shard| shard.cache.ssd.tier.hits()) > 0);
        drop(engine);
        remote.set(|_, _| Fault::None);
        // Without its disk the engine reads the same from the DFS.
        let engine = Engine::open(remote.clone(), small(3)).await.unwrap();
        for n in 0..2_000u32 {
            let found = engine.client().get(&n.to_le_bytes()).await.unwrap();
            assert_eq!(found.as_deref(), Some((n + 1).to_le_bytes().as_slice()));
        }
    });
}

#[test]
fn one_folder_serves_one_engine_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options {
        disk: DiskOptions {
            bytes: 1024 * 1024,
            dir: Some(folder.path().to_owned()),
            ..DiskOptions::default()
        },
        ..small(1)
    };
    aquifer::block_on(async {
        let first = Engine::open(memory(), options()).await.unwrap();
        let refused = Engine::open(memory(), options()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Local, "{refused}");
        drop(first);
        Engine::open(memory(), options()).await.unwrap();
        let not_a_folder = folder.path().join("file");
        std::fs::write(&not_a_folder, b"").unwrap();
        let mut options = options();
        options.disk.dir = Some(not_a_folder.clone());
        let refused = Engine::open(memory(), options).await.unwrap_err();
        assert!(refused.to_string().contains(not_a_folder.to_str().unwrap()), "{refused}");
    });
}
