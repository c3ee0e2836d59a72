//! The wrappers together and one by one: conformance, repeats, deadlines, doubt.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aquifer_io::{now, sleep, spawn_local};
use aquifer_remote::shape::{Fault, FaultRates, LatencyProfile};
use aquifer_remote::{
    HedgeOptions, ObjectName, Operation, Prices, PutOutcome, RemoteErrorKind, RemoteOptions, ShapeOptions,
    SimulatedDfs, conformance, wrap,
};

use crate::world::{in_world, virtual_time, wrapped};

fn name(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

fn only(fault: Fault) -> ShapeOptions {
    let rates = format!("{fault}=100%").parse().unwrap();
    ShapeOptions { faults: rates, ..ShapeOptions::default() }
}

/// Each wrapper alone, as far as options can switch the others off, then all.
#[test]
fn every_composition_conforms() {
    let plain = || RemoteOptions { hedge: None, retries_max: 0, ..virtual_time(1) };
    let compositions = [
        ("plain", plain()),
        ("retry", RemoteOptions { retries_max: 5, ..plain() }),
        ("hedge", RemoteOptions { hedge: Some(HedgeOptions::default()), ..plain() }),
        ("limits", RemoteOptions { requests_in_flight_max: 3, bytes_in_flight_max: 64 << 10, ..plain() }),
        ("read back", RemoteOptions { exists_read_back: true, ..plain() }),
        ("cost", RemoteOptions { prices: Prices::S3, ..plain() }),
        (
            "shape",
            RemoteOptions {
                shape: ShapeOptions {
                    latency: LatencyProfile::Hdfs,
                    bandwidth_bytes_per_s: 100 << 20,
                    ..ShapeOptions::default()
                },
                ..plain()
            },
        ),
        ("all", RemoteOptions { exists_read_back: true, prices: Prices::GCS, ..virtual_time(1) }),
    ];
    for (label, options) in compositions {
        in_world(3, move || async move {
            let shape = ShapeOptions { latency: LatencyProfile::Hdfs, ..ShapeOptions::default() };
            let (dfs, stack) = wrapped(4, shape, &options);
            for (class, remote) in [("fg", &stack.foreground), ("bg", &stack.background)] {
                let outcome = conformance::run(remote, class, 30).await;
                assert!(outcome.is_ok(), "{label} {class}: {outcome:?}");
            }
            assert!(dfs.objects().is_empty(), "{label}");
            assert_eq!(stack.limits.foreground_in_flight().requests, 0, "{label}");
            assert_eq!(stack.limits.background_in_flight().bytes, 0, "{label}");
            assert!(stack.foreground_metrics.gets() > 400, "{label}");
        });
    }
}

/// Rates that fail one try in eight: the suite knows nothing of it.
#[test]
fn faults_that_pass_are_not_seen() {
    for seed in 0..3 {
        in_world(seed, move || async move {
            // Parts of uploads are not repeated by the wrappers, so the uploads' own requests must not fail: shaped here are
            // the kinds that leave them whole.
            let shape = ShapeOptions {
                latency: LatencyProfile::Hdfs,
                faults: FaultRates { slow_close: 40_000, truncated: 80_000, ..FaultRates::default() },
                ..ShapeOptions::default()
            };
            let options = RemoteOptions { retries_max: 12, ..virtual_time(seed) };
            let (_dfs, stack) = wrapped(seed, shape, &options);
            conformance::run(&stack.foreground, "suite", 30).await.unwrap();
            assert!(stack.repeats() > 20, "{}", stack.repeats());
        });
    }
}

#[test]
fn repeats_are_bounded_in_number_and_time() {
    for (fault, kind, puts_kind) in [
        (Fault::Unavailable, RemoteErrorKind::Unavailable, RemoteErrorKind::Unavailable),
        (Fault::ResetBefore, RemoteErrorKind::Unavailable, RemoteErrorKind::InDoubt),
        (Fault::Stall, RemoteErrorKind::Unavailable, RemoteErrorKind::InDoubt),
    ] {
        in_world(5, move || async move {
            let options = virtual_time(5);
            let (dfs, stack) = wrapped(6, only(fault), &options);
            let begun = now();
            let failure = stack.foreground.get(&name("x"), 10).await.unwrap_err();
            assert_eq!(failure.kind(), kind, "{fault}: {failure}");
            assert!(
                begun.elapsed() <= options.deadline + Duration::from_millis(1),
                "{fault}: {:?}",
                begun.elapsed()
            );
            let tries = dfs.requests();
            if fault == Fault::Stall {
                assert_eq!(tries, 2, "{fault}: two attempts of 4.5 s");
            } else {
                assert_eq!(tries, 1 + options.retries_max as u64, "{fault}");
                assert!(begun.elapsed() < options.retry_time_max);
            }
            let begun = now();
            let failure = stack.foreground.list("", None, 1_000).await.unwrap_err();
            assert_eq!(failure.kind(), kind, "{fault}: {failure}");
            assert!(begun.elapsed() <= 3 * options.deadline, "{fault}: {:?}", begun.elapsed());
            let begun = now();
            let failure = stack.foreground.put_if_absent(&name("y"), vec![1].into()).await.unwrap_err();
            assert_eq!(failure.kind(), puts_kind, "{fault}: {failure}");
            assert!(
                begun.elapsed() <= options.deadline + Duration::from_millis(1),
                "{fault}: {:?}",
                begun.elapsed()
            );
        });
    }
}

/// Without repeats the one attempt has the whole deadline, and a doubt is settled all the same.
#[test]
fn a_store_that_repeats_by_itself_has_the_time_for_it() {
    in_world(5, || async {
        let options = RemoteOptions { retries_max: 0, ..virtual_time(5) };
        let (dfs, stack) = wrapped(6, only(Fault::Stall), &options);
        let begun = now();
        stack.foreground.get(&name("x"), 10).await.unwrap_err();
        assert_eq!(dfs.requests(), 1);
        assert!(begun.elapsed() >= options.deadline, "{:?}", begun.elapsed());
        dfs.set_faults(only(Fault::ResetBefore).faults);
        let put = stack.foreground.put_if_absent(&name("y"), vec![1; 8].into());
        dfs.set_faults(FaultRates::default());
        assert_eq!(put.await.unwrap(), PutOutcome::Created);
        assert_eq!(dfs.requests(), 4, "put, get, put");
    });
}

/// What is final is asked once.
#[test]
fn final_errors_are_not_repeated() {
    in_world(5, || async {
        let (dfs, stack) = wrapped(6, ShapeOptions::default(), &virtual_time(5));
        stack.foreground.put(&name("x"), vec![1; 10].into()).await.unwrap();
        let before = dfs.requests();
        for (failure, kind) in [
            (stack.foreground.get(&name("none"), 10).await.unwrap_err(), RemoteErrorKind::NotFound),
            (stack.foreground.get(&name("x"), 9).await.unwrap_err(), RemoteErrorKind::TooLarge),
            (stack.foreground.get_range(&name("x"), 5..11).await.unwrap_err(), RemoteErrorKind::BadRange),
        ] {
            assert_eq!(failure.kind(), kind);
        }
        assert_eq!(
            stack.foreground.put_if_absent(&name("x"), vec![2].into()).await.unwrap(),
            PutOutcome::Exists
        );
        assert_eq!(dfs.requests(), before + 4);
        assert_eq!(stack.repeats(), 0);
        assert_eq!(stack.foreground_metrics.errors_of(RemoteErrorKind::NotFound), 1);
    });
}

/// Every answer of a write is lost: it was applied, and the one who reads it back knows.
#[test]
fn a_lost_answer_is_a_win_when_the_bytes_are_ours() {
    in_world(8, || async {
        let (dfs, stack) = wrapped(9, ShapeOptions::default(), &virtual_time(8));
        let remote = stack.foreground;
        for round in 0..50_u8 {
            let (mine, theirs) = (name(&format!("mine/{round}")), name(&format!("theirs/{round}")));
            remote.put(&theirs, vec![200; 8].into()).await.unwrap();
            dfs.set_faults(only(Fault::ResetAfter).faults);
            let (put, lost) = (
                remote.put_if_absent(&mine, vec![round; 8].into()),
                remote.put_if_absent(&theirs, vec![round; 8].into()),
            );
            // The faults are drawn at the call: what follows gets through.
            dfs.set_faults(FaultRates::default());
            assert_eq!(put.await.unwrap(), PutOutcome::Created);
            assert_eq!(lost.await.unwrap(), PutOutcome::Exists);
            assert_eq!(remote.get(&mine, 8).await.unwrap(), vec![round; 8]);
            assert_eq!(remote.get(&theirs, 8).await.unwrap(), vec![200; 8]);
        }
        // Longer, shorter and other bytes are not ours.
        for (there, length) in [(vec![1; 9], 8), (vec![1; 7], 8), (vec![], 8), (vec![1; 8], 0)] {
            let object = name(&format!("length/{}-{length}", there.len()));
            remote.put(&object, there.into()).await.unwrap();
            dfs.set_faults(only(Fault::ResetBefore).faults);
            let lost = remote.put_if_absent(&object, vec![1; length].into());
            dfs.set_faults(FaultRates::default());
            assert_eq!(lost.await.unwrap(), PutOutcome::Exists);
        }
    });
}

/// A store below that repeats by itself says `Exists` of its own success.
#[test]
fn exists_is_read_back_where_the_store_repeats_by_itself() {
    in_world(8, || async {
        let dfs = SimulatedDfs::new(9, &ShapeOptions::default());
        let options = RemoteOptions { exists_read_back: true, ..virtual_time(8) };
        let remote = wrap(dfs.remote(), &options).unwrap().foreground;
        remote.put(&name("mine"), vec![1; 8].into()).await.unwrap();
        assert_eq!(
            remote.put_if_absent(&name("mine"), vec![1; 8].into()).await.unwrap(),
            PutOutcome::Created
        );
        assert_eq!(remote.put_if_absent(&name("mine"), vec![2; 8].into()).await.unwrap(), PutOutcome::Exists);
    });
}

/// First come, first served; a waiter that is dropped gives its place up; the background has its own permits.
#[test]
fn limits_are_fair_exact_and_survive_dropped_futures() {
    in_world(10, || async {
        let shape = ShapeOptions { latency: LatencyProfile::S3, ..ShapeOptions::default() };
        let options = RemoteOptions {
            requests_in_flight_max: 4,
            bytes_in_flight_max: 40 << 10,
            background_requests_in_flight_max: 1,
            hedge: None,
            ..virtual_time(10)
        };
        let (dfs, stack) = wrapped(11, shape, &options);
        stack.foreground.put(&name("x"), vec![7; 64 << 10].into()).await.unwrap();
        let started = dfs.requests();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        let mut dropped = Vec::new();
        for read in 0..60_u64 {
            let future = stack.foreground.get_range(&name("x"), read..read + (16 << 10));
            if read % 3 == 1 {
                dropped.push(future);
                continue;
            }
            let order = Arc::clone(&order);
            tasks.push(spawn_local(async move {
                future.await.unwrap();
                order.lock().unwrap().push(read);
            }));
            // Each is in line before the next comes.
            aquifer_io::yield_now().await;
            aquifer_io::yield_now().await;
        }
        // 40 KiB are two ranges of 16 KiB, though four requests were allowed.
        let in_flight = stack.limits.foreground_in_flight();
        assert!((32 << 10..=40 << 10).contains(&in_flight.bytes), "{in_flight:?}");
        assert!(dfs.requests() <= started + 2, "{}", dfs.requests() - started);
        // The background does not wait for the foreground.
        assert_eq!(stack.background.get_range(&name("x"), 0..9).await.unwrap().len(), 9);
        drop(dropped);
        let watched = Arc::clone(&stack.limits);
        let watch = spawn_local(async move {
            for _ in 0..500 {
                let in_flight = watched.foreground_in_flight();
                assert!(in_flight.requests <= 4 && in_flight.bytes <= 40 << 10, "{in_flight:?}");
                sleep(Duration::from_millis(2)).await;
            }
        });
        for task in tasks {
            task.await.unwrap();
        }
        watch.await.unwrap();
        let order = order.lock().unwrap().clone();
        assert_eq!(order.len(), 40);
        // Two run at once and latencies differ, so neighbours may swap; nobody is overtaken by far.
        for (place, read) in order.iter().enumerate() {
            let due = read / 3 * 2 + u64::from(read % 3 == 2);
            assert!(due.abs_diff(place as u64) <= 8, "{read} came at {place}");
        }
        let in_flight = stack.limits.foreground_in_flight();
        assert_eq!((in_flight.requests, in_flight.bytes), (0, 0));
    });
}

/// A range larger than the limit goes alone, and does go.
#[test]
fn what_is_larger_than_the_limit_goes_alone() {
    in_world(12, || async {
        let options = RemoteOptions { bytes_in_flight_max: 1_000, ..virtual_time(12) };
        let (_dfs, stack) = wrapped(13, ShapeOptions::default(), &options);
        stack.foreground.put(&name("x"), vec![7; 50_000].into()).await.unwrap();
        let (one, two) = futures_util::future::join(
            stack.foreground.get_range(&name("x"), 0..50_000),
            stack.foreground.get_range(&name("x"), 0..10),
        )
        .await;
        assert_eq!((one.unwrap().len(), two.unwrap().len()), (50_000, 10));
        assert_eq!(stack.cost.requests(Operation::GetRange), 2);
    });
}
