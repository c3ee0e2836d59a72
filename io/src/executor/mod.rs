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
pub(crate) mod options;
mod panics;
pub(crate) mod task;
pub(crate) mod threads;
pub(crate) mod uring;
pub(crate) mod context;
pub(crate) mod cores;
pub(crate) mod spawn_local;
#[cfg(feature = "tokio-uring")]
mod tokio_uring;
#[cfg(feature = "glommio")]
pub(crate) mod glommio;
pub(crate) mod time;
pub(crate) mod descriptor;
pub(crate) mod thread;
mod life;
mod run;
pub(crate) mod simulated;

#[cfg(test)]
mod handshake_test;

use std::future::Future;
use std::sync::mpsc::sync_channel;

use crate::backend::Backend;
use crate::error::{IoError, IoErrorKind};
use crate::pin::{Affinity, pin_thread};
use crate::random::seed_thread;
use cores::Tie;
use life::Report;
use options::{ExecutorOptions, START};
use thread::{ExecutorThread, Handle};

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
            run::run(&options, affinity, report, main)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackendChoice, File, OpenOptions, acquire_buffer, select_backend};
    use std::rc::Rc;

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
