//! Every number of every option and argument at its ends: an error with words, or an engine that works; never a panic or a wrap.

use crate::common::{memory, small};
use aquifer::{
    Client, CompactionBudget, DiskOptions, Engine, Error, ErrorKind, Expiry, KeyRange, MultiGetOptions,
    Options, Reader, ReaderOptions, RemoteCompaction, Result, ScanOptions, TtlTime, VerifyOptions,
    WorkerOptions, compact_store, verify_store,
};
use aquifer_remote::Remote;
use std::sync::Arc;
use std::time::Duration;

const ENDS: [u64; 6] = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];

type Set = fn(&mut Options, u64);

fn bytes(value: u64) -> usize {
    usize::try_from(value).unwrap()
}

/// Opens, writes, reads, checkpoints and reads again.
async fn works(options: Options) -> Result<()> {
    let remote = memory();
    let engine = Engine::open(Arc::clone(&remote), options).await?;
    let client = engine.client();
    client.put(b"key", b"value").await?;
    client.checkpoint(Vec::new()).await?;
    assert_eq!(client.get(b"key").await?.as_deref(), Some(b"value".as_slice()));
    engine.close().await
}

/// An error says what is possible.
fn is_said(error: &Error) -> bool {
    let text = error.to_string();
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Local)
        && ["possible", "at least", "at most", "not after now", "no checkpoint", "follow", "above zero"]
            .iter()
            .any(|part| text.contains(part))
}

#[test]
fn every_number_of_the_options() {
    let fields: [(&str, Set); 14] = [
        ("key_groups", |options, end| options.key_groups = Some(u16::try_from(end).unwrap_or(u16::MAX))),
        ("shards", |options, end| options.shards = bytes(end)),
        ("shards, with memory", |options, end| {
            (options.shards, options.memory_bytes) = (bytes(end), u64::MAX >> 20);
        }),
        ("memory_bytes", |options, end| options.memory_bytes = end),
        ("disk.bytes", |options, end| options.disk.bytes = end),
        ("disk.write_bytes_per_day", |options, end| options.disk.write_bytes_per_day = end),
        ("disk.write_bytes_per_s", |options, end| options.disk.write_bytes_per_s = end),
        ("compression.bottom_dictionary_bytes_max", |options, end| {
            options.compression.bottom_dictionary_bytes_max = bytes(end);
        }),
        ("cpu_percent", |options, end| {
            options.compaction.budget.cpu_percent = u8::try_from(end).unwrap_or(u8::MAX);
        }),
        ("disk_bytes_per_s", |options, end| options.compaction.budget.disk_bytes_per_s = Some(end)),
        ("upload_bytes_per_s", |options, end| options.compaction.budget.upload_bytes_per_s = Some(end)),
        ("offer_bytes_min", |options, end| {
            let remote = RemoteCompaction { offer_bytes_min: end, ..RemoteCompaction::default() };
            options.compaction.remote = Some(remote);
        }),
        ("lease", |options, end| {
            let remote = RemoteCompaction { lease: Duration::from_secs(end), ..RemoteCompaction::default() };
            options.compaction.remote = Some(remote);
        }),
        ("seed", |options, end| options.seed = Some(end)),
    ];
    for (name, set) in fields {
        for end in ENDS {
            let place = tempfile::tempdir().unwrap();
            let mut options = Options {
                disk: DiskOptions { dir: Some(place.path().to_owned()), ..DiskOptions::default() },
                ..small(1)
            };
            set(&mut options, end);
            if options.shards == 0 {
                // One for each core.
                options.memory_bytes = options.memory_bytes.max(64 << 20);
            }
            match aquifer::block_on(works(options)) {
                Ok(()) => println!("{name} {end}: works"),
                Err(error) => assert!(is_said(&error), "{name} {end}: {error}"),
            }
        }
    }
}

/// Large budgets cost nothing before they are used.
#[test]
fn a_budget_larger_than_any_machine_works() {
    let options = Options { memory_bytes: 1 << 44, ..small(1) };
    aquifer::block_on(works(options)).unwrap();
}

async fn event_time() -> (Arc<dyn Remote>, Engine, Client) {
    let remote = memory();
    let options = Options { ttl_time: TtlTime::Event, ..small(1) };
    let engine = Engine::open(Arc::clone(&remote), options).await.unwrap();
    let client = engine.client();
    (remote, engine, client)
}

