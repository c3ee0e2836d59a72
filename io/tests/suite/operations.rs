//! Promises of operations in flight: who owns what, how many there may be, what becomes of them.

use std::cell::Cell;
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use aquifer_io::{
    Backend, ExecutorOptions, File, IoErrorKind, acquire_buffer, fs, metrics, random_u64, spawn_executor,
    spawn_local, try_acquire_buffer, yield_now,
};
use futures_util::FutureExt;

use super::{DIRECT, file_of_blocks, fill, filled, folder, is_filled, options, read, run};

/// Waits until no operation is in flight, without a clock.
async fn until_idle() {
    while metrics().operations_in_flight > 0 {
        yield_now().await;
    }
}

/// Reads begun and dropped at once own their buffers until the kernel is done. The pool is small, so that a buffer
/// given back too early would be handed out again, and its new content overwritten.
pub(crate) fn dropped_reads_give_every_buffer_back_and_write_to_none_afterwards(backend: Backend) {
    const BLOCKS: u64 = 256;
    let folder = folder();
    let path = folder.path().join("file");
    file_of_blocks(&path, BLOCKS);
    run(ExecutorOptions { buffer_bytes_max: 64 * 4096, ..options(backend) }, move || async move {
        let file = File::open(&path, DIRECT).await.unwrap();
        for round in 0..200 {
            for _ in 0..random_u64() % 48 {
                let buffer = acquire_buffer(4096).await.unwrap();
                let mut future = Box::pin(file.read_at(random_u64() % BLOCKS * 4096, buffer));
                assert!(future.as_mut().now_or_never().is_none(), "no read is done at once");
                for _ in 0..random_u64() % 3 {
                    yield_now().await;
                    if future.as_mut().now_or_never().is_some() {
                        break;
                    }
                }
            }
            // What the pool gives now must be nobody else's.
            let mut held = Vec::new();
            for _ in 0..16 {
                held.push(filled(4096, round).await);
            }
            until_idle().await;
            assert!(
                held.iter().all(|buffer| is_filled(buffer, round)),
                "the kernel wrote to a released buffer"
            );
            drop(held);
            assert_eq!(metrics().buffer_bytes, 0, "a buffer leaked");
        }
    });
}

/// A waker that remembers.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs the future until it has waited so many times, then drops it; whether it was done before.
async fn drop_at_await(awaits: usize, future: impl Future) -> bool {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = Box::pin(future);
    for _ in 0..awaits {
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            return true;
        }
        while !woken.0.swap(false, Ordering::SeqCst) {
            yield_now().await;
        }
    }
    false
}

/// Every operation, dropped at each place where it waits: nothing leaks, nothing is written to what was given back,
/// and the next operation on the same file works.
pub(crate) fn operations_dropped_at_every_await_leak_nothing(backend: Backend) {
    const KINDS: usize = 11;
    let folder = folder();
    let root = folder.path().to_owned();
    // One operation at a time, so that each also waits for its leave; a pool that hands released buffers out again.
    let narrow = ExecutorOptions { ring_entries: 8, buffer_bytes_max: 40 * 4096, ..options(backend) };
    let path = root.join("file");
    file_of_blocks(&path, 64);
    run(narrow, move || async move {
        let file = File::open(&path, DIRECT).await.unwrap();
        for kind in 0..KINDS {
            for awaits in 1.. {
                assert!(awaits < 100, "kind {kind} waits for ever");
                // Others are in flight, so that some wait for their leave.
                let mut others: Vec<_> = (0..random_u64() % 9)
                    .map(|block| Box::pin(file.read_at(block * 4096, try_acquire_buffer(4096).unwrap())))
                    .collect();
                for other in &mut others {
                    assert!(futures_util::poll!(other.as_mut()).is_pending());
                }
                drop(others);
                let buffer = || try_acquire_buffer(4096).unwrap();
                let done = match kind {
                    0 => drop_at_await(awaits, file.read_at(4096, buffer())).await,
                    1 => drop_at_await(awaits, file.write_at(63 * 4096, buffer())).await,
                    2 => {
                        let extents = (0..16).map(|block| (block * 4096, buffer())).collect();
                        drop_at_await(awaits, file.read_vectored_at(extents)).await
                    }
                    3 => drop_at_await(awaits, file.sync_data()).await,
                    4 => drop_at_await(awaits, file.allocate(64 * 4096)).await,
                    5 => drop_at_await(awaits, file.punch_hole(62 * 4096, 4096)).await,
                    6 => drop_at_await(awaits, file.truncate(64 * 4096)).await,
                    7 => {
                        drop_at_await(awaits, async { File::open(&path, DIRECT).await?.close().await }).await
                    }
                    8 => drop_at_await(awaits, fs::sync_dir(&root)).await,
                    9 => drop_at_await(awaits, fs::create_dir_all(&root.join("a/b"))).await,
                    _ => drop_at_await(awaits, acquire_buffer(40 * 4096)).await,
                };
                // What the pool gives now must be nobody else's.
                let mut held = Vec::new();
                while let Ok(mut buffer) = try_acquire_buffer(4096) {
                    fill(&mut buffer, 5);
                    held.push(buffer);
                }
                until_idle().await;
                assert!(held.iter().all(|buffer| is_filled(buffer, 5)), "written to after its release");
                drop(held);
                assert_eq!(metrics().buffer_bytes, 0, "kind {kind}, dropped at {awaits}: a buffer leaked");
                if done {
                    break;
                }
            }
        }
        assert!(is_filled(&read(&file, 8192, 4096).await.unwrap(), 2));
        file.close().await.unwrap();
        let open = open_descriptors_of(&path);
        assert_eq!(open, 0, "descriptors leaked");
    });
}

