//! Every future of the interface, dropped at each of its await points: what comes after works, and nothing is held on to.
//!
//! How it was: a `Scan::next()` that was dropped once (as `select!` does) had pinned a snapshot that its shard then let go; the next call said
//! that the snapshot was another engine's.

use crate::common;
use crate::common::faults::Faulty;
use crate::common::world::in_world;
use aquifer::{
    Client, DiskOptions, Engine, Expiry, Key, KeyRange, MultiGetOptions, Options, Reader, ReaderOptions,
    Scan, ScanOptions, Shard, VerifyOptions, WorkerOptions, WriteBatch, compact_store, compact_store_until,
    verify_store,
};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Polls a future so many times, each time that it is woken, and drops it. Its output, if it was done by then.
async fn polled<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = times;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Drops a future after no poll, one, two, and so on, until it comes to its end; after each `check`.
async fn dropped_at_each_await<T, Fut: Future<Output = T>>(
    mut begin: impl FnMut() -> Fut,
    mut check: impl AsyncFnMut(usize),
) -> T {
    for times in 0..10_000 {
        let output = polled(times, begin()).await;
        check(times).await;
        if let Some(output) = output {
            return output;
        }
    }
    unreachable!("it never ends");
}

const GROUP: u16 = 3;

fn key(name: &[u8]) -> Key<'_> {
    Key::in_group(GROUP, name)
}

async fn prepared(remote: &Arc<Faulty>, options: Options) -> Engine {
    let engine = Engine::open(Arc::clone(remote) as _, options).await.unwrap();
    let client = engine.client();
    for n in 0..40_u32 {
        client.put(key(format!("k{n:02}").as_bytes()), &[7; 500]).await.unwrap();
    }
    client.checkpoint(Vec::new()).await.unwrap();
    engine
}

/// Whatever was dropped before, all works and nothing is held.
async fn check(client: &Client) {
    client.put(key(b"after"), b"1").await.unwrap();
    client.forget_memory().await.unwrap();
    assert_eq!(client.get(key(b"after")).await.unwrap().as_deref(), Some(b"1".as_slice()));
    assert_eq!(client.get(key(b"k07")).await.unwrap().as_deref(), Some([7; 500].as_slice()));
    let snapshot = client.snapshot().await.unwrap();
    let mut scan = client.scan(
        &KeyRange::group(GROUP),
        &ScanOptions { page_entries: 7, snapshot: Some(&snapshot), ..ScanOptions::default() },
    );
    let mut entries = 0;
    while scan.next().await.unwrap().is_some() {
        entries += 1;
    }
    assert!(entries >= 41);
    drop((scan, snapshot));
    let stats = client.stats().await.unwrap();
    assert_eq!(stats.sum(|shard| shard.snapshots), 0, "snapshots are held");
    assert_eq!(stats.sum(|shard| shard.waiting), 0, "operations wait");
    client.forget_memory().await.unwrap();
}

