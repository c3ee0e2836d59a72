//! Code of the embedder that panics harms the operation that needed it and nobody else; a shard that panics itself leaves nobody waiting.
//!
//! How it was: a merge operator that panicked on a value which a plain put had written ended the shard's loop, with its mailbox open: whatever
//! was asked after that got no answer, and `close` did not return. In a scan it kept one of 1,024 places of reads for good; in compaction it ended
//! compaction, with no error counted.

use crate::common;
use crate::common::faults::{Fault, Faulty};
use crate::common::world::in_world;
use aquifer::internals::panics::{PanicPlace, order};
use aquifer::{
    Client, CompactionOptions, DiskOptions, Engine, ErrorKind, Key, KeyRange, MergeOperator, MultiGetOptions,
    OpenProgress, Options, Reader, ReaderOptions, RemoteCompaction, ScanOptions, SsdMode, VerifyOptions,
    WorkerOptions, WriteBatch, compact_store, verify_store,
};
use aquifer_remote::{Content, ListPage, ObjectMeta, ObjectName, PutOutcome, Remote, RemoteFuture, Upload};
use bytes::Bytes;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Appends, as `append` does, but panics over a value with "bad" in it for as long as it is told to.
#[derive(Clone, Default)]
struct Shaky {
    is_well: Arc<AtomicBool>,
}

impl MergeOperator for Shaky {
    fn name(&self) -> &'static str {
        "shaky"
    }

    fn check(&self, operand: &[u8]) -> Result<(), String> {
        assert!(operand != b"unchecked", "an operand it did not think of");
        Ok(())
    }

    fn merge(&self, older: &[u8], newer: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(older);
        let is_bad = older.starts_with(b"bad") && !self.is_well.load(Ordering::Acquire);
        assert!(!is_bad, "a value it did not think of");
        out.extend_from_slice(newer);
        Ok(())
    }
}

fn options(shaky: &Shaky) -> Options {
    Options { merge_operators: vec![Arc::new(shaky.clone())], ..common::small(1) }
}

async fn open(remote: &Arc<Faulty>, shaky: &Shaky) -> Engine {
    Engine::open(Arc::clone(remote) as _, options(shaky)).await.unwrap()
}

#[track_caller]
fn check_panicked<T>(outcome: Result<T, aquifer::Error>, words: &[&str]) {
    let error = outcome.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{error}: names no {word}");
    }
}

/// All goes on: what every kind of operation needs works.
async fn check_works(client: &Client) {
    client.put(b"other", b"1").await.unwrap();
    client.merge(b"other", "shaky", b"2").await.unwrap();
    assert_eq!(client.get(b"other").await.unwrap().as_deref(), Some(b"12".as_slice()));
    let snapshot = client.snapshot().await.unwrap();
    assert_eq!(client.get_at(&snapshot, b"other").await.unwrap().as_deref(), Some(b"12".as_slice()));
    let group = client.key_group(b"other");
    if group != client.key_group(b"key") {
        let mut scan = client.scan(&KeyRange::group(group), &ScanOptions::default());
        while scan.next().await.unwrap().is_some() {}
    }
    client.checkpoint(Vec::new()).await.unwrap();
    drop(snapshot);
    let stats = client.stats().await.unwrap();
    assert_eq!(stats.sum(|shard| shard.snapshots + shard.waiting), 0);
}

