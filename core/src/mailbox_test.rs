//! The mailbox among threads: by chance, and in every interleaving.

/// The same file on a lock whose every step another thread may come between: see below.
#[path = "mailbox.rs"]
#[expect(dead_code, clippy::duplicate_mod, reason = "a model uses a part of it, on another lock")]
mod interleaved;

/// What that file uses in place of the standard library's.
mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(super) use loom::sync::{Mutex, MutexGuard};
    pub(super) use std::sync::PoisonError;
}

use crate::error::{Error, ErrorKind};
use crate::mailbox::Mailbox;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

#[test]
fn keeps_each_producers_order_and_loses_nothing() {
    let mailbox = Arc::new(Mailbox::new(usize::MAX));
    let producers: Vec<_> = (0..4usize)
        .map(|producer| {
            let mailbox = Arc::clone(&mailbox);
            std::thread::spawn(move || {
                for n in 0..20_000u64 {
                    while mailbox.push((producer, n), 0).is_err() {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut next = [0u64; 4];
    let mut batch = VecDeque::new();
    while next.iter().sum::<u64>() < 80_000 {
        assert!(aquifer_io::block_on(mailbox.take_all(&mut batch)));
        for (producer, n) in batch.drain(..) {
            assert_eq!(next[producer], n);
            next[producer] += 1;
        }
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
}

#[test]
fn a_full_mailbox_says_busy_and_a_closed_one_closed() {
    let mailbox = Mailbox::new(100);
    mailbox.push('a', 500).unwrap();
    assert_eq!(mailbox.push('b', 1).unwrap_err().kind(), ErrorKind::Busy);
    mailbox.push_control('c').unwrap();
    mailbox.close(&Error::closed());
    mailbox.close(&Error::invalid("too late to count"));
    assert_eq!(mailbox.push('d', 1).unwrap_err().kind(), ErrorKind::Closed);
    assert!(!aquifer_io::block_on(mailbox.take_all(&mut VecDeque::new())));
    assert_eq!(aquifer_io::block_on(mailbox.closed()).kind(), ErrorKind::Closed);
}

/// Wakes the model's thread. (Of the standard library: the model's own cannot be dropped once it has found a deadlock.)
struct Parked(loom::thread::Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// As a shard's loop: polls, and sleeps until it is woken.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Parked(loom::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => loom::thread::park(),
        }
    }
}

/// A run of reads was seen to stand still for more than a second, once. A wake that is lost between a caller and its shard would look like that:
/// the request lies in the mailbox until somebody else puts one in. Here two callers put requests in, then another closes, in every order of
/// steps; a consumer that waits for ever is a deadlock, which the model reports.
#[test]
fn no_interleaving_loses_a_request_or_the_end() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let mailbox = Arc::new(interleaved::Mailbox::new(1 << 10));
        let spawn = |job: fn(&interleaved::Mailbox<u32>)| {
            let mailbox = Arc::clone(&mailbox);
            loom::thread::spawn(move || job(&mailbox))
        };
        let callers =
            [spawn(|mailbox| mailbox.push(0, 1).unwrap()), spawn(|mailbox| mailbox.push(1, 1).unwrap())];
        let mut taken = Vec::new();
        let mut batch = VecDeque::new();
        while taken.len() < callers.len() {
            assert!(block_on(mailbox.take_all(&mut batch)));
            taken.extend(batch.drain(..));
        }
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        taken.sort_unstable();
        assert_eq!(taken, [0, 1]);
        let closer = spawn(|mailbox| mailbox.close(&Error::closed()));
        assert!(!block_on(mailbox.take_all(&mut batch)));
        closer.join().unwrap();
    });
}

/// The mistake that the model is there for: looked, let go of the lock, then left word.
#[test]
#[should_panic(expected = "deadlock")]
fn the_model_finds_a_request_that_comes_between_the_look_and_the_word() {
    use loom::sync::Mutex;
    loom::model(|| {
        let mailbox = Arc::new((Mutex::new(Vec::new()), Mutex::new(None::<Waker>)));
        let caller = {
            let mailbox = Arc::clone(&mailbox);
            loom::thread::spawn(move || {
                mailbox.0.lock().unwrap().push(7);
                let consumer = mailbox.1.lock().unwrap().take();
                if let Some(consumer) = consumer {
                    consumer.wake();
                }
            })
        };
        block_on(std::future::poll_fn(|context| {
            if mailbox.0.lock().unwrap().pop().is_some() {
                return Poll::Ready(());
            }
            *mailbox.1.lock().unwrap() = Some(context.waker().clone());
            Poll::Pending
        }));
        caller.join().unwrap();
    });
}