type Begun = Pin<Box<dyn Future<Output = ()>>>;
type Named<T> = (&'static str, fn(T) -> Begun);

/// Every operation of a client that is a future.
fn of_client() -> Vec<Named<Client>> {
    vec![
        ("put", |client| Box::pin(async move { client.put(key(b"new"), b"x").await.unwrap() })),
        ("put_with", |client| {
            Box::pin(async move {
                let expiry = Expiry::After(Duration::from_secs(3600));
                client.put_with(key(b"new"), b"x", expiry).await.unwrap();
            })
        }),
        ("delete", |client| Box::pin(async move { client.delete(key(b"new")).await.unwrap() })),
        ("merge", |client| Box::pin(async move { client.merge(key(b"m"), "append", b"x").await.unwrap() })),
        ("get", |client| Box::pin(async move { drop(client.get(key(b"k01")).await.unwrap().unwrap()) })),
        ("get_at", |client| {
            Box::pin(async move {
                let snapshot = client.snapshot().await.unwrap();
                drop(client.get_at(&snapshot, key(b"k01")).await.unwrap().unwrap());
            })
        }),
        ("compare_and_set", |client| {
            Box::pin(async move { drop(client.compare_and_set(key(b"k01"), None, None).await.unwrap()) })
        }),
        ("multi_get", |client| {
            Box::pin(async move {
                let keys = [key(b"k01"), key(b"k30"), key(b"none")];
                let timeout = Some(Duration::from_secs(9));
                let options = MultiGetOptions { timeout, ..MultiGetOptions::default() };
                drop(client.multi_get(keys, &options).await.unwrap());
            })
        }),
        ("write", |client| {
            Box::pin(async move {
                let mut batch = WriteBatch::new();
                batch.put(key(b"new"), b"y").delete(key(b"other"));
                client.write(&batch).await.unwrap();
            })
        }),
        ("delete_range", |client| {
            Box::pin(async move { client.delete_range(&KeyRange::group(9)).await.unwrap() })
        }),
        ("scan_group", |client| {
            Box::pin(async move { drop(client.scan_group(GROUP, None, 9).await.unwrap()) })
        }),
        ("scan", |client| {
            Box::pin(async move {
                let options = ScanOptions { page_entries: 9, ..ScanOptions::default() };
                let mut scan = client.scan(&KeyRange::group(GROUP), &options);
                while scan.next().await.unwrap().is_some() {}
            })
        }),
        ("snapshot", |client| Box::pin(async move { drop(client.snapshot().await.unwrap()) })),
        ("stats", |client| Box::pin(async move { drop(client.stats().await.unwrap()) })),
        ("forget_memory", |client| Box::pin(async move { client.forget_memory().await.unwrap() })),
        ("run_on_shard", |client| {
            Box::pin(async move {
                let shard = client.shard_of(key(b"k01"));
                client.run_on_shard(shard, |_| aquifer_io::sleep(Duration::from_millis(1))).await.unwrap();
            })
        }),
    ]
}

/// Every operation of a shard that is a future.
fn of_shard() -> Vec<Named<Shard>> {
    vec![
        ("get", |shard| Box::pin(async move { drop(shard.get(key(b"k01")).await.unwrap().unwrap()) })),
        ("multi_get", |shard| {
            Box::pin(async move {
                let keys = [key(b"k01"), key(b"k30"), key(b"none")];
                let timeout = Some(Duration::from_secs(9));
                let options = MultiGetOptions { timeout, ..MultiGetOptions::default() };
                drop(shard.multi_get(keys, &options).await.unwrap());
            })
        }),
        ("put", |shard| Box::pin(async move { shard.put(key(b"new"), b"x").await.unwrap() })),
        ("put_with", |shard| {
            Box::pin(async move { shard.put_with(key(b"new"), b"x", Expiry::Never).await.unwrap() })
        }),
        ("delete", |shard| Box::pin(async move { shard.delete(key(b"new")).await.unwrap() })),
        ("merge", |shard| Box::pin(async move { shard.merge(key(b"m"), "append", b"x").await.unwrap() })),
        ("delete_range", |shard| {
            Box::pin(async move { shard.delete_range(&KeyRange::group(2)).await.unwrap() })
        }),
        ("write", |shard| {
            Box::pin(async move {
                let mut batch = WriteBatch::new();
                batch.put(key(b"new"), b"y");
                shard.write(&batch).await.unwrap();
            })
        }),
        ("compare_and_set", |shard| {
            Box::pin(async move { drop(shard.compare_and_set(key(b"k01"), None, None).await.unwrap()) })
        }),
        ("scan_page", |shard| {
            Box::pin(async move {
                drop(shard.scan_page(&KeyRange::group(GROUP), &ScanOptions::default()).await.unwrap());
            })
        }),
    ]
}

#[test]
fn operations_of_a_client_are_dropped_anywhere() {
    in_world(|remote| async move {
        let engine = prepared(&remote, common::small(2)).await;
        let client = engine.client();
        for (name, begin) in of_client() {
            println!("{name}");
            dropped_at_each_await(|| begin(client.clone()), async |_| check(&client).await).await;
        }
        engine.close().await.unwrap();
    });
}

#[test]
fn operations_of_a_shard_are_dropped_anywhere() {
    in_world(|remote| async move {
        let engine = prepared(&remote, common::small(1)).await;
        let client = engine.client();
        for (name, begin) in of_shard() {
            println!("{name}");
            for times in 0..1_000 {
                let job = move |shard: Shard| async move { polled(times, begin(shard)).await.is_some() };
                let is_done = client.run_on_shard(0, job).await.unwrap();
                check(&client).await;
                if is_done {
                    break;
                }
            }
        }
        engine.close().await.unwrap();
    });
}

/// Writes that wait for room, dropped while they wait.
#[test]
fn writes_that_wait_for_room_are_dropped_and_not_written() {
    use crate::common::faults::Fault;
    in_world(|remote| async move {
        let engine = prepared(&remote, common::small(1)).await;
        let client = engine.client();
        remote.set(|operation, _| if operation == "put" { Fault::Away } else { Fault::None });
        let waiting = common::fill_memory(&client).await;
        let job = |shard: Shard| async move {
            let second = Duration::from_secs(1);
            let put = aquifer_io::timeout(second, shard.put(key(b"dropped"), b"x")).await.ok();
            let mut batch = WriteBatch::new();
            batch.put(key(b"dropped"), b"x");
            (put, aquifer_io::timeout(second, shard.write(&batch)).await.ok())
        };
        let (put, batch) = client.run_on_shard(0, job).await.unwrap();
        assert!(put.is_none() && batch.is_none(), "there was no room");
        remote.set(|_, _| Fault::None);
        waiting.await.unwrap();
        assert_eq!(client.get(key(b"dropped")).await.unwrap(), None);
        check(&client).await;
        engine.close().await.unwrap();
    });
}

/// A checkpoint goes on without its caller; the next one can begin when it has ended.
#[test]
fn a_checkpoint_that_nobody_waits_for_is_committed() {
    in_world(|remote| async move {
        let engine = prepared(&remote, common::small(2)).await;
        let client = engine.client();
        for times in 0_u32.. {
            let metadata = times.to_le_bytes().to_vec();
            client.put(key(b"checkpointed"), &metadata).await.unwrap();
            let is_done = polled(times as usize, client.checkpoint(metadata)).await.is_some();
            aquifer_io::sleep(Duration::from_secs(1)).await;
            let reader = Reader::open(Arc::clone(&remote) as _, ReaderOptions::default()).await.unwrap();
            assert_eq!(reader.checkpoint().unwrap().metadata, times.to_le_bytes());
            reader.close().await.unwrap();
            check(&client).await;
            if is_done {
                break;
            }
        }
        engine.close().await.unwrap();
    });
}

async fn rest(scan: &mut Scan, by_pages: bool) -> usize {
    let mut entries = 0;
    loop {
        if by_pages {
            match scan.next_page().await.unwrap() {
                Some(page) => entries += page.len(),
                None => return entries,
            }
        } else {
            match scan.next().await.unwrap() {
                Some(_) => entries += 1,
                None => return entries,
            }
        }
    }
}

#[test]
fn a_scan_goes_on_behind_a_next_that_was_dropped() {
    in_world(|remote| async move {
        let engine = prepared(&remote, common::small(1)).await;
        let client = engine.client();
        for (page_entries, by_pages) in [(7, false), (7, true), (40, false), (256, true), (256, false)] {
            for times in 1..4 {
                client.forget_memory().await.unwrap();
                let options = ScanOptions { page_entries, ..ScanOptions::default() };
                let mut scan = client.scan(&KeyRange::group(GROUP), &options);
                // Dropped at every call; between two of them the page may come, and what it sees is written to.
                let mut entries = 0;
                loop {
                    match polled(times, scan.next()).await {
                        Some(Ok(Some(_))) => entries += 1,
                        Some(Ok(None)) => break,
                        Some(Err(error)) => panic!("{error}"),
                        None => {
                            client.put(key(b"k99"), b"written meanwhile").await.unwrap();
                            client.delete(key(b"k99")).await.unwrap();
                            aquifer_io::sleep(Duration::from_micros(100)).await;
                        }
                    }
                    if entries == 5 {
                        break;
                    }
                }
                assert_eq!(entries + rest(&mut scan, by_pages).await, 40);
                drop(scan);
                assert_eq!(client.stats().await.unwrap().sum(|shard| shard.snapshots), 0);
            }
        }
        engine.close().await.unwrap();
    });
}

#[test]
fn an_engine_is_dropped_while_it_opens_closes_or_changes_its_budget() {
    in_world(|remote| async move {
        prepared(&remote, common::small(2)).await.close().await.unwrap();
        let options = Options {
            disk: DiskOptions { dir: Some("/ssd".into()), bytes: 64 << 20, ..DiskOptions::default() },
            ..common::small(2)
        };
        let open = || Engine::open(Arc::clone(&remote) as _, options.clone());
        let engine = dropped_at_each_await(open, async |_| {}).await.unwrap();
        check(&engine.client()).await;
        for (memory_bytes, disk_bytes) in [(16 << 20, 32 << 20), (8 << 20, 0), (12 << 20, 64 << 20)] {
            let resize = || engine.set_memory_bytes(memory_bytes);
            dropped_at_each_await(resize, async |_| check(&engine.client()).await).await.unwrap();
            let resize = || engine.set_disk_bytes(disk_bytes);
            dropped_at_each_await(resize, async |_| check(&engine.client()).await).await.unwrap();
        }
        let mut engine = Some(engine);
        for times in 0..1_000 {
            let closing = match engine.take() {
                Some(engine) => engine,
                None => open().await.unwrap(),
            };
            check(&closing.client()).await;
            if polled(times, closing.close()).await.is_some() {
                break;
            }
        }
        check(&open().await.unwrap().client()).await;
    });
}

#[test]
fn readers_workers_and_verifications_are_dropped_anywhere() {
    in_world(|remote| async move {
        let engine = prepared(&remote, common::small(1)).await;
        let client = engine.client();
        let reader = || Reader::open(Arc::clone(&remote) as _, ReaderOptions::default());
        let opened = dropped_at_each_await(reader, async |_| check(&client).await).await.unwrap();
        let read = || async { opened.get(key(b"k01")).await.unwrap().unwrap() };
        drop(dropped_at_each_await(read, async |_| {}).await);
        drop(dropped_at_each_await(|| opened.stats(), async |_| {}).await.unwrap());
        opened.close().await.unwrap();
        let verify = || verify_store(Arc::clone(&remote) as _, VerifyOptions::default(), |_| {});
        let report = dropped_at_each_await(verify, async |_| check(&client).await).await.unwrap();
        assert!(report.is_sound());
        let options = WorkerOptions {
            memory_bytes: 8 << 20,
            poll: Duration::from_millis(1),
            idle_max: Some(Duration::from_millis(5)),
            ..WorkerOptions::default()
        };
        let work = || compact_store(Arc::clone(&remote) as _, options.clone());
        dropped_at_each_await(work, async |_| check(&client).await).await.unwrap();
        let until = || {
            let pause = aquifer_io::sleep(Duration::from_millis(3));
            compact_store_until(Arc::clone(&remote) as _, options.clone(), pause)
        };
        dropped_at_each_await(until, async |_| check(&client).await).await.unwrap();
        engine.close().await.unwrap();
    });
}