#[test]
fn a_write_whose_combination_panics_is_refused_and_changes_nothing() {
    in_world(|remote| async move {
        let shaky = Shaky::default();
        let engine = open(&remote, &shaky).await;
        let client = engine.client();
        client.put(b"key", b"bad").await.unwrap();
        check_panicked(
            client.merge(b"key", "shaky", b"!").await,
            &["\"shaky\"", "\"key\"", "did not think of"],
        );
        check_panicked(client.merge(b"key", "shaky", b"unchecked").await, &["\"shaky\"", "check"]);
        assert_eq!(client.get(b"key").await.unwrap().as_deref(), Some(b"bad".as_slice()));
        // Of a batch nothing is written either, wherever in it the panic is: also over what the batch itself would write.
        let mut batch = WriteBatch::new();
        batch.put(b"first", b"1").put(b"second", b"bad");
        batch.merge(b"second", "shaky", b"!").put(b"third", b"3");
        check_panicked(client.write(&batch).await, &["\"shaky\"", "\"second\""]);
        for key in ["first", "second", "third"] {
            assert_eq!(client.get(key.as_bytes()).await.unwrap(), None, "{key}");
        }
        let in_place =
            client.run_on_shard(0, |shard| async move { shard.merge(b"key", "shaky", b"!").await });
        check_panicked(in_place.await.unwrap(), &["\"key\""]);
        check_works(&client).await;
        engine.close().await.unwrap();
    });
}

#[test]
fn a_read_whose_combination_panics_is_an_error_and_takes_no_place_for_good() {
    in_world(|remote| async move {
        let shaky = Shaky::default();
        let engine = open(&remote, &shaky).await;
        let client = engine.client();
        let group = client.key_group(b"key");
        client.put(b"key", b"bad").await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        // The base is in a segment by now: nobody looks at it.
        client.merge(b"key", "shaky", b"!").await.unwrap();
        for forgets in [false, true] {
            if forgets {
                client.forget_memory().await.unwrap();
            }
            check_panicked(client.get(b"key").await, &["\"shaky\"", "\"key\""]);
            let many = client.multi_get([&b"key"[..], b"none"], &MultiGetOptions::default()).await.unwrap();
            let [bad, none] = <[_; 2]>::try_from(many).unwrap();
            check_panicked(bad, &["\"shaky\"", "\"key\""]);
            assert_eq!(none.unwrap().value, None);
            check_panicked(client.compare_and_set(b"key", None, Some(b"x")).await, &["\"shaky\""]);
        }
        // More than there are places for reads, and for snapshots.
        for _ in 0..1_100 {
            let mut scan = client
                .scan(&KeyRange::group(group), &ScanOptions { page_entries: 1, ..ScanOptions::default() });
            check_panicked(scan.next().await, &["\"shaky\"", "\"key\""]);
        }
        check_works(&client).await;
        // A put repairs the key.
        client.put(b"key", b"good").await.unwrap();
        assert_eq!(client.get(b"key").await.unwrap().as_deref(), Some(b"good".as_slice()));
        engine.close().await.unwrap();
    });
}

/// Rounds of writes to one key that the operator panics over and to others, each made a segment.
async fn write_rounds(client: &Client, rounds: u32) {
    for round in 0..rounds {
        if round == 0 {
            client.put(b"key", b"bad").await.unwrap();
        } else {
            client.merge(b"key", "shaky", b"!").await.unwrap();
        }
        for n in 0..50_u32 {
            client.put(&n.to_le_bytes(), &[7; 100]).await.unwrap();
        }
        client.checkpoint(Vec::new()).await.unwrap();
    }
}

#[test]
fn compaction_keeps_operands_whose_combination_panics_counts_it_and_goes_on() {
    in_world(|remote| async move {
        let shaky = Shaky::default();
        let engine = open(&remote, &shaky).await;
        let client = engine.client();
        write_rounds(&client, 30).await;
        while client.stats().await.unwrap().sum(|shard| shard.compactions) < 3 {
            aquifer_io::sleep(Duration::from_millis(10)).await;
        }
        let stats = client.stats().await.unwrap();
        let shard = stats.shards.first().unwrap();
        assert!(shard.compaction_errors > 0 && shard.runs < 15, "{shard:?}");
        let said = shard.last_compaction_error.as_deref().unwrap();
        assert!(said.contains("\"shaky\"") && said.contains("\"key\""), "{said}");
        check_panicked(client.get(b"key").await, &["\"shaky\"", "\"key\""]);
        check_works(&client).await;
        // Nothing was lost: the operator, once it is mended, finds all of it, also after another opening.
        shaky.is_well.store(true, Ordering::Release);
        let whole = [b"bad".as_slice(), &[b'!'; 29]].concat();
        assert_eq!(client.get(b"key").await.unwrap().unwrap(), whole);
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
        let engine = open(&remote, &shaky).await;
        assert_eq!(engine.client().get(b"key").await.unwrap().unwrap(), whole);
        engine.close().await.unwrap();
    });
}

