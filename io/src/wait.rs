//! Waiting for a time on any thread: for those who may be awaited on an executor of ours, on another runtime, or on none.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::oneshot::{Receiver, Sender, channel};

use crate::clock::now;
use crate::executor::context;
use crate::executor::spawn_local::spawn_local;
use crate::executor::time::sleep;

/// Resolves after this time, wherever it is awaited: called on an executor's thread, by that executor's clock (virtual in a simulated
/// world); else by a thread of its own that sleeps. For waits that are rare; dropping it ends it. Where no thread can be had it
/// resolves at once.
#[must_use]
pub fn wait(duration: Duration) -> Wait {
    let (over, is_over) = channel();
    let thread = if context::try_current().is_some() {
        drop(spawn_local(sleep_unless_dropped(duration, over)));
        None
    } else {
        let name = "aquifer-wait".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || park(duration, &over));
        thread.ok().map(|thread| thread.thread().clone())
    };
    Wait { is_over, thread }
}

/// See [`wait`].
#[derive(Debug)]
pub struct Wait {
    /// The other end is dropped when the time is over.
    is_over: Receiver<()>,
    thread: Option<Thread>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.is_over).poll(context).map(drop)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.is_over.close();
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

async fn sleep_unless_dropped(duration: Duration, mut over: Sender<()>) {
    let slept = std::pin::pin!(sleep(duration));
    let dropped = std::pin::pin!(over.closed());
    futures_util::future::select(slept, dropped).await;
}

fn park(duration: Duration, over: &Sender<()>) {
    let end = now() + duration;
    while !over.is_closed() {
        let left = end.duration_since(now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExecutorOptions, block_on, spawn_executor};

    #[test]
    fn waits_on_any_thread_and_ends_when_dropped() {
        let brief = Duration::from_millis(5);
        let began = now();
        block_on(wait(brief));
        assert!(began.elapsed() >= brief);
        let waits = move || async move {
            let began = now();
            wait(brief).await;
            assert!(began.elapsed() >= brief);
            drop(wait(Duration::MAX));
        };
        spawn_executor(ExecutorOptions::default(), waits).unwrap().join().unwrap();
        let long = wait(Duration::MAX);
        let thread = long.thread.clone().unwrap();
        drop(long);
        assert_eq!(thread.name(), Some("aquifer-wait"));
    }

    fn is_send(_: &impl Send) {}

    #[test]
    fn may_be_awaited_on_another_thread() {
        is_send(&wait(Duration::ZERO));
    }
}
