//! Whose time decides what has expired, and what merge operators do: the store says it, and openings with other ideas are refused.

use crate::common;
use aquifer::{
    Client, Engine, ErrorKind, Expiry, MergeOperator, Options, Reader, ReaderOptions, TtlTime, WorkerOptions,
    compact_store,
};
use aquifer_remote::Remote;
use std::sync::Arc;
use std::time::Duration;

fn options(ttl_time: TtlTime) -> Options {
    Options { ttl_time, ..common::small(2) }
}

async fn open(remote: &Arc<dyn Remote>, ttl_time: TtlTime) -> aquifer::Result<(Engine, Client)> {
    let engine = Engine::open(Arc::clone(remote), options(ttl_time)).await?;
    let client = engine.client();
    Ok((engine, client))
}

fn key(n: u32) -> Vec<u8> {
    format!("k{n:04}").into_bytes()
}

async fn count(client: &Client) -> usize {
    let mut left = 0;
    for n in 0..1000 {
        left += usize::from(client.get(&key(n)).await.unwrap().is_some());
    }
    left
}

/// 1,000 entries that expire at 100,000 in event time; opened once with the default options, which took the machine's clock: all were gone, and
/// after some merges for good.
#[test]
fn a_store_of_event_time_stays_one() {
    let remote = common::memory();
    aquifer::block_on(async {
        let (engine, client) = open(&remote, TtlTime::Event).await.unwrap();
        client.advance_event_time(1000).unwrap();
        for n in 0..1000 {
            client.put_with(&key(n), b"v", Expiry::At(100_000)).await.unwrap();
        }
        let info = client.checkpoint(Vec::new()).await.unwrap();
        assert_eq!(info.event_time_ms, Some(1000));
        engine.close().await.unwrap();

        let error = open(&remote, TtlTime::Processing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.to_string().contains("event time") && error.to_string().contains("AsStored"),
            "{error}"
        );

        let (engine, client) = open(&remote, TtlTime::default()).await.unwrap();
        assert_eq!(engine.restored().unwrap().event_time_ms, Some(1000));
        assert_eq!(client.event_time_ms(), Some(1000), "it goes on where the checkpoint was");
        assert_eq!(count(&client).await, 1000);
        for round in 0..12u32 {
            for n in 0..2000u32 {
                client.put(format!("x{round}-{n}").as_bytes(), &[7; 100]).await.unwrap();
            }
            client.checkpoint(Vec::new()).await.unwrap();
        }
        wait_for_compaction(&client).await;
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();

        let (engine, client) = open(&remote, TtlTime::Event).await.unwrap();
        assert_eq!(count(&client).await, 1000);
        client.advance_event_time(500).unwrap();
        assert_eq!(client.event_time_ms(), Some(1000), "it never goes back");
        let error = client.put_with(b"late", b"v", Expiry::At(1000)).await.unwrap_err();
        assert!(error.to_string().contains("now, 1000 ms"), "{error}");
        client.advance_event_time(100_000).unwrap();
        assert_eq!(count(&client).await, 0);
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
        let (engine, client) = open(&remote, TtlTime::AsStored).await.unwrap();
        assert_eq!(count(&client).await, 0, "what had expired does not come back with a restart");
        engine.close().await.unwrap();
    });
}

async fn wait_for_compaction(client: &Client) {
    for _ in 0..1_000_000 {
        let stats = client.stats().await.unwrap();
        if stats.shards.iter().all(|shard| shard.compactions > 0) {
            return;
        }
        std::thread::yield_now();
    }
    assert!(client.stats().await.unwrap().shards.iter().all(|shard| shard.compactions > 0));
}