#[test]
fn a_worker_keeps_them_as_well_and_says_so() {
    in_world(|remote| async move {
        let shaky = Shaky::default();
        let lease = Duration::from_secs(600);
        let options = Options {
            compaction: CompactionOptions {
                remote: Some(RemoteCompaction { offer_bytes_min: 0, lease, always: true }),
                ..CompactionOptions::default()
            },
            ..options(&shaky)
        };
        let engine = Engine::open(Arc::clone(&remote) as _, options).await.unwrap();
        let worker = WorkerOptions {
            memory_bytes: 8 << 20,
            poll: Duration::from_millis(10),
            idle_max: Some(Duration::from_secs(2)),
            merge_operators: vec![Arc::new(shaky.clone())],
            ..WorkerOptions::default()
        };
        let store: Arc<dyn Remote> = Arc::clone(&remote) as _;
        let works = aquifer_io::spawn_local(compact_store(store, worker));
        write_rounds(&engine.client(), 30).await;
        let report = works.await.unwrap().unwrap();
        assert!(report.jobs > 0 && report.operator_panics > 0, "{report:?}");
        engine.close().await.unwrap();
    });
}

#[test]
fn a_job_on_a_shard_that_panics_is_an_error_of_its_caller() {
    in_world(|remote| async move {
        let engine = open(&remote, &Shaky::default()).await;
        let client = engine.client();
        let at_once = client.run_on_shard(0, |_| -> std::future::Ready<()> { panic!("at once") });
        check_panicked(at_once.await, &["run_on_shard", "at once"]);
        let later = client.run_on_shard(0, |_| async {
            aquifer_io::sleep(Duration::from_millis(1)).await;
            panic!("later");
        });
        check_panicked(later.await.map(|(): ()| ()), &["run_on_shard", "later"]);
        client.put(b"key", b"value").await.unwrap();
        let beside = client.run_on_shard(0, |shard| async move {
            shard.try_get_with(b"key", |_| -> () { panic!("over what it saw") }).map(drop)
        });
        check_panicked(beside.await.map(drop), &["over what it saw"]);
        check_works(&client).await;
        engine.close().await.unwrap();
    });
}

#[test]
fn a_callback_that_panics_fails_what_it_was_given_to() {
    in_world(|remote| async move {
        let shaky = Shaky::default();
        let engine = open(&remote, &shaky).await;
        write_rounds(&engine.client(), 2).await;
        engine.close().await.unwrap();
        let pinned = Options {
            disk: DiskOptions {
                bytes: 1 << 30,
                mode: SsdMode::Pinned,
                dir: Some("/ssd".into()),
                on_open: Some(Arc::new(|_: OpenProgress| panic!("at the first word"))),
                ..DiskOptions::default()
            },
            ..options(&shaky)
        };
        let opened = Engine::open(Arc::clone(&remote) as _, pinned.clone()).await;
        check_panicked(opened, &["on_open", "at the first word"]);
        let later = move |progress: OpenProgress| assert!(progress.done_bytes == 0, "at a later word");
        let opened = Engine::open(
            Arc::clone(&remote) as _,
            Options {
                disk: DiskOptions { on_open: Some(Arc::new(later)), ..pinned.disk.clone() },
                ..pinned.clone()
            },
        );
        check_panicked(opened.await, &["on_open", "at a later word"]);
        let engine = Engine::open(
            Arc::clone(&remote) as _,
            Options { disk: DiskOptions { on_open: None, ..pinned.disk.clone() }, ..pinned },
        )
        .await
        .unwrap();
        check_works(&engine.client()).await;
        engine.close().await.unwrap();
        let verified =
            verify_store(Arc::clone(&remote) as _, VerifyOptions::default(), |_| panic!("no progress"));
        check_panicked(verified.await, &["verify_store", "no progress"]);
    });
}

