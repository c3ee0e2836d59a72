//! A pinned thread with its executor: how it starts, what it runs, how it ends.
//!
//! ```text
//! spawn_executor ─> thread: pin ─ ring or pool ─ main ─ drop local tasks ─ drain operations ─ end
//!                              └──── result back to the caller
//! ```
//!
//! Invariants:
//! * When `main` has ended, no local task is polled again, and all of them are dropped before the thread ends.
//! * The thread ends after the last operation in flight: its files and buffers are with nobody then.
//! * A panic anywhere on the thread reaches somebody: the task's waiter, or `join`.

mod completions;
#[cfg(any(feature = "tokio-uring", feature = "glommio"))]
mod gate;
mod handshake;
pub(crate) mod context;
pub(crate) mod descriptor;
pub(crate) mod threads;
pub(crate) mod uring;
#[cfg(feature = "tokio-uring")]
pub(crate) mod tokio_uring;
#[cfg(feature = "glommio")]
pub(crate) mod glommio;
pub(crate) mod simulated;
pub(crate) mod task;

#[cfg(test)]
mod handshake_test;

use std::future::Future;
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::LocalSet;

use crate::backend::Backend;
use crate::error::{IoError, IoErrorKind};
use crate::pin::{Affinity, Core, Tie, pin_thread};
use crate::random::seed_thread;
use context::Executor;
use simulated::SimulatedEnd;
use task::{TaskLost, panic_message, spawn_local};

/// How long a thread that ends waits for its operations in flight before it leaves them, their buffers and its ring
/// behind for good (safe, but leaked). Only a dead device takes so long.
const DRAIN_MAX: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(60) };

/// What an executor thread is made of.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// Name of the thread; the system shows its first 15 bytes.
    pub name: String,
    /// How its files reach the kernel. [`select_backend`](crate::select_backend) knows what works here.
    pub backend: Backend,
    /// The CPU it is tied to.
    pub core: Core,
    /// Size of its ring, rounded up to a power of two: one less than this many file operations are in flight at
    /// most, the next ones wait their turn. 8 to 4096. The default of 512 takes 48 KiB, which fits the usual limit
    /// on locked memory of kernels before 5.12.
    pub ring_entries: u32,
    /// Most threads of the file pool (threads backend); they start on demand and end when idle.
    pub file_threads_max: usize,
    /// Hard limit on the bytes of its buffers.
    pub buffer_bytes_max: usize,
    /// Seed of its random numbers. Give each thread its own.
    pub seed: u64,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        Self {
            name: "aquifer".to_owned(),
            backend: Backend::Threads,
            core: Core::Any,
            ring_entries: 512,
            file_threads_max: 8,
            buffer_bytes_max: 32 << 20,
            seed: 0,
        }
    }
}

impl ExecutorOptions {
    /// Ring entries as the kernel will have them.
    fn ring_entries_clamped(&self) -> u32 {
        self.ring_entries.clamp(8, 4096).next_power_of_two()
    }

    /// Most operations in flight. One ring entry stays free, for the entry that forces a submission.
    fn slots_max(&self) -> usize {
        usize::try_from(self.ring_entries_clamped() - 1).unwrap_or(usize::MAX)
    }
}

/// A running executor thread. Dropping it lets the thread run on alone.
#[derive(Debug)]
pub struct ExecutorThread {
    handle: Handle,
    pin_note: Option<String>,
}

#[derive(Debug)]
enum Handle {
    Thread(JoinHandle<Result<(), IoError>>),
    /// It is on the thread of its world.
    Simulated(SimulatedEnd),
}

impl ExecutorThread {
    /// Waits for the thread to end. Blocks; not for a thread that the other one needs to end. An executor of a simulated
    /// world is driven to its end, with all others of its world.
    ///
    /// # Errors
    /// `Panicked` when `main`, or a local task whose [`Task`](crate::Task) was dropped, panicked; `Other` when
    /// operations were still in flight a minute after `main` ended (a dead device), and were left behind, and when a
    /// simulated world came to rest, or crashed, before `main` ended.
    pub fn join(self) -> Result<(), IoError> {
        match self.handle {
            Handle::Thread(thread) => match thread.join() {
                Ok(ended) => ended,
                Err(payload) => Err(panicked(&panic_message(payload.as_ref()))),
            },
            Handle::Simulated(end) => end.join(),
        }
    }

    /// Whether it has ended: `join` does not block then.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match &self.handle {
            Handle::Thread(thread) => thread.is_finished(),
            Handle::Simulated(end) => end.get().is_some(),
        }
    }

    /// Why the thread is not tied to its CPU, when it is not: one line. It runs all the same.
    #[must_use]
    pub fn pin_note(&self) -> Option<&str> {
        self.pin_note.as_deref()
    }
}