fn open_descriptors_of(path: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter(|entry| std::fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|to| to == path)).count()
}

pub(crate) fn thousands_in_flight(backend: Backend) {
    const BLOCKS: u64 = 4000;
    let folder = folder();
    let path = folder.path().join("file");
    file_of_blocks(&path, BLOCKS);
    run(ExecutorOptions { ring_entries: 4096, ..options(backend) }, move || async move {
        let file = Rc::new(File::open(&path, DIRECT).await.unwrap());
        let in_flight_max = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..BLOCKS)
            .map(|block| {
                let (file, in_flight_max) = (Rc::clone(&file), Rc::clone(&in_flight_max));
                spawn_local(async move {
                    let buffer = acquire_buffer(4096).await.unwrap();
                    let mut reading = Box::pin(file.read_at(block * 4096, buffer));
                    let early = reading.as_mut().now_or_never();
                    in_flight_max.set(metrics().operations_in_flight.max(in_flight_max.get()));
                    let (outcome, buffer) = match early {
                        Some(done) => done,
                        None => reading.await,
                    };
                    outcome.unwrap();
                    assert!(is_filled(&buffer, block));
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(in_flight_max.get(), BLOCKS, "all at once");
        assert_eq!((metrics().operations_in_flight, metrics().buffer_bytes), (0, 0));
        assert_eq!((metrics().reads, metrics().read_bytes), (BLOCKS, BLOCKS * 4096));
    });
}

pub(crate) fn a_small_ring_makes_the_rest_wait(backend: Backend) {
    const BLOCKS: u64 = 500;
    let folder = folder();
    let path = folder.path().join("file");
    file_of_blocks(&path, BLOCKS);
    run(ExecutorOptions { ring_entries: 8, ..options(backend) }, move || async move {
        let file = Rc::new(File::open(&path, DIRECT).await.unwrap());
        let tasks: Vec<_> = (0..BLOCKS)
            .map(|block| {
                let file = Rc::clone(&file);
                spawn_local(async move {
                    assert!(metrics().operations_in_flight < 8);
                    assert!(is_filled(&read(&file, block * 4096, 4096).await.unwrap(), block));
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// tokio-uring's own `open` forgets the descriptor when its future is dropped before the kernel answers.
pub(crate) fn dropped_opens_leak_no_descriptor(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("file");
    run(options(backend), move || async move {
        for _ in 0..100 {
            assert!(File::open(&path, DIRECT).now_or_never().is_none());
            yield_now().await;
        }
        until_idle().await;
        File::open(&path, DIRECT).await.unwrap().close().await.unwrap();
        assert_eq!(open_descriptors_of(&path), 0);
    });
}

/// tokio-uring's driver frees the buffers of operations in flight when it is dropped, before the kernel is done
/// with them. So an executor that ends waits for them: each write begun is in the file after `join`.
pub(crate) fn operations_begun_are_finished_when_the_executor_ends(backend: Backend) {
    const BLOCKS: u64 = 96;
    for round in 0..20 {
        let folder = folder();
        let path = folder.path().join("file");
        let inside = path.clone();
        run(options(backend), move || async move {
            let file = Rc::new(File::open(&inside, DIRECT).await.unwrap());
            for block in 0..BLOCKS {
                let buffer = filled(4096, block).await;
                let file = Rc::clone(&file);
                if block % 2 == 0 {
                    let mut writing = Box::pin(file.write_at(block * 4096, buffer));
                    assert!(writing.as_mut().now_or_never().is_none());
                } else {
                    drop(spawn_local(async move {
                        let (outcome, _buffer) = file.write_at(block * 4096, buffer).await;
                        outcome.unwrap();
                    }));
                }
            }
            // Some rounds end before the spawned ones have begun.
            if round % 2 == 0 {
                yield_now().await;
            }
        });
        let bytes = std::fs::read(&path).unwrap();
        for block in 0..BLOCKS {
            if block % 2 == 0 || round % 2 == 0 {
                let start = block as usize * 4096;
                assert!(
                    is_filled(&bytes[start..start + 4096], block),
                    "block {block} was begun, not finished"
                );
            }
        }
    }
}

pub(crate) fn the_pool_is_a_hard_limit_and_serves_in_order(backend: Backend) {
    run(ExecutorOptions { buffer_bytes_max: 16 * 4096, ..options(backend) }, || async {
        assert_eq!(acquire_buffer(17 * 4096).await.unwrap_err().kind(), IoErrorKind::PoolExhausted);
        let all = acquire_buffer(16 * 4096).await.unwrap();
        assert_eq!(try_acquire_buffer(512).unwrap_err().kind(), IoErrorKind::PoolExhausted);
        let order = Rc::new(std::cell::RefCell::new(Vec::new()));
        let tasks: Vec<_> = [12, 8, 2, 4, 1]
            .into_iter()
            .map(|blocks| {
                let order = Rc::clone(&order);
                spawn_local(async move {
                    let buffer = acquire_buffer(blocks * 4096).await.unwrap();
                    order.borrow_mut().push(blocks);
                    assert!(metrics().buffer_bytes + metrics().buffer_idle_bytes <= 16 * 4096);
                    yield_now().await;
                    drop(buffer);
                })
            })
            .collect();
        yield_now().await;
        drop(all);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.borrow(), [12, 8, 2, 4, 1]);
        assert_eq!(metrics().buffer_bytes, 0);
    });
}

/// tokio-uring submits only when its thread is about to sleep, so beside a task that is always ready a read
/// would wait for ever. It hung here before turns were made to submit.
pub(crate) fn a_busy_thread_still_submits_and_reaps(backend: Backend) {
    for spinners in [1, 100] {
        let folder = folder();
        let path = folder.path().join("file");
        file_of_blocks(&path, 8);
        run(options(backend), move || async move {
            let file = File::open(&path, DIRECT).await.unwrap();
            let stop = Rc::new(Cell::new(false));
            let spin = |stop: Rc<Cell<bool>>| async move {
                while !stop.get() {
                    yield_now().await;
                }
            };
            let spinners: Vec<_> = (0..spinners).map(|_| spawn_local(spin(Rc::clone(&stop)))).collect();
            for block in 0..8 {
                assert!(is_filled(&read(&file, block * 4096, 4096).await.unwrap(), block));
            }
            file.write_at(0, filled(4096, 99).await).await.0.unwrap();
            file.sync_data().await.unwrap();
            aquifer_io::sleep(std::time::Duration::from_millis(2)).await;
            assert!(is_filled(&read(&file, 0, 4096).await.unwrap(), 99));
            stop.set(true);
            for spinner in spinners {
                spinner.await.unwrap();
            }
        });
    }
    // An executor may end while it is busy.
    let thread = spawn_executor(options(backend), || async {
        drop(spawn_local(async {
            loop {
                yield_now().await;
            }
        }));
        yield_now().await;
    });
    thread.unwrap().join().unwrap();
}
