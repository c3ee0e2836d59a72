//! What the warm-up of a restore elsewhere is worth: gets of the first minute with and without it, on a simulated store with the latencies
//! of S3: `cargo run --release -p aquifer --example warm_up`. Time is virtual: what a get waits for is counted, what it computes is not.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement ends at the first failure, and its numbers are small"
)]

use aquifer::{Client, DiskOptions, Engine, Options};
use aquifer_cache::ReadClass;
use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_remote::shape::LatencyProfile;
use aquifer_remote::{ShapeOptions, SimulatedDfs};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// Keys of 16 bytes with values of 100; another number as the first argument.
const KEYS: u64 = 400_000;
const GETS_PER_S: u64 = 1_000;
const SECONDS: u64 = 60;
/// Ends of the windows that are reported, in seconds.
const WINDOWS: [u64; 4] = [1, 5, 15, SECONDS];
const ZIPF: f64 = 0.99;

fn main() {
    let keys = std::env::args().nth(1).map_or(KEYS, |keys| keys.parse().expect("a number of keys"));
    let shape = ShapeOptions { bandwidth_bytes_per_s: 200 << 20, ..ShapeOptions::default() };
    let dfs = SimulatedDfs::new(1, &shape);
    let world = World::new(1, WorldOptions { trace_bytes_max: 0, ..WorldOptions::default() });
    let driver = world.spawn_executor(ExecutorOptions::default(), move || measure(dfs, keys));
    world.run_for(Duration::from_secs(24 * 3_600));
    driver.join().unwrap();
}

/// A key that is as long as its number is not.
fn key(id: u64) -> Vec<u8> {
    [id.to_le_bytes(), id.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()].concat()
}

fn value(id: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(id);
    (0..100).map(|_| random.u8(..)).collect()
}

/// Keys by Zipf's law: the cumulated shares of their ranks.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: u64) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += (rank as f64).powf(-ZIPF);
                sum
            })
            .collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Self(shares)
    }

    fn next(&self, random: &mut fastrand::Rng) -> u64 {
        let at = random.f64();
        // Ranks are spread over the keys.
        let rank = self.0.partition_point(|share| *share < at) as u64;
        rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.0.len() as u64
    }
}

fn options(keys: u64, warm_up: bool, disk: Option<&str>) -> Options {
    let state_bytes = keys * 116;
    Options {
        key_groups: Some(128),
        shards: 1,
        // A tenth of the state, and what a shard needs at least.
        memory_bytes: (state_bytes / 10).max(8 << 20),
        disk: DiskOptions {
            bytes: disk.map_or(0, |_| state_bytes * 2),
            dir: disk.map(PathBuf::from),
            ..DiskOptions::default()
        },
        warm_up,
        seed: Some(1),
        ..Options::default()
    }
}

/// Gets at a fixed rate, by Zipf's law: the time that each took, in the order of their beginnings.
async fn gets(client: &Client, zipf: &Zipf, seconds: u64, seed: u64) -> Vec<Duration> {
    let mut random = fastrand::Rng::with_seed(seed);
    let took = Rc::new(RefCell::new(vec![Duration::ZERO; (seconds * GETS_PER_S) as usize]));
    let mut tasks = Vec::new();
    for number in 0..seconds * GETS_PER_S {
        let (client, took, id) = (client.clone(), Rc::clone(&took), zipf.next(&mut random));
        tasks.push(aquifer_io::spawn_local(async move {
            let began = aquifer_io::now();
            assert!(client.get(&key(id)).await.unwrap().is_some());
            took.borrow_mut()[number as usize] = began.elapsed();
        }));
        aquifer_io::sleep(Duration::from_secs(1) / GETS_PER_S as u32).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    took.take()
}

async fn measure(dfs: SimulatedDfs, keys: u64) {
    let zipf = Zipf::new(keys);
    let engine = Engine::open(dfs.remote(), options(keys, true, Some("/here"))).await.unwrap();
    let client = engine.client();
    for id in 0..keys {
        client.put(&key(id), &value(id)).await.unwrap();
    }
    client.checkpoint(Vec::new()).await.unwrap();
    aquifer_io::sleep(Duration::from_secs(60)).await;
    dfs.set_latency(LatencyProfile::S3);
    gets(&client, &zipf, 10 * SECONDS, 1).await;
    let checkpoint = client.checkpoint(Vec::new()).await.unwrap();
    println!(
        "{keys} keys of 16 B + 100 B, Zipf {ZIPF}, {GETS_PER_S} gets/s, memory a tenth; listed: {} extents",
        checkpoint.hot_extents
    );
    engine.close().await.unwrap();
    for (name, folder) in [("no SSD", None), ("SSD for all, empty", Some("/elsewhere"))] {
        for warm_up in [false, true] {
            let folder = folder.map(|folder| format!("{folder}-{warm_up}"));
            let engine = Engine::open(dfs.remote(), options(keys, warm_up, folder.as_deref())).await.unwrap();
            let client = engine.client();
            println!("\n{name}, {} warm-up", if warm_up { "with" } else { "without" });
            let (mut from, mut requests) = (0, dfs.requests());
            for to in WINDOWS {
                let mut took = gets(&client, &zipf, to - from, 1_000 + to).await;
                took.sort_unstable();
                let ms = |part: f64| took[(took.len() as f64 * part) as usize].as_secs_f64() * 1e3;
                let waited = took.iter().filter(|took| took.as_millis() >= 5).count();
                println!(
                    "  second {from:>2} to {to:>2}: p50 {:>6.2} ms, p99 {:>6.1} ms, mean {:>6.2} ms; {:>4.1} % of gets waited for the store, {} GETs",
                    ms(0.5),
                    ms(0.99),
                    took.iter().sum::<Duration>().as_secs_f64() * 1e3 / took.len() as f64,
                    waited as f64 * 100.0 / took.len() as f64,
                    dfs.requests() - requests
                );
                (from, requests) = (to, dfs.requests());
            }
            let shard = &client.stats().await.unwrap().shards[0];
            let reads = shard.cache.plan.remote[ReadClass::WarmUp as usize];
            println!(
                "  warm-up: {:?}; {} GETs of {:.1} MB in all, {:.1} blocks each",
                shard.warm_up,
                reads.requests,
                reads.read_bytes as f64 / 1e6,
                reads.merge_factor().unwrap_or(0.0)
            );
            engine.close().await.unwrap();
        }
    }
}
