//! The memory of a whole engine, against its budget: a counting allocator sees all that it takes while it is loaded, overwritten, read,
//! scanned and merged, with far more state than memory. A program of its own, without test threads: the allocator counts for the whole process.
//!
//! Threads' stacks and what the allocator of a user's choice keeps unused are not in the count.

#![expect(clippy::expect_used, reason = "a test")]

use aquifer::{DiskOptions, Engine, ErrorKind, KeyRange, MultiGetOptions, Options, ScanOptions};
use aquifer_remote::{RemoteOptions, open_url};
use futures_util::future::join_all;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MEMORY_BYTES: u64 = 48 << 20;
/// What it is made while the engine runs.
const SMALLER_BYTES: u64 = 24 << 20;
/// Of the test itself and its calls in flight, of the process and its HTTP client.
const BESIDE_BYTES: u64 = 8 << 20;
const DISK_BYTES: u64 = 64 << 20;
const KEYS: u64 = 400_000;
/// Keys and values together are several times the budget.
const VALUE_BYTES: usize = 300;

fn key(n: u64) -> [u8; 16] {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut key = [0; 16];
    key.split_at_mut(8).0.copy_from_slice(&mixed.to_le_bytes());
    key.split_at_mut(8).1.copy_from_slice(&n.to_le_bytes());
    key
}

fn value(n: u64, version: u8) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(n);
    let mut value: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(VALUE_BYTES).collect();
    value.push(version);
    value
}

/// The most that was taken since the last call, and what is allowed.
fn check(phase: &str, before_bytes: usize) {
    check_within(phase, before_bytes, MEMORY_BYTES, 32 << 20);
}

/// The same with another budget; `beside` is what the test and the process take themselves.
fn check_within(phase: &str, before_bytes: usize, memory_bytes: u64, beside: u64) {
    let peak = ALLOCATOR.peak_usage().saturating_sub(before_bytes);
    let most = usize::try_from(memory_bytes / 20 * 21 + beside).expect("a small number");
    println!("{phase}: {:.1} MiB at most, of {:.1} MiB", peak as f64 / 1048576.0, most as f64 / 1048576.0);
    assert!(peak <= most, "{phase}: {peak} bytes, {most} are allowed");
    ALLOCATOR.reset_peak_usage();
}

async fn put_all(client: &aquifer::Client, version: u8) {
    for first in (0..KEYS).step_by(256) {
        let puts = (first..(first + 256).min(KEYS)).map(|n| client.put(&key(n), &value(n, version)));
        for put in join_all(puts).await {
            put.expect("put");
        }
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}/store", folder.path().display());
    let before_bytes = ALLOCATOR.current_usage();
    aquifer::block_on(async {
        let remote = open_url(&url, RemoteOptions::default()).expect("a store");
        let options = Options {
            shards: 2,
            memory_bytes: MEMORY_BYTES,
            disk: DiskOptions {
                bytes: DISK_BYTES,
                dir: Some(folder.path().join("local")),
                ..DiskOptions::default()
            },
            seed: Some(3),
            ..Options::default()
        };
        let engine = Engine::open(remote, options).await.expect("an engine");
        let client = engine.client();
        check("open", before_bytes);
        put_all(&client, 1).await;
        check("load", before_bytes);
        put_all(&client, 2).await;
        check("overwrite", before_bytes);
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let numbers: Vec<u64> = (0..256).map(|_| random.u64(..KEYS)).collect();
            let gets = join_all(numbers.iter().map(|n| client.get(&key(*n)))).await;
            for (n, got) in numbers.iter().zip(gets) {
                assert_eq!(got.expect("get").as_deref(), Some(&*value(*n, 2)), "key {n}");
            }
        }
        check("gets", before_bytes);
        for _ in 0..8 {
            let numbers: Vec<u64> = (0..4096).map(|_| random.u64(..KEYS)).collect();
            let keys: Vec<_> = numbers.iter().map(|n| key(*n)).collect();
            let answers = client.multi_get(&keys, &MultiGetOptions::default()).await.expect("multi-get");
            for (n, answer) in numbers.iter().zip(answers) {
                let answer = answer.expect("an answer");
                assert_eq!(answer.value.as_deref(), Some(&*value(*n, 2)), "key {n}");
            }
        }
        check("multi-gets of 4096", before_bytes);
        client.checkpoint(Vec::new()).await.expect("checkpoint");
        check("checkpoint", before_bytes);
        let mut entries = 0u64;
        for group in 0..128 {
            let mut scan = client.scan(&KeyRange::group(group), &ScanOptions::default());
            while let Some((_, value)) = scan.next().await.expect("the next entry") {
                assert_eq!(value.last(), Some(&2));
                entries += 1;
            }
        }
        assert_eq!(entries, KEYS);
        check("scan of everything", before_bytes);
        // Less memory while all of it is in use: from the answer on nothing takes more than that.
        engine.set_memory_bytes(SMALLER_BYTES).await.expect("less memory");
        ALLOCATOR.reset_peak_usage();
        put_all(&client, 3).await;
        check_within("overwrite with less memory", before_bytes, SMALLER_BYTES, BESIDE_BYTES);
        for _ in 0..100 {
            let numbers: Vec<u64> = (0..256).map(|_| random.u64(..KEYS)).collect();
            let gets = join_all(numbers.iter().map(|n| client.get(&key(*n)))).await;
            for (n, got) in numbers.iter().zip(gets) {
                assert_eq!(got.expect("get").as_deref(), Some(&*value(*n, 3)), "key {n}");
            }
        }
        check_within("gets with less memory", before_bytes, SMALLER_BYTES, BESIDE_BYTES);
        client.checkpoint(Vec::new()).await.expect("checkpoint");
        check_within("checkpoint with less memory", before_bytes, SMALLER_BYTES, BESIDE_BYTES);
        engine.set_memory_bytes(MEMORY_BYTES).await.expect("more memory");
        put_all(&client, 4).await;
        check("overwrite with all memory again", before_bytes);
        engine.close().await.expect("close");
    });
    large_values(&format!("file://{}/large", folder.path().display()));
}

