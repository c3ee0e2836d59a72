//! The simulated store: conforms, replays, outlives a machine.

use crate::world;
use std::time::Duration;

use aquifer_io::simulated::{RunEnd, World, WorldOptions};
use aquifer_io::{sleep, spawn_local};
use aquifer_remote::shape::{FaultRates, LatencyProfile};
use aquifer_remote::{ObjectName, RemoteErrorKind, ShapeOptions, SimulatedDfs, conformance, wrap};

use crate::world::{in_world, options, virtual_time};

const S3: ShapeOptions = ShapeOptions {
    latency: LatencyProfile::S3,
    bandwidth_bytes_per_s: 100 << 20,
    faults: FaultRates {
        unavailable: 0,
        reset_before: 0,
        reset_after: 0,
        slow_close: 0,
        truncated: 0,
        stall: 0,
    },
};

fn name(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

#[test]
fn it_conforms() {
    for shape in [ShapeOptions::default(), S3] {
        in_world(1, move || async move {
            let dfs = SimulatedDfs::new(2, &shape);
            conformance::run(&dfs.remote(), "bare", 200).await.unwrap();
            assert!(dfs.objects().is_empty());
        });
    }
}

/// Requests of several tasks, with faults and retries: the same seeds give the same requests at the same virtual times.
fn busy(seed: u64) -> (String, u64, u64) {
    let shape = ShapeOptions { faults: FaultRates::each(20_000), ..S3 };
    let dfs = SimulatedDfs::new(seed, &shape);
    let kept = dfs.clone();
    in_world(seed, move || async move {
        let stack = wrap(dfs.remote(), &virtual_time(seed)).unwrap();
        let tasks: Vec<_> = (0..8_u64)
            .map(|task| {
                let remote = world::foreground(&stack);
                spawn_local(async move {
                    for round in 0..25 {
                        let object = name(&format!("object/{task}-{}", aquifer_io::random_u64() % 10));
                        let content = vec![u8::try_from(task).unwrap(); 1_000 + round];
                        drop(remote.put_if_absent(&object, content.into()).await);
                        drop(remote.get(&object, 10_000).await);
                        drop(remote.list("object/", None, 5).await);
                        if round % 5 == 0 {
                            drop(remote.delete(&object).await);
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    (kept.trace(), kept.trace_hash(), kept.requests())
}

#[test]
fn the_same_seed_gives_the_same_requests_at_the_same_times() {
    let first = busy(7);
    assert!(first.2 > 700 && first.0.lines().count() > 1_000, "{} requests", first.2);
    assert_eq!(first, busy(7));
    assert_ne!(first.1, busy(8).1);
    // On another thread, too.
    assert_eq!(std::thread::spawn(|| busy(7).1).join().unwrap(), first.1);
}

/// What was applied is there after a crash; what was on the wire is there whole or not at all, as the seed says.
#[test]
fn objects_outlive_the_machine() {
    let mut arrived = 0;
    for seed in 0..40 {
        let dfs = SimulatedDfs::new(seed, &S3);
        let world = World::new(seed, WorldOptions::default());
        let remote = dfs.remote();
        drop(world.spawn_executor(options("writer"), move || async move {
            remote.put(&name("durable"), vec![1; 100].into()).await.unwrap();
            // Never polled to its end: the machine crashes a moment after.
            let on_the_wire = remote.put(&name("wire"), vec![2; 100].into());
            sleep(Duration::from_millis(1)).await;
            drop(on_the_wire);
            let _late = remote.put(&name("late"), vec![3; 100].into()).await;
        }));
        while dfs.requests() < 3 {
            assert_eq!(world.run_for(Duration::from_millis(5)), RunEnd::TimeUp);
        }
        drop(world.crash());
        // A later world's time begins anew, and with it the pipe.
        let next = World::new(seed + 1_000, WorldOptions::default());
        let remote = dfs.remote();
        let reader = next.spawn_executor(options("reader"), move || async move {
            assert_eq!(remote.get(&name("durable"), 100).await.unwrap(), vec![1; 100]);
            for object in ["wire", "late"] {
                match remote.get(&name(object), 100).await {
                    Ok(bytes) => assert_eq!(bytes.len(), 100),
                    Err(error) => assert_eq!(error.kind(), RemoteErrorKind::NotFound),
                }
            }
        });
        reader.join().unwrap();
        assert!(next.now().as_nanos() < 2_000_000_000, "{:?}", next.now());
        arrived += dfs.objects().len() - 1;
    }
    assert!((20..=60).contains(&arrived), "of 80 on the wire {arrived} arrived");
}

#[test]
fn off_an_executor_it_says_so() {
    let dfs = SimulatedDfs::new(1, &ShapeOptions::default());
    let failure = aquifer_io::block_on(dfs.remote().head(&name("x"))).unwrap_err();
    assert_eq!(failure.kind(), RemoteErrorKind::Invalid, "{failure}");
    assert_eq!(dfs.requests(), 0);
}
