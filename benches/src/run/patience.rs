//! Waiting on the command's own thread, which is no executor: for a future, for a time at most, and never through a Ctrl-C.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use crate::failure::Failure;
use crate::interrupt;

/// Longest sleep between two looks at the clock and at Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The future's output. Ends with an error on Ctrl-C, and when `check`, asked every now and then, says one.
pub(crate) fn wait_checking<T>(
    future: impl Future<Output = T>,
    mut check: impl FnMut() -> Result<(), Failure>,
) -> Result<T, Failure> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        interrupt::check()?;
        check()?;
        std::thread::park_timeout(LOOK);
    }
}

/// The future's output. Ends with an error on Ctrl-C.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    wait_checking(future, || Ok(()))
}

/// The same for a time at most: `None` when that is over, or on Ctrl-C.
pub(crate) fn wait_for<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let began = aquifer_io::now();
    let over = || if began.elapsed() > limit { Err(Failure::Other("late".into())) } else { Ok(()) };
    wait_checking(future, over).ok()
}

/// Lets time pass.
pub(crate) fn pause(duration: Duration) -> Result<(), Failure> {
    let began = aquifer_io::now();
    while let Some(left) = duration.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        interrupt::check()?;
        std::thread::park_timeout(left.min(LOOK));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_given_and_what_never_comes_is_given_up() {
        assert_eq!(wait(async { 7 }).unwrap(), 7);
        assert_eq!(wait_for(Duration::from_millis(1), std::future::pending::<()>()), None);
        let refused = wait_checking(std::future::pending::<()>(), || Err(Failure::Other("full".into())));
        assert_eq!(refused.unwrap_err().to_string(), "full");
        pause(Duration::from_millis(1)).unwrap();
    }
}