#[test]
fn every_number_of_an_operation() {
    aquifer::block_on(async {
        for end in ENDS {
            let (_, engine, client) = event_time().await;
            client.put(b"key", b"value").await.unwrap();
            let expiries = [
                Expiry::At(end),
                Expiry::After(Duration::from_millis(end)),
                Expiry::After(Duration::from_secs(end)),
            ];
            for expiry in expiries {
                if let Err(error) = client.put_with(b"mortal", b"value", expiry).await {
                    assert!(end == 0 && is_said(&error), "{expiry:?}: {error}");
                }
            }
            client.advance_event_time(end).unwrap();
            client.put(b"after", b"value").await.unwrap();
            let late = client.put_with(b"late", b"value", Expiry::After(Duration::MAX)).await;
            assert!(late.is_ok() || end >= u64::MAX - 1 && is_said(&late.unwrap_err()));
            client.checkpoint(Vec::new()).await.unwrap();
            for timeout in [Duration::from_millis(end), Duration::MAX] {
                let options = MultiGetOptions { timeout: Some(timeout), ..MultiGetOptions::default() };
                assert_eq!(client.multi_get([b"key"], &options).await.unwrap().len(), 1);
            }
            let options = ScanOptions { page_entries: bytes(end), ..ScanOptions::default() };
            let mut scan = client.scan(&KeyRange::beside(b"key", ..), &options);
            assert!(scan.next().await.is_ok_and(|_| end == 1) || end != 1);
            let group = u16::try_from(end).unwrap_or(u16::MAX);
            for (group, entries) in [(group, 10), (0, bytes(end)), (group, bytes(end))] {
                if let Err(error) = client.scan_group(group, None, entries).await {
                    assert!(error.kind() == ErrorKind::Invalid, "{error}");
                }
            }
            let absent = client.run_on_shard(bytes(end), |_| async {}).await;
            assert_eq!(absent.is_ok(), end == 0);
            for changed in [engine.set_memory_bytes(end).await, engine.set_disk_bytes(end).await] {
                assert!(changed.is_ok() || changed.is_err_and(|error| error.kind() == ErrorKind::Invalid));
            }
            assert_eq!(client.get(b"key").await.unwrap().as_deref(), Some(b"value".as_slice()));
            engine.close().await.unwrap();
        }
    });
}

#[test]
fn every_number_of_those_who_do_not_own_the_store() {
    aquifer::block_on(async {
        let (remote, engine, client) = event_time().await;
        client.put(b"key", b"value").await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
        for end in ENDS {
            let set: [fn(&mut ReaderOptions, u64); 4] = [
                |options, end| options.checkpoint = Some(end),
                |options, end| options.shards = bytes(end),
                |options, end| options.memory_bytes = end,
                |options, end| options.now_ms = Some(end),
            ];
            for set in set {
                let mut options = ReaderOptions { now_ms: Some(0), ..ReaderOptions::default() };
                set(&mut options, end);
                match Reader::open(Arc::clone(&remote), options).await {
                    Ok(reader) => assert!(reader.get(b"key").await.unwrap().is_some()),
                    Err(error) => assert!(is_said(&error), "{end}: {error}"),
                }
            }
            let set: [fn(&mut VerifyOptions, u64); 3] = [
                |options, end| options.checkpoint = Some(end),
                |options, end| options.reads_in_flight = bytes(end),
                |options, end| options.window_bytes = bytes(end),
            ];
            for set in set {
                let mut options = VerifyOptions::default();
                set(&mut options, end);
                if let Err(error) = verify_store(Arc::clone(&remote), options, |_| {}).await {
                    assert!(is_said(&error), "{end}: {error}");
                }
            }
            let set: [fn(&mut WorkerOptions, u64); 6] = [
                |options, end| options.memory_bytes = end,
                |options, end| options.poll = Duration::from_secs(end),
                |options, end| options.beat = Duration::from_secs(end),
                |options, end| options.budget.cpu_percent = u8::try_from(end).unwrap_or(u8::MAX),
                |options, end| {
                    options.budget =
                        CompactionBudget { upload_bytes_per_s: Some(end), ..CompactionBudget::default() }
                },
                |options, end| options.seed = Some(end),
            ];
            for set in set {
                // It looks for a job once.
                let mut options =
                    WorkerOptions { idle_max: Some(Duration::ZERO), ..WorkerOptions::default() };
                set(&mut options, end);
                if let Err(error) = compact_store(Arc::clone(&remote), options).await {
                    assert!(is_said(&error), "{end}: {error}");
                }
            }
        }
    });
}