/// A store of the embedder's own that panics when it is told to: in the call, or in the future that it gives.
#[derive(Debug)]
struct Panicky {
    inner: Arc<Faulty>,
    in_call: AtomicBool,
    in_future: AtomicBool,
}

impl Panicky {
    fn new(inner: &Arc<Faulty>) -> Arc<Self> {
        let inner = Arc::clone(inner);
        Arc::new(Self { inner, in_call: AtomicBool::new(false), in_future: AtomicBool::new(false) })
    }

    fn run<T: Send + 'static>(&self, request: RemoteFuture<T>) -> RemoteFuture<T> {
        assert!(!self.in_call.swap(false, Ordering::AcqRel), "the store's code, in the call");
        let panics = self.in_future.swap(false, Ordering::AcqRel);
        Box::pin(async move {
            let answer = request.await;
            assert!(!panics, "the store's code, in the future");
            answer
        })
    }
}

impl Remote for Panicky {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()> {
        self.run(self.inner.put(name, content))
    }
    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome> {
        self.run(self.inner.put_if_absent(name, content))
    }
    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes> {
        self.run(self.inner.get(name, bytes_max))
    }
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        self.run(self.inner.get_range(name, range))
    }
    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta> {
        self.run(self.inner.head(name))
    }
    fn delete(&self, name: &ObjectName) -> RemoteFuture<()> {
        self.run(self.inner.delete(name))
    }
    fn list(&self, prefix: &str, after: Option<&ObjectName>, entries_max: usize) -> RemoteFuture<ListPage> {
        self.run(self.inner.list(prefix, after, entries_max))
    }
    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        self.run(self.inner.upload(name))
    }
}

#[test]
fn a_store_of_the_embedders_own_that_panics_fails_one_request() {
    in_world(|remote| async move {
        let panicky = Panicky::new(&remote);
        for flag in [&panicky.in_call, &panicky.in_future] {
            flag.store(true, Ordering::Release);
            let opened = Engine::open(Arc::clone(&panicky) as _, options(&Shaky::default())).await;
            let error = opened.err().unwrap();
            assert!(error.to_string().contains("the code of the store panicked"), "{error}");
            let engine = Engine::open(Arc::clone(&panicky) as _, options(&Shaky::default())).await.unwrap();
            let client = engine.client();
            client.put(b"key", b"value").await.unwrap();
            // Uploads are repeated.
            flag.store(true, Ordering::Release);
            client.checkpoint(Vec::new()).await.unwrap();
            client.forget_memory().await.unwrap();
            flag.store(true, Ordering::Release);
            let error = client.get(b"key").await.unwrap_err();
            assert!(error.to_string().contains("the code of the store panicked"), "{error}");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert_eq!(client.get(b"key").await.unwrap().as_deref(), Some(b"value".as_slice()));
            check_works(&client).await;
            engine.close().await.unwrap();
            flag.store(true, Ordering::Release);
            assert!(Reader::open(Arc::clone(&panicky) as _, ReaderOptions::default()).await.is_err());
        }
    });
}

/// Hears the outcome of an operation that waits.
fn waits<T: 'static>(
    operation: impl Future<Output = Result<T, aquifer::Error>> + 'static,
) -> aquifer_io::Task<Option<aquifer::Error>> {
    aquifer_io::spawn_local(async move { operation.await.err() })
}

fn small_two() -> Options {
    Options { merge_operators: vec![Arc::new(Shaky::default())], ..common::small(2) }
}

/// Keys of the two shards, by group.
fn key(shard: u16, name: &[u8]) -> Key<'_> {
    Key::in_group(shard * 8, name)
}