const LARGE_MEMORY_BYTES: u64 = 32 << 20;
const LARGE_KEYS: u32 = 192;
const LARGE_BYTES: usize = 1 << 20;

/// Values of a megabyte, six times the budget: what is read at once is bounded, whoever asks for how much. Four multi-gets of 4,096 of
/// them took 5.4 GiB once.
fn large_values(url: &str) {
    let before_bytes = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    // Four callers hold a page each of what they took, and the file system's client has the bodies of extents that it is reading.
    let beside = BESIDE_BYTES + (32 << 20);
    aquifer::block_on(async {
        let remote = open_url(url, RemoteOptions::default()).expect("a store");
        let options =
            Options { shards: 1, memory_bytes: LARGE_MEMORY_BYTES, seed: Some(4), ..Options::default() };
        let engine = Engine::open(remote.clone(), options).await.expect("an engine");
        let client = engine.client();
        for n in 0..LARGE_KEYS {
            let mut random = fastrand::Rng::with_seed(u64::from(n));
            let value: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(LARGE_BYTES).collect();
            client.put(&n.to_le_bytes(), &value).await.expect("put");
        }
        client.checkpoint(Vec::new()).await.expect("checkpoint");
        check_within("large values written", before_bytes, LARGE_MEMORY_BYTES, beside);
        let keys: Vec<_> = (0..LARGE_KEYS).map(u32::to_le_bytes).collect();
        for round in 0..2 {
            join_all((0..4).map(|_| in_pages(&client, &keys))).await;
            check_within("multi-gets of large values", before_bytes, LARGE_MEMORY_BYTES, beside);
            // Each is taken when its turn comes: until then the shard holds the next ones back.
            let gets: Vec<_> = keys.iter().map(|key| client.get(key)).collect();
            for get in gets {
                assert_eq!(get.await.expect("get").map(|value| value.len()), Some(LARGE_BYTES));
            }
            check_within("gets of large values that nobody takes", before_bytes, LARGE_MEMORY_BYTES, beside);
            for get in join_all(keys.iter().map(|key| client.get(key))).await {
                // What all of them have is the caller's.
                assert_eq!(get.expect("get").map(|value| value.len()), Some(LARGE_BYTES), "round {round}");
            }
            ALLOCATOR.reset_peak_usage();
        }
        engine.close().await.expect("close");
        huge_value(remote, before_bytes).await;
    });
}

async fn in_pages(client: &aquifer::Client, keys: &[[u8; 4]]) {
    let mut left = keys.to_vec();
    while !left.is_empty() {
        let answers = client.multi_get(&left, &MultiGetOptions::default()).await.expect("multi-get");
        let mut rest = Vec::new();
        for (key, answer) in left.iter().zip(answers) {
            if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Remaining) {
                rest.push(*key);
                continue;
            }
            let value = answer.expect("an answer").value;
            assert_eq!(value.map(|value| value.len()), Some(LARGE_BYTES));
        }
        assert!(rest.len() < left.len(), "a page gives something");
        left = rest;
    }
}

/// The largest value there can be, read by an engine with far less memory: a few times the value, and no more.
async fn huge_value(remote: std::sync::Arc<dyn aquifer_remote::Remote>, before_bytes: usize) {
    let large = Options { shards: 1, memory_bytes: 2 << 30, seed: Some(5), ..Options::default() };
    let engine = Engine::open(remote.clone(), large.clone()).await.expect("an engine");
    engine.client().put(b"huge", &vec![7; aquifer::VALUE_BYTES_MAX]).await.expect("put");
    engine.client().checkpoint(Vec::new()).await.expect("checkpoint");
    engine.close().await.expect("close");
    let small = Options { memory_bytes: LARGE_MEMORY_BYTES, ..large };
    let engine = Engine::open(remote, small).await.expect("an engine");
    ALLOCATOR.reset_peak_usage();
    for get in join_all((0..8).map(|_| engine.client().get(b"huge"))).await {
        assert_eq!(get.expect("get").map(|value| value.len()), Some(aquifer::VALUE_BYTES_MAX));
    }
    engine.close().await.expect("close");
    // Eight answers are the callers' in the end.
    let beside = BESIDE_BYTES + 12 * aquifer::VALUE_BYTES_MAX as u64;
    check_within("a huge value", before_bytes, LARGE_MEMORY_BYTES, beside);
}