/// A reader without a moment of its own took the machine's clock, by which everything of event time had expired.
#[test]
fn a_reader_takes_the_stores_time() {
    let remote = common::memory();
    aquifer::block_on(async {
        let (engine, client) = open(&remote, TtlTime::Event).await.unwrap();
        client.advance_event_time(1000).unwrap();
        client.put_with(b"k", b"v", Expiry::At(2000)).await.unwrap();
        let first = client.checkpoint(Vec::new()).await.unwrap().id;
        client.advance_event_time(3000).unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        for (checkpoint, now_ms, found) in [
            (Some(first), None, true),
            (None, None, false),
            // Of the newest checkpoint a compaction may have removed it by now, as it may what has expired.
            (Some(first), Some(1999), true),
            (Some(first), Some(2000), false),
        ] {
            let options = ReaderOptions { checkpoint, now_ms, ..ReaderOptions::default() };
            let reader = Reader::open(remote.clone(), options).await.unwrap();
            assert_eq!(reader.get(b"k").await.unwrap().is_some(), found, "{checkpoint:?} at {now_ms:?}");
            reader.close().await.unwrap();
        }
        engine.close().await.unwrap();
    });
}

/// Without event time the machine's clock decides, in a new store as in one that says so; event time is refused in words.
#[test]
fn a_new_store_takes_the_machines_clock() {
    let remote = common::memory();
    aquifer::block_on(async {
        let (engine, client) = open(&remote, TtlTime::AsStored).await.unwrap();
        client.put_with(b"k", b"v", Expiry::After(Duration::from_secs(3600))).await.unwrap();
        assert!(client.get(b"k").await.unwrap().is_some());
        assert_eq!(client.event_time_ms(), None);
        let error = client.advance_event_time(5).unwrap_err().to_string();
        assert!(error.contains("do not follow event time"), "{error}");
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
        let error = open(&remote, TtlTime::Event).await.unwrap_err().to_string();
        assert!(error.contains("processing time"), "{error}");
        open(&remote, TtlTime::Processing).await.unwrap().0.close().await.unwrap();
    });
}

/// Keeps the longer of two, of equal ones by its version the older or the newer.
struct Longer(u32);

impl MergeOperator for Longer {
    fn name(&self) -> &'static str {
        "longer"
    }

    fn version(&self) -> u32 {
        self.0
    }

    fn check(&self, _operand: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn merge(&self, older: &[u8], newer: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let takes_newer = newer.len() > older.len() || self.0 > 1 && newer.len() == older.len();
        out.extend_from_slice(if takes_newer { newer } else { older });
        Ok(())
    }
}

/// An operator that was changed under its name changed what was stored, and nobody noticed.
#[test]
fn a_merge_operator_of_another_version_is_refused() {
    let remote = common::memory();
    let with = |version: Option<u32>| {
        version
            .map(|version| Arc::new(Longer(version)) as Arc<dyn MergeOperator>)
            .into_iter()
            .collect::<Vec<_>>()
    };
    let options = |version| Options { merge_operators: with(version), ..common::small(1) };
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), options(Some(1))).await.unwrap();
        engine.client().put(b"k", b"ab").await.unwrap();
        engine.client().checkpoint(Vec::new()).await.unwrap();
        engine.client().merge(b"k", "longer", b"abc").await.unwrap();
        engine.client().checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();

        let mut errors = vec![Engine::open(remote.clone(), options(Some(2))).await.unwrap_err()];
        let reader = |version| ReaderOptions { merge_operators: with(version), ..ReaderOptions::default() };
        errors.push(Reader::open(remote.clone(), reader(Some(2))).await.unwrap_err());
        let worker = |version| WorkerOptions {
            merge_operators: with(version),
            idle_max: Some(Duration::ZERO),
            ..WorkerOptions::default()
        };
        errors.push(compact_store(remote.clone(), worker(Some(2))).await.unwrap_err());
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("\"longer\", version 2"), "{error}");
        }
        compact_store(remote.clone(), worker(Some(1))).await.unwrap();

        // Without it the store opens, and the key that needs it says so.
        let engine = Engine::open(remote.clone(), options(None)).await.unwrap();
        let error = engine.client().get(b"k").await.unwrap_err();
        engine.client().merge(b"k", "append", b"x").await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        engine.close().await.unwrap();
        let engine = Engine::open(remote.clone(), options(Some(1))).await.unwrap();
        assert_eq!(engine.client().get(b"k").await.unwrap().as_deref(), Some(b"abc".as_slice()));
        engine.close().await.unwrap();
    });
}