/// Starts a thread with an executor and runs `main` on it, which may spawn local tasks. Returns when the thread has its
/// ring (or its pool) and is about to run `main`; the thread ends when `main` does.
///
/// # Errors
/// What the kernel said to the thread or to the ring: `Unsupported` or `PermissionDenied` where io_uring is not
/// permitted (use [`Backend::Threads`]), `Unsupported` for a backend that is not in this program, `Other` for want of
/// memory, files or threads.
pub fn spawn_executor<F, Fut>(options: ExecutorOptions, main: F) -> Result<ExecutorThread, IoError>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    if options.backend == Backend::Simulated {
        return simulated::spawn(options, main);
    }
    options.backend.check_built_in(START)?;
    let (report, started) = sync_channel(1);
    // Chosen here, so that of executors that start together each sees the ones before it.
    let tie = Tie::new(options.core);
    let thread = std::thread::Builder::new()
        .name(options.name.clone())
        .spawn(move || {
            let affinity = Affinity::of_thread();
            let pin_note = tie.as_ref().and_then(|tie| pin_thread(tie.core()).err());
            let report = Report { report, pin_note };
            seed_thread(options.seed);
            match options.backend {
                Backend::Uring => uring::run(&options, affinity, report, main),
                #[cfg(feature = "tokio-uring")]
                Backend::TokioUring => tokio_uring::run(&options, report, main),
                #[cfg(feature = "glommio")]
                Backend::Glommio => glommio::run(&options, affinity, report, main),
                // Threads; the simulated one has its own way, above, and what is not built in has none.
                _ => threads::run(&options, affinity, report, main),
            }
            // `tie` ends here, with the thread's use of its CPU.
        })
        .map_err(|source| IoError::from_os(START, source))?;
    match started.recv() {
        Ok(pin_note) => Ok(ExecutorThread { handle: Handle::Thread(thread), pin_note }),
        // Ended before it started: the thread knows why.
        Err(_) => {
            let ended = ExecutorThread { handle: Handle::Thread(thread), pin_note: None }.join();
            Err(ended.err().unwrap_or_else(|| IoError::new(IoErrorKind::Other, START)))
        }
    }
}

const START: &str = "start executor";

/// Tells the one who called `spawn_executor` that all is set up. Dropped unused, it tells that it is not.
struct Report {
    report: SyncSender<Option<String>>,
    pin_note: Option<String>,
}

impl Report {
    fn started(self) {
        // The caller waits for it, unless it panicked; then nobody needs to know.
        let _ = self.report.send(self.pin_note);
    }
}

/// How the thread ended.
struct Ended {
    outcome: Result<(), IoError>,
    /// No operation is with the kernel: all may be torn down.
    drained: bool,
}

/// The life of an executor thread inside its runtime: `main` with its tasks, then the operations still in flight.
async fn run_main<F, Fut>(executor: Rc<Executor>, operations: Rc<LocalSet>, main: F) -> Ended
where
    F: FnOnce() -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let life = async {
        let tasks = LocalSet::new();
        let ending = Ending(Rc::clone(&executor));
        let main = async move {
            // Dropped the moment `main` ends, also by a panic.
            let _ending = ending;
            main().await;
        };
        let outcome = tasks.run_until(async { spawn_local(main).await }).await;
        // Here every task still alive is dropped; the operations it began go on.
        drop(tasks);
        let drained = crate::time::timeout(DRAIN_MAX, executor.drained()).await.is_ok();
        Ended { outcome: outcome_of(outcome, &executor, drained), drained }
    };
    operations.run_until(life).await
}

/// Ends the local tasks when dropped.
struct Ending(Rc<Executor>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end_main();
    }
}

fn outcome_of(main: Result<(), TaskLost>, executor: &Executor, drained: bool) -> Result<(), IoError> {
    if let Err(TaskLost::Panicked(message)) = &main {
        return Err(panicked(message));
    }
    if let Some(message) = executor.panic_message() {
        return Err(panicked(&message));
    }
    if !drained {
        return Err(IoError::new(IoErrorKind::Other, "end executor")
            .with_expected(format!("all operations done within {DRAIN_MAX:?}"))
            .with_found(format!("{} in flight", executor.operations_in_flight())));
    }
    main.map_err(|lost| IoError::new(IoErrorKind::Other, "run executor").with_found(lost.to_string()))
}

fn panicked(message: &str) -> IoError {
    IoError::new(IoErrorKind::Panicked, "run executor").with_found(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackendChoice, File, OpenOptions, acquire_buffer, select_backend};

    /// A future of a read that is leaked, not dropped, holds its slot for ever. The thread must end all the same, and
    /// must not free what the kernel may write to.
    #[test]
    fn what_cannot_be_drained_is_left_behind() {
        for choice in [BackendChoice::Uring, BackendChoice::TokioUring] {
            if let Ok(selection) = select_backend(choice) {
                leak_a_read(selection.backend);
            }
        }
    }

    fn leak_a_read(backend: Backend) {
        let options = ExecutorOptions { backend, ..ExecutorOptions::default() };
        let thread = spawn_executor(options, || async {
            let options = OpenOptions { read: true, ..OpenOptions::default() };
            let file = Rc::new(File::open(std::path::Path::new("/proc/self/exe"), options).await.unwrap());
            let buffer = acquire_buffer(4096).await.unwrap();
            let mut reading = Box::pin(async move { file.read_at(0, buffer).await });
            assert!(futures_util::poll!(reading.as_mut()).is_pending());
            std::mem::forget(reading);
        });
        let error = thread.unwrap().join().unwrap_err();
        assert_eq!((error.kind(), error.found()), (IoErrorKind::Other, Some("1 in flight")));
    }
}
