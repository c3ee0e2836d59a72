//! How an opening finds the newest manifest: without a listing, in few requests, and with truth about whoever is in its way.

use crate::common::faults::{Fault, Faulty};
use crate::common::{folder, memory, small};
use aquifer::{Engine, ErrorKind, Reader, ReaderOptions, VerifyOptions, verify_store};
use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_remote::{
    Content, ObjectName, Operation, Remote, RemoteMetrics, ShapeOptions, SimulatedDfs, metered,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MANIFESTS: &str = "partition/00000-00016/manifest/";

fn manifest(number: u64) -> ObjectName {
    ObjectName::new(format!("{MANIFESTS}{number:020}")).unwrap()
}

/// The number of a manifest's name.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix(MANIFESTS)?.parse().ok()
}

/// The bytes of a manifest with other counters, and a checksum that holds.
fn with_counters(bytes: &[u8], counters: &[(usize, u64)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, counter) in counters {
        bytes[*at..*at + 8].copy_from_slice(&counter.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes[..92]);
    bytes[92..96].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A store with a checkpoint, in manifest 2.
async fn store(remote: &Arc<dyn Remote>) {
    let engine = Engine::open(Arc::clone(remote), small(1)).await.unwrap();
    engine.client().put(b"key", b"value").await.unwrap();
    engine.client().checkpoint(b"one".to_vec()).await.unwrap();
    engine.close().await.unwrap();
}

fn requests(metrics: &RemoteMetrics) -> u64 {
    Operation::ALL.iter().map(|&operation| metrics.requests(operation)).sum()
}

/// Every opening listed all manifests that there ever were: 13 s in a folder with 20,000 of them.
#[test]
fn an_opening_asks_as_much_of_20_000_manifests_as_of_a_few() {
    let place = tempfile::tempdir().unwrap();
    let plain = folder(place.path());
    aquifer::block_on(store(&plain));
    let read = |number| std::fs::read(place.path().join(manifest(number).as_str())).unwrap();
    let newest = read(2);
    let last = 20_000_u64;
    for number in 3..=last {
        // Only the newest one is ever read.
        let bytes = if number == last { with_counters(&newest, &[(16, last)]) } else { vec![b'?'] };
        std::fs::write(place.path().join(manifest(number).as_str()), bytes).unwrap();
    }
    aquifer::block_on(async {
        let (remote, metrics) = metered(plain);
        let engine = Engine::open(Arc::clone(&remote), small(2)).await.unwrap();
        assert_eq!((engine.epoch(), engine.restored().unwrap().id), (2, 2));
        assert_eq!(engine.client().get(b"key").await.unwrap().as_deref(), Some(b"value".as_slice()));
        assert_eq!(metrics.requests(Operation::PutIfAbsent), 1, "it is the next after the newest at once");
        assert!(remote.head(&manifest(last + 1)).await.is_ok());
        let before = requests(&metrics);
        let reader = Reader::open(Arc::clone(&remote), ReaderOptions::default()).await.unwrap();
        assert_eq!(reader.checkpoint().unwrap().id, 2);
        let of_reader = requests(&metrics) - before;
        let report = verify_store(remote, VerifyOptions::default(), |_| {}).await.unwrap();
        assert!(report.faults.is_empty(), "{report:?}");
        // A listing for compaction's jobs is the shards' own, and one page.
        assert!(metrics.requests(Operation::List) <= 2, "{} listings", metrics.requests(Operation::List));
        assert!(of_reader < 90, "{of_reader} requests of a reader");
        assert!(requests(&metrics) < 300, "{} requests in all", requests(&metrics));
    });
}

/// Rules of a bucket may delete what is old. A store whose first manifests are gone is not a new one.
#[test]
fn a_store_whose_oldest_manifests_were_deleted_opens_with_its_newest() {
    let remote = memory();
    aquifer::block_on(async {
        store(&remote).await;
        for number in 3..=40 {
            let engine = Engine::open(Arc::clone(&remote), small(1)).await.unwrap();
            assert_eq!(engine.epoch(), number - 1);
        }
        for number in 1..=35 {
            remote.delete(&manifest(number)).await.unwrap();
        }
        let engine = Engine::open(remote, small(1)).await.unwrap();
        assert_eq!((engine.epoch(), engine.restored().unwrap().id), (40, 2));
    });
}

/// A listing that showed only old manifests made openings fail with "16 times another process opened this store first", though nobody else was
/// there. The same now of the questions whether single manifests exist: the put says that they do, and what it says is read.
#[test]
fn a_store_whose_answers_lag_behind_opens_with_the_newest_state() {
    let remote = Faulty::new(memory());
    aquifer::block_on(async {
        let dfs: Arc<dyn Remote> = Arc::clone(&remote) as _;
        store(&dfs).await;
        let engine = Engine::open(Arc::clone(&dfs), small(1)).await.unwrap();
        engine.client().put(b"key", b"newest").await.unwrap();
        engine.client().checkpoint(b"two".to_vec()).await.unwrap();
        engine.close().await.unwrap();
        // Neither heads nor listings show what is newer than the first checkpoint.
        remote.set(|operation, name| match operation {
            "list" if name == MANIFESTS => Fault::Absent,
            "head" if number(name).is_some_and(|number| number > 2) => Fault::Absent,
            _ => Fault::None,
        });
        let engine = Engine::open(dfs, small(2)).await.unwrap();
        assert_eq!((engine.epoch(), engine.restored().unwrap().metadata.as_slice()), (3, b"two".as_slice()));
        assert_eq!(engine.client().get(b"key").await.unwrap().as_deref(), Some(b"newest".as_slice()));
    });
}

/// The message of an opening in a simulated world, where pauses take no time, and how long it took there.
fn refused(
    fault: impl FnMut(&Arc<dyn Remote>, &str, &str) -> Fault + Send + 'static,
) -> (ErrorKind, String, Duration) {
    let world = World::new(7, WorldOptions { trace_bytes_max: 0, ..WorldOptions::default() });
    let dfs = SimulatedDfs::new(7, &ShapeOptions::default());
    let outcome = Arc::new(Mutex::new(None));
    let (told, executor) =
        (Arc::clone(&outcome), ExecutorOptions { name: "opener".to_owned(), ..ExecutorOptions::default() });
    let driver = world.spawn_executor(executor, move || async move {
        let plain = dfs.remote();
        store(&plain).await;
        let remote = Faulty::new(Arc::clone(&plain));
        let mut fault = fault;
        remote.set(move |operation, name| fault(&plain, operation, name));
        let began = aquifer_io::now();
        let error = Engine::open(remote, small(1)).await.unwrap_err();
        *told.lock().unwrap() = Some((error.kind(), error.to_string(), began.elapsed()));
    });
    world.run_for(Duration::from_secs(60));
    driver.join().unwrap();
    let told = outcome.lock().unwrap().take();
    told.unwrap()
}

#[test]
fn a_store_that_has_and_has_not_a_manifest_is_named_as_what_is_wrong() {
    let (kind, message, took) = refused(|_, operation, name| match (operation, number(name)) {
        // A put-if-absent met something there once, and meets it ever after; nobody can read it.
        ("put_if_absent", Some(3)) => Fault::AnswerLost,
        ("head" | "get", Some(3)) => Fault::Absent,
        _ => Fault::None,
    });
    // The first put was lost and nobody can tell whether it was applied.
    assert_eq!(kind, ErrorKind::Unavailable, "{message}");
    assert!(took < Duration::from_secs(1));

    let is_first = AtomicU64::new(0);
    let (kind, message, took) = refused(move |plain, operation, name| match (operation, number(name)) {
        ("put_if_absent", Some(3)) if is_first.fetch_add(1, Ordering::Relaxed) == 0 => {
            let taken = plain.put(&manifest(3), Content::from(vec![b'?']));
            aquifer_io::block_on(taken).unwrap();
            Fault::None
        }
        ("head" | "get", Some(3)) => Fault::Absent,
        _ => Fault::None,
    });
    assert_eq!(kind, ErrorKind::Unavailable, "{message}");
    let name = manifest(3);
    assert!(
        message.contains(&format!("says that {name} does not exist, but refuses to create it")),
        "{message}"
    );
    assert!(!message.contains("another process"), "{message}");
    // It paused between its tries, longer each time, and not for ever.
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(12), "{took:?}");
}

#[test]
fn who_loses_to_others_time_after_time_is_told_how_often_and_to_whom() {
    let (kind, message, took) = refused(|plain, operation, name| {
        let Some(number) = number(name).filter(|_| operation == "put_if_absent") else { return Fault::None };
        // Just before, somebody else's comes: now a checkpoint of the owner, now another opening.
        let before = aquifer_io::block_on(plain.get(&manifest(number - 1), 1 << 20)).unwrap();
        let epoch =
            u64::from_le_bytes(before[24..32].try_into().unwrap()) + u64::from(number.is_multiple_of(2));
        let other = with_counters(&before, &[(16, number), (24, epoch), (32, number)]);
        aquifer_io::block_on(plain.put(&manifest(number), Content::from(other))).unwrap();
        Fault::None
    });
    assert_eq!(kind, ErrorKind::Busy, "{message}");
    for part in [
        "16 times in 16",
        "8 times of another process that opened",
        "8 times a checkpoint of its owner",
        "manifest 18 of epoch 9",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(took < Duration::from_secs(12), "{took:?}");
}

/// Manifests with the right checksums and counters at the end of their range: with checks of overflow on the opening panicked, without them
/// number, epoch or sequences went on at 0.
#[test]
fn a_manifest_with_counters_at_their_ends_is_refused_with_words() {
    let remote = memory();
    aquifer::block_on(async {
        store(&remote).await;
        let name = manifest(2);
        let sound = remote.get(&name, 1 << 20).await.unwrap();
        for (at, what) in [(24, "an epoch"), (40, "a checkpoint"), (48, "a next sequence")] {
            for end in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 62] {
                let bad = with_counters(&sound, &[(at, end)]);
                remote.put(&name, Content::from(bad)).await.unwrap();
                let error = Engine::open(Arc::clone(&remote), small(1)).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(
                    error.to_string().contains(what) && error.to_string().contains(&end.to_string()),
                    "{error}"
                );
                let reading = Reader::open(Arc::clone(&remote), ReaderOptions::default()).await.unwrap_err();
                assert_eq!(reading.kind(), ErrorKind::Corrupt, "{reading}");
                let report =
                    verify_store(Arc::clone(&remote), VerifyOptions::default(), |_| {}).await.unwrap();
                assert_eq!(report.faults.len(), 1, "{report:?}");
            }
        }
        // The last epoch that can be written can be read, and has none after it.
        remote.put(&name, Content::from(with_counters(&sound, &[(24, 9_999_999_999)]))).await.unwrap();
        let error = Engine::open(Arc::clone(&remote), small(1)).await.unwrap_err();
        assert!(error.to_string().contains("epoch 9999999999, after which none is possible"), "{error}");
        let reader = Reader::open(Arc::clone(&remote), ReaderOptions::default()).await.unwrap();
        assert_eq!(reader.get(b"key").await.unwrap().as_deref(), Some(b"value".as_slice()));
        // One below, it works, and so do its names.
        remote.put(&name, Content::from(with_counters(&sound, &[(24, 9_999_999_998)]))).await.unwrap();
        let engine = Engine::open(remote, small(1)).await.unwrap();
        engine.client().put(b"key", b"last").await.unwrap();
        assert_eq!(engine.client().checkpoint(Vec::new()).await.unwrap().epoch, 9_999_999_999);
    });
}

/// A manifest of the last number of all, without those before it, is not the newest of anything; nor does it stop an opening.
#[test]
fn a_manifest_of_the_last_number_of_all_is_passed_by() {
    let remote = memory();
    aquifer::block_on(async {
        store(&remote).await;
        let sound = remote.get(&manifest(2), 1 << 20).await.unwrap();
        let last = with_counters(&sound, &[(16, u64::MAX)]);
        remote.put(&manifest(u64::MAX), Content::from(last)).await.unwrap();
        let engine = Engine::open(Arc::clone(&remote), small(1)).await.unwrap();
        assert_eq!((engine.epoch(), engine.restored().unwrap().id), (2, 2));
        drop(engine);
        // It is read when it is asked for by its number, or when there is no other, and says what is wrong with it.
        for number in 1..=3 {
            remote.delete(&manifest(number)).await.unwrap();
        }
        let error = Engine::open(remote, small(1)).await.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Corrupt && error.to_string().contains("a number below"),
            "{error}"
        );
    });
}
