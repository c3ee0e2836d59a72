//! Closing an engine while the DFS never answers: whoever waits hears of it at once, and nothing is waited for.
//!
//! How it was: `close` took six seconds while a batch or a snapshot waited for room, as the shard's loop looked up only when an upload
//! had failed.

use crate::common;
use crate::common::faults::{Fault, Faulty};
use crate::common::world::in_world;
use aquifer::{
    Client, Engine, ErrorKind, Expiry, KeyRange, MultiGetOptions, ScanOptions, WriteBatch, WriteWait,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

type Operation = Pin<Box<dyn Future<Output = Result<(), aquifer::Error>>>>;

/// All kinds of operations that can wait, by name.
fn operations(client: &Client) -> Vec<(&'static str, Operation)> {
    let mut batch = WriteBatch::new();
    batch.put(b"x", b"x").put(b"y", b"y");
    let with = |begin: fn(Client) -> Operation| begin(client.clone());
    vec![
        ("put", Box::pin(client.put(b"x", b"x"))),
        ("delete", Box::pin(client.delete(b"y"))),
        ("merge", Box::pin(client.merge(b"z", "append", b"x"))),
        ("get", with(|client| Box::pin(async move { client.get(b"cold").await.map(drop) }))),
        (
            "compare",
            with(|client| Box::pin(async move { client.put_if_absent(b"cold", b"x").await.map(drop) })),
        ),
        (
            "multi-get",
            with(|client| {
                Box::pin(
                    async move { client.multi_get([b"cold"], &MultiGetOptions::default()).await.map(drop) },
                )
            }),
        ),
        (
            "a shard's write",
            with(|client| {
                Box::pin(async move {
                    let put = |shard: aquifer::Shard| async move {
                        shard.put_with(b"x", b"x", Expiry::Never).await
                    };
                    client.run_on_shard(0, put).await?
                })
            }),
        ),
        (
            "a job",
            with(|client| Box::pin(async move { client.run_on_shard(0, |_| std::future::pending()).await })),
        ),
        ("batch", Box::pin(client.write(&batch))),
        ("delete_range", Box::pin(client.delete_range(&KeyRange::group(3)))),
        (
            "scan",
            with(|client| {
                Box::pin(async move {
                    client.scan(&KeyRange::group(0), &ScanOptions::default()).next().await.map(drop)
                })
            }),
        ),
        ("snapshot", with(|client| Box::pin(async move { client.snapshot().await.map(drop) }))),
        ("checkpoint", with(|client| Box::pin(async move { client.checkpoint(Vec::new()).await.map(drop) }))),
    ]
}

async fn closes_at_once(remote: Arc<Faulty>, is_full: bool, drops: bool) {
    let names: Vec<_> = {
        let engine = Engine::open(Arc::clone(&remote) as _, common::small(1)).await.unwrap();
        let names = operations(&engine.client()).into_iter().map(|(name, _)| name).collect();
        engine.close().await.unwrap();
        names
    };
    for (number, name) in names.into_iter().enumerate() {
        let engine = Engine::open(Arc::clone(&remote) as _, common::small(1)).await.unwrap();
        let client = engine.client();
        client.put(b"cold", b"value").await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        client.forget_memory().await.unwrap();
        remote.set(|_, _| Fault::Dead);
        let mut waiting = Vec::new();
        if is_full {
            waiting.push(common::fill_memory(&client).await);
            let stats = client.stats().await.unwrap();
            assert!(stats.shards.iter().all(|shard| shard.write_wait != WriteWait::None), "memory is full");
        }
        let (_, operation) = operations(&client).into_iter().nth(number).unwrap();
        let operation = aquifer_io::spawn_local(operation);
        aquifer_io::sleep(Duration::from_millis(100)).await;
        let begun = aquifer_io::now();
        if drops {
            drop(engine);
        } else {
            engine.close().await.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_millis(50), "{name}: close took {:?}", begun.elapsed());
        let mut closed = 0;
        for put in waiting {
            match put.await {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                    closed += 1;
                }
            }
        }
        assert!(!is_full || closed > 0);
        match operation.await.unwrap() {
            Ok(()) => assert!(!is_full, "{name} took effect without room"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{name}: {error}"),
        }
        assert!(
            begun.elapsed() < Duration::from_millis(100),
            "{name}: its caller waited {:?}",
            begun.elapsed()
        );
        remote.set(|_, _| Fault::None);
    }
}

#[test]
fn closing_is_prompt_whatever_waits_for_a_dfs_that_never_answers() {
    for is_full in [false, true] {
        in_world(move |remote| closes_at_once(remote, is_full, false));
    }
    in_world(move |remote| closes_at_once(remote, true, true));
}
