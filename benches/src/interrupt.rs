//! Ctrl-C and SIGTERM: the first one ends the run in order, the second one at once.
//!
//! A thread of its own waits for the signals. Long loops call [`check`]; whoever awaits something selects it against
//! [`interrupted`], so that everything in between is dropped: the engine stops, temporary folders are removed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static WAKER: AtomicWaker = AtomicWaker::new();

/// Starts to watch for signals. Called once, before anything that would have to be tidied up.
pub(crate) fn watch() -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::Other(format!("cannot watch for Ctrl-C: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(cannot)?;
    let thread = std::thread::Builder::new().name("aquifer-signals".into()).stack_size(128 << 10);
    let watch = move || {
        for _ in signals.forever() {
            if INTERRUPTED.swap(true, Ordering::AcqRel) {
                crate::scratch::remove_all_of_this_process();
                std::process::exit(130);
            }
            WAKER.wake();
        }
    };
    thread.spawn(watch).map_err(cannot)?;
    Ok(())
}

/// As if a first signal had come.
pub(crate) fn interrupt() {
    INTERRUPTED.store(true, Ordering::Release);
    WAKER.wake();
}

/// Fails once a signal has come.
pub(crate) fn check() -> Result<(), Failure> {
    if INTERRUPTED.load(Ordering::Acquire) { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Resolves once a signal has come. One task at a time may wait.
pub(crate) async fn interrupted() {
    std::future::poll_fn(|context| {
        WAKER.register(context.waker());
        if INTERRUPTED.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
