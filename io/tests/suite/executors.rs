//! Promises of executors: wakes, sleep, panics, ends.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aquifer_io::{
    Backend, Core, ExecutorOptions, File, IoErrorKind, TaskLost, cores_available, metrics, now, random_u64,
    sleep, spawn_executor, spawn_local, timeout, yield_now,
};
use tokio::sync::{mpsc, oneshot};

use super::{DIRECT, file_of_blocks, folder, options, read, run};

/// Four threads send to an executor that also reads a file. A lost wake would hang the test.
pub(crate) fn wakes_from_foreign_threads_are_never_lost(backend: Backend) {
    const THREADS: u64 = 4;
    // AQUIFER_TEST_WAKES=10000000 for the long run.
    let wakes = std::env::var("AQUIFER_TEST_WAKES").ok().and_then(|wakes| wakes.parse().ok());
    let messages_each: u64 = wakes.unwrap_or(400_000) / THREADS;
    let folder = folder();
    let path = folder.path().join("file");
    file_of_blocks(&path, 64);
    let received = Arc::new(AtomicU64::new(0));
    let (sender, mut receiver) = mpsc::channel::<u64>(4);
    let sum = Arc::clone(&received);
    let executor = spawn_executor(options(backend), move || async move {
        let file = File::open(&path, DIRECT).await.unwrap();
        let stop = Rc::new(Cell::new(false));
        let reader = {
            let stop = Rc::clone(&stop);
            spawn_local(async move {
                while !stop.get() {
                    read(&file, random_u64() % 64 * 4096, 4096).await.unwrap();
                }
            })
        };
        while let Some(message) = receiver.recv().await {
            sum.fetch_add(message, Ordering::Relaxed);
        }
        stop.set(true);
        reader.await.unwrap();
        assert!(metrics().reads > 0);
    })
    .unwrap();
    let senders: Vec<_> = (0..THREADS)
        .map(|_| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for message in 1..=messages_each {
                    aquifer_io::block_on(sender.send(message)).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    for sender in senders {
        sender.join().unwrap();
    }
    executor.join().unwrap();
    assert_eq!(received.load(Ordering::Relaxed), THREADS * messages_each * (messages_each + 1) / 2);
}

/// Each message finds the executor asleep or just about to sleep: the hard moment for a wake.
pub(crate) fn ping_pong_with_a_foreign_thread(backend: Backend) {
    const ROUNDS: u32 = 20_000;
    let (ping, mut pings) = mpsc::unbounded_channel::<oneshot::Sender<u32>>();
    let executor = spawn_executor(options(backend), move || async move {
        let mut round = 0;
        while let Some(pong) = pings.recv().await {
            round += 1;
            pong.send(round).unwrap();
        }
    })
    .unwrap();
    for round in 1..=ROUNDS {
        let (pong, answer) = oneshot::channel();
        ping.send(pong).unwrap();
        assert_eq!(aquifer_io::block_on(answer).unwrap(), round);
    }
    drop(ping);
    executor.join().unwrap();
}

/// Nanoseconds this thread has had a core so far.
fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

pub(crate) fn an_idle_executor_sleeps(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("file");
    file_of_blocks(&path, 1);
    run(options(backend), move || async move {
        let file = File::open(&path, DIRECT).await.unwrap();
        read(&file, 0, 4096).await.unwrap();
        let waiting = spawn_local(std::future::pending::<()>());
        // A busy machine makes each wake-up dearer, never cheaper: the best of three counts.
        let mut used_ns = u64::MAX;
        for _ in 0..3 {
            let start_ns = thread_cpu_ns();
            sleep(Duration::from_millis(300)).await;
            used_ns = used_ns.min(thread_cpu_ns() - start_ns);
        }
        assert!(used_ns < 3_000_000, "{used_ns} ns of CPU in 300 idle ms");
        drop(waiting);
    });
}

pub(crate) fn panics_reach_somebody(backend: Backend) {
    run(options(backend), || async {
        let lost = spawn_local(async { panic!("first {}", 1) }).await.unwrap_err();
        assert_eq!(lost, TaskLost::Panicked("first 1".to_owned()));
        assert_eq!(spawn_local(async { 7 }).await, Ok(7), "the executor goes on");
    });
    let main = spawn_executor(options(backend), || async { panic!("in main") }).unwrap().join().unwrap_err();
    assert_eq!((main.kind(), main.found()), (IoErrorKind::Panicked, Some("in main")));
    let before_main = spawn_executor(options(backend), || {
        assert!(random_u64() == random_u64(), "before main");
        async {}
    });
    assert_eq!(before_main.unwrap().join().unwrap_err().kind(), IoErrorKind::Panicked);
    let detached = spawn_executor(options(backend), || async {
        drop(spawn_local(async { panic!("nobody waits") }));
        yield_now().await;
    });
    assert_eq!(detached.unwrap().join().unwrap_err().found(), Some("nobody waits"));
}

pub(crate) fn tasks_end_with_main_and_before_join_returns(backend: Backend) {
    struct Tells(Arc<AtomicU64>);
    impl Drop for Tells {
        fn drop(&mut self) {
            // Spawning now is too late, and harmless.
            drop(spawn_local(async { 1 }));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicU64::new(0));
    let inside = Arc::clone(&dropped);
    run(options(backend), move || async move {
        for _ in 0..1000 {
            let tells = Tells(Arc::clone(&inside));
            drop(spawn_local(async move {
                std::future::pending::<()>().await;
                drop(tells);
            }));
        }
        let (_sender, receiver) = oneshot::channel::<()>();
        drop(spawn_local(async move {
            let _ = receiver.await;
            unreachable!("polled after main ended");
        }));
        yield_now().await;
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 1000);
}

pub(crate) fn sleep_timeout_and_yield(backend: Backend) {
    run(options(backend), || async {
        let start = now();
        sleep(Duration::from_millis(5)).await;
        assert!(start.elapsed() >= Duration::from_millis(5));
        timeout(Duration::from_millis(1), std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(timeout(Duration::from_secs(60), async { 3 }).await, Ok(3));
        let turns = Rc::new(Cell::new(0));
        let other = {
            let turns = Rc::clone(&turns);
            spawn_local(async move {
                for _ in 0..10 {
                    turns.set(turns.get() + 1);
                    yield_now().await;
                }
            })
        };
        while turns.get() < 10 {
            yield_now().await;
        }
        other.await.unwrap();
    });
}

pub(crate) fn a_seed_gives_the_same_numbers_and_a_pin_holds(backend: Backend) {
    let numbers = |seed: u64| {
        let (sender, receiver) = std::sync::mpsc::channel();
        run(ExecutorOptions { seed, ..options(backend) }, move || async move {
            sender.send([random_u64(), random_u64()]).unwrap();
        });
        receiver.recv().unwrap()
    };
    assert_eq!(numbers(1), numbers(1));
    assert_ne!(numbers(1), numbers(2));

    let core = *cores_available().last().unwrap();
    let pinned = spawn_executor(
        ExecutorOptions { core: Core::Number(core), ..options(backend) },
        move || async move {
            assert_eq!(cores_available(), [core]);
        },
    )
    .unwrap();
    assert_eq!(pinned.pin_note(), None);
    pinned.join().unwrap();
    let nowhere = ExecutorOptions { core: Core::Number(1000), ..options(backend) };
    let nowhere = spawn_executor(nowhere, || async {}).unwrap();
    assert!(nowhere.pin_note().unwrap().starts_with("not pinned to CPU 1000"));
    nowhere.join().unwrap();
}