#[test]
fn a_shard_that_panics_tells_everybody_why_and_the_engine_closes() {
    for place in [PanicPlace::Loop, PanicPlace::Task] {
        in_world(move |remote| async move {
            let engine = Engine::open(Arc::clone(&remote) as _, small_two()).await.unwrap();
            let client = engine.client();
            client.put(key(0, b"cold"), b"value").await.unwrap();
            client.put(key(1, b"there"), b"value").await.unwrap();
            client.checkpoint(Vec::new()).await.unwrap();
            client.forget_memory().await.unwrap();
            // Reads of the DFS hang: some wait for blocks, a comparison for its key, and others come later.
            remote.set(|operation, _| if operation == "get_range" { Fault::Dead } else { Fault::None });
            let scanning = client.clone();
            let mut waiting = vec![
                waits(client.get(key(0, b"cold"))),
                waits(client.multi_get([key(0, b"cold")], &MultiGetOptions::default())),
                waits(async move {
                    let mut scan = scanning.scan(&KeyRange::group(0), &ScanOptions::default());
                    scan.next().await.map(drop)
                }),
                waits(client.run_on_shard(0, |_| std::future::pending::<()>())),
            ];
            aquifer_io::sleep(Duration::from_millis(10)).await;
            waiting.push(waits(client.compare_and_set(key(0, b"cold"), None, Some(b"x"))));
            let behind = client.clone();
            order(&client, 0, place);
            if matches!(place, PanicPlace::Task) {
                // The loop goes on until it hears of it.
                aquifer_io::sleep(Duration::from_millis(1)).await;
            }
            let behind = [
                waits(client.put(key(0, b"x"), b"x")),
                waits({
                    let client = behind.clone();
                    async move { client.snapshot().await.map(drop) }
                }),
                waits({
                    let client = behind.clone();
                    async move { client.stats().await.map(drop) }
                }),
                waits(client.checkpoint(Vec::new())),
            ];
            for waits in waiting.into_iter().chain(behind) {
                let error = waits.await.unwrap().unwrap();
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                assert!(error.to_string().contains("panic"), "{error}");
            }
            check_ended(&client).await;
            remote.set(|_, _| Fault::None);
            assert_eq!(client.get(key(1, b"there")).await.unwrap().as_deref(), Some(b"value".as_slice()));
            let error = engine.close().await.unwrap_err();
            assert!(
                error.to_string().contains("shard 0") && error.to_string().contains("a bug in"),
                "{error}"
            );
            // What was committed is there.
            let engine = Engine::open(Arc::clone(&remote) as _, small_two()).await.unwrap();
            let found = engine.client().get(key(0, b"cold")).await.unwrap();
            assert_eq!(found.as_deref(), Some(b"value".as_slice()));
            engine.close().await.unwrap();
        });
    }
}

/// Whatever needs the shard that has ended, or its share of a checkpoint, says so.
async fn check_ended(client: &Client) {
    let batch = {
        let mut batch = WriteBatch::new();
        batch.put(key(1, b"y"), b"y");
        batch
    };
    let outcomes = [
        ("get", client.get(key(0, b"cold")).await.err()),
        ("put", client.put(key(0, b"x"), b"x").await.err()),
        ("delete", client.delete(key(0, b"x")).await.err()),
        ("merge", client.merge(key(0, b"x"), "shaky", b"x").await.err()),
        ("compare", client.put_if_absent(key(0, b"x"), b"x").await.err()),
        ("put of the other shard", client.put(key(1, b"x"), b"x").await.err()),
        ("batch of the other shard", client.write(&batch).await.err()),
        ("multi-get", client.multi_get([key(0, b"x")], &MultiGetOptions::default()).await.err()),
        ("scan", client.scan(&KeyRange::group(0), &ScanOptions::default()).next().await.err()),
        ("snapshot", client.snapshot().await.err()),
        ("checkpoint", client.checkpoint(Vec::new()).await.err()),
        ("stats", client.stats().await.err()),
        ("forget_memory", client.forget_memory().await.err()),
        ("run_on_shard", client.run_on_shard(0, |_| std::future::ready(())).await.err()),
    ];
    for (name, outcome) in outcomes {
        let error = outcome.unwrap_or_else(|| panic!("{name} went through"));
        let text = error.to_string();
        assert!(
            text.contains("shard 0 has ended by a panic") && text.contains("a bug in"),
            "{name}: {error}"
        );
    }
}
