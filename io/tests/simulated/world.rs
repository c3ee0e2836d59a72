//! Worlds: replay, virtual time, several executors, ends.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use aquifer_io::simulated::{DiskImage, FaultRates, RunEnd, World, WorldOptions};
use aquifer_io::{
    Backend, BackendChoice, ExecutorOptions, IoErrorKind, TaskLost, block_on, cores_available, fs, metrics,
    now, random_u64, select_backend, sleep, spawn_executor, spawn_local, timeout, unix_time_ms, yield_now,
};
use tokio::sync::{mpsc, oneshot};

use super::{named, open, read, write};

fn faulty() -> WorldOptions {
    let faults = FaultRates {
        errors: 20_000,
        no_space: 5_000,
        short: 200_000,
        flipped_reads: 10_000,
        flipped_writes: 5_000,
        misdirected: 5_000,
        delays: 50_000,
        delay_max: Duration::from_millis(20),
    };
    WorldOptions { faults, ..WorldOptions::default() }
}

/// Three shards that talk, wait, write, sync, rename, give up, on a disk where all goes wrong at times.
fn busy_world(seed: u64) -> (String, u64, DiskImage) {
    let world = World::new(seed, faulty());
    let (sender, mut receiver) = mpsc::channel::<u64>(4);
    for shard in 0..3u64 {
        let sender = sender.clone();
        let options = ExecutorOptions { seed: shard, ..named(&format!("shard-{shard}")) };
        drop(world.spawn_executor(options, move || async move {
            let file = loop {
                if let Ok(file) = open(&format!("/{shard}")).await {
                    break Rc::new(file);
                }
            };
            let mut tasks = Vec::new();
            for _ in 0..4 {
                let (file, sender) = (Rc::clone(&file), sender.clone());
                tasks.push(spawn_local(async move {
                    for round in 0..20 {
                        let offset = random_u64() % 16 * 512;
                        let outcome = match random_u64() % 6 {
                            0 | 1 => write(&file, offset, 2048, round).await,
                            2 => read(&file, offset, 1024).await.map(drop),
                            3 => timeout(Duration::from_micros(50), file.sync_data()).await.unwrap_or(Ok(())),
                            4 => {
                                sleep(Duration::from_micros(random_u64() % 300)).await;
                                file.truncate(offset).await
                            }
                            _ => fs::sync_dir(Path::new("/")).await,
                        };
                        yield_now().await;
                        sender.send(now().as_nanos() + u64::from(outcome.is_ok())).await.unwrap();
                    }
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
        }));
    }
    drop(sender);
    drop(world.spawn_executor(named("sum"), move || async move {
        let mut count = 0;
        while receiver.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 240);
    }));
    assert_eq!(world.run_until_idle(), RunEnd::Idle);
    (world.trace(), world.trace_hash(), world.crash())
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for seed in 0..5 {
        let (first, second) = (busy_world(seed), busy_world(seed));
        assert!(first.0.lines().count() > 1000, "a real run: {}", first.0);
        assert!(first.0 == second.0, "traces differ");
        assert_eq!((first.1, first.2), (second.1, second.2));
        assert_ne!(busy_world(seed + 100).0, first.0, "another seed, another run");
        // On another thread, too: nothing of the thread plays a part.
        let elsewhere = std::thread::spawn(move || busy_world(seed)).join().unwrap();
        assert!(first.0 == elsewhere.0, "traces differ between threads");
    }
}

#[test]
fn time_is_virtual() {
    let world = World::new(1, WorldOptions::default());
    let main = world.spawn_executor(named("main"), || async {
        let (begun, calendar_ms) = (now(), unix_time_ms());
        sleep(Duration::from_secs(3600)).await;
        let slept = begun.elapsed();
        assert!(slept >= Duration::from_secs(3600) && slept < Duration::from_secs(3601), "{slept:?}");
        assert!((3_600_000..3_601_000).contains(&(unix_time_ms() - calendar_ms)));
        let never = timeout(Duration::from_secs(86_400), std::future::pending::<()>());
        never.await.unwrap_err();
        // Who only looks at the clock sees time pass, too.
        let begun = now();
        while begun.elapsed() < Duration::from_micros(100) {}
        // A task that is always ready holds up no timer.
        let done = Rc::new(Cell::new(false));
        let waiting = Rc::clone(&done);
        drop(spawn_local(async move {
            sleep(Duration::from_millis(1)).await;
            waiting.set(true);
        }));
        while !done.get() {
            yield_now().await;
        }
    });
    assert_eq!(world.run_for(Duration::from_secs(60)), RunEnd::TimeUp);
    assert_eq!(world.now().as_nanos(), 60_000_000_000);
    assert!(!main.has_ended());
    main.join().unwrap();
    assert!(world.now().as_nanos() > 90_000_000_000_000);
    assert_eq!(world.run_for(Duration::from_secs(1)), RunEnd::Idle);
}

#[test]
fn a_turn_polls_all_that_were_ready_in_an_order_of_the_seed() {
    let order = |seed| {
        let world = World::new(seed, WorldOptions::default());
        let order = Rc::new(RefCell::new(Vec::new()));
        let inside = Rc::clone(&order);
        let main = world.spawn_executor(named("main"), move || async move {
            let tasks: Vec<_> = (0..8)
                .map(|task| {
                    let order = Rc::clone(&inside);
                    spawn_local(async move {
                        for _ in 0..3 {
                            order.borrow_mut().push(task);
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        main.join().unwrap();
        order.take()
    };
    let orders: Vec<Vec<i32>> = (0..4).map(order).collect();
    for order in &orders {
        for turn in order.chunks(8) {
            let mut turn = turn.to_vec();
            turn.sort_unstable();
            assert_eq!(turn, (0..8).collect::<Vec<_>>(), "each once a turn");
        }
    }
    assert_ne!(orders[0], orders[1]);
    assert_ne!(orders[1], orders[2]);
}

/// As the engine does it: a driver starts one executor a shard from inside, talks to them, and joins them.
#[test]
fn executors_start_others_in_their_world_and_join_them() {
    let world = World::new(7, WorldOptions { cores: 3, ..WorldOptions::default() });
    let driver = world.spawn_executor(named("driver"), || async {
        assert_eq!(select_backend(BackendChoice::Auto).unwrap().backend, Backend::Simulated);
        assert_eq!(cores_available(), [0, 1, 2]);
        let mut shards = Vec::new();
        for shard in 0..3u8 {
            let options = ExecutorOptions { backend: Backend::Simulated, ..named("shard") };
            let (request, mut requests) = mpsc::unbounded_channel::<(u64, oneshot::Sender<u8>)>();
            let thread = spawn_executor(options, move || async move {
                let file = open(&format!("/shard-{shard}")).await.unwrap();
                while let Some((sector, reply)) = requests.recv().await {
                    write(&file, sector * 512, 512, shard).await.unwrap();
                    reply.send(read(&file, sector * 512, 512).await.unwrap()[511]).unwrap();
                }
                assert_eq!(metrics().writes, 10, "its own counts");
            });
            shards.push((request, thread.unwrap()));
        }
        for sector in 0..10 {
            for (shard, (request, _)) in (0u8..).zip(&shards) {
                let (reply, answer) = oneshot::channel();
                request.send((sector, reply)).unwrap();
                assert_eq!(answer.await.unwrap(), shard);
            }
        }
        let (requests, threads): (Vec<_>, Vec<_>) = shards.into_iter().unzip();
        drop(requests);
        let (before, random) = (now(), random_u64());
        for thread in threads {
            // Blocks this task, and no other.
            thread.join().unwrap();
        }
        assert!(now() > before);
        assert_ne!(random_u64(), random, "still its own generator");
        let (sender, receiver) = oneshot::channel();
        drop(spawn_local(async move {
            sleep(Duration::from_secs(1)).await;
            sender.send(5).unwrap();
        }));
        assert_eq!(block_on(receiver), Ok(5));
    });
    driver.join().unwrap();
    assert_eq!(world.run_until_idle(), RunEnd::Idle);
    assert_eq!(world.disk_image().read(Path::new("/shard-2")).unwrap(), vec![2; 5120]);
}

#[test]
fn who_waits_for_ever_is_an_error_and_no_hang() {
    let world = World::new(1, WorldOptions { polls_max: 1000, ..WorldOptions::default() });
    let stuck = world.spawn_executor(named("stuck"), std::future::pending);
    assert_eq!(world.run_until_idle(), RunEnd::Idle);
    let error = stuck.join().unwrap_err();
    assert!(error.to_string().contains("at rest"), "{error}");
    let restless = world.spawn_executor(named("restless"), || async {
        loop {
            yield_now().await;
        }
    });
    assert_eq!(world.run_until_idle(), RunEnd::PollsUp);
    assert!(restless.join().unwrap_err().to_string().contains("polls_max"));
    let outlives = world.spawn_executor(named("outlives"), std::future::pending);
    drop(world);
    assert!(outlives.join().unwrap_err().to_string().contains("crashed or was dropped"));
}

#[test]
fn panics_reach_somebody_and_the_world_goes_on() {
    let world = World::new(1, WorldOptions::default());
    let panics = world.spawn_executor(named("panics"), || async {
        let lost = spawn_local(async { panic!("inside") }).await.unwrap_err();
        assert_eq!(lost, TaskLost::Panicked("inside".to_owned()));
        panic!("in main");
    });
    let other = world.spawn_executor(named("other"), || sleep(Duration::from_secs(1)));
    let error = panics.join().unwrap_err();
    assert_eq!((error.kind(), error.found()), (IoErrorKind::Panicked, Some("in main")));
    other.join().unwrap();
}

/// Dropping a world drops its tasks as on their executors: what they spawn then, or look up, is harmless.
#[test]
fn a_dropped_world_drops_its_tasks_on_their_executor() {
    struct Tells(Rc<Cell<u32>>);
    impl Drop for Tells {
        fn drop(&mut self) {
            assert!(now().as_nanos() < 1_000_000_000, "virtual time");
            drop(spawn_local(async {}));
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let world = World::new(1, WorldOptions::default());
    for _ in 0..3 {
        let tells = Tells(Rc::clone(&dropped));
        drop(world.spawn_executor(named("waits"), move || async move {
            let inner = Tells(Rc::clone(&tells.0));
            drop(spawn_local(async move {
                let _inner = inner;
                std::future::pending::<()>().await;
            }));
            let file = open("/file").await.unwrap();
            std::future::pending::<()>().await;
            drop((file, tells));
        }));
    }
    assert_eq!(world.run_until_idle(), RunEnd::Idle);
    drop(world);
    assert_eq!(dropped.get(), 6);
}

#[test]
fn locks_of_folders_are_the_world_s() {
    let world = World::new(1, WorldOptions::default());
    let main = world.spawn_executor(named("main"), || async {
        let folder = Path::new("/local");
        assert_eq!(fs::lock_dir(folder).unwrap_err().kind(), IoErrorKind::NotFound);
        fs::create_dir_all(folder).await.unwrap();
        let lock = fs::lock_dir(folder).unwrap();
        assert_eq!(fs::lock_dir(folder).unwrap_err().kind(), IoErrorKind::Locked);
        drop(lock);
        drop(fs::lock_dir(folder).unwrap());
    });
    main.join().unwrap();
}
