//! How an answer travels back from a shard, and what a caller hears when there is none.
//!
//! An answer that a shard owes is never just forgotten: whoever drops a [`ReplyTo`] unused tells its caller why, which is that the engine
//! was closed, or how the shard ended ([`because`]). So nobody waits for ever.

use crate::error::{Error, ErrorKind, Result};
use crate::untaken::Grant;
use futures_channel::oneshot;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

thread_local! {
    /// Why what is being dropped on this thread gets no answer.
    static WHY: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// An answer, and what counts of it until it is taken.
type Sent<T> = (Result<T>, Option<Grant>);

/// Where an answer goes.
#[derive(Debug)]
pub(crate) struct ReplyTo<T> {
    sender: Option<oneshot::Sender<Sent<T>>>,
}

/// An answer on its way. Dropping it loses the answer and takes nothing back.
#[derive(Debug)]
#[must_use = "an answer that nobody hears"]
pub(crate) struct Answered<T> {
    receiver: oneshot::Receiver<Sent<T>>,
}

/// The two ends of one answer.
pub(crate) fn reply<T>() -> (ReplyTo<T>, Answered<T>) {
    let (sender, receiver) = oneshot::channel();
    (ReplyTo { sender: Some(sender) }, Answered { receiver })
}

impl<T> ReplyTo<T> {
    /// Answers. The caller may have left; then nobody hears of it.
    #[inline]
    pub(crate) fn send(self, answer: Result<T>) {
        self.send_counted(answer, None);
    }

    /// The same with an answer whose bytes count until its caller takes it, or leaves.
    #[inline]
    pub(crate) fn send_counted(mut self, answer: Result<T>, grant: Option<Grant>) {
        if let Some(sender) = self.sender.take() {
            drop(sender.send((answer, grant)));
        }
    }
}

impl<T> Drop for ReplyTo<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            drop(sender.send((Err(why()), None)));
        }
    }
}

#[cold]
fn why() -> Error {
    if let Some(error) = WHY.try_with(|why| why.borrow().clone()).ok().flatten() {
        return error;
    }
    if std::thread::panicking() {
        return Error::new(
            ErrorKind::Closed,
            "the shard panicked at this operation, which is a bug, and has ended; Engine::close says with what: open the engine again",
        );
    }
    Error::closed()
}

/// Drops things for which somebody may wait: their callers hear `error`.
pub(crate) fn because<T>(error: &Error, drop_them: impl FnOnce() -> T) -> T {
    let before = WHY.replace(Some(error.clone()));
    let _restore = Restore(before);
    drop_them()
}

/// Puts the reason from before back, also when a drop panics.
struct Restore(Option<Error>);

impl Drop for Restore {
    fn drop(&mut self) {
        WHY.set(self.0.take());
    }
}

impl<T> Future for Answered<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.receiver).poll(context));
        Poll::Ready(answer.map_or_else(|_| Err(Error::closed()), |(answer, _taken)| answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_io::block_on;

    #[test]
    fn an_answer_that_is_owed_and_dropped_says_why() {
        let (to, answered) = reply::<u8>();
        to.send(Ok(7));
        assert_eq!(block_on(answered).unwrap(), 7);
        let (to, answered) = reply::<u8>();
        drop(to);
        assert!(block_on(answered).unwrap_err().to_string().contains("is closed"));
        let (to, answered) = reply::<u8>();
        because(&Error::invalid("a reason"), || drop(to));
        assert_eq!(block_on(answered).unwrap_err().to_string(), "a reason");
        let (to, answered) = reply::<u8>();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _owed = to;
            panic!("a bug");
        }));
        assert!(panicked.is_err());
        assert!(block_on(answered).unwrap_err().to_string().contains("panicked at this operation"));
    }
}
