//! A run of random reads was seen to stand still for 1.6 s, once, on a busy machine. A wake that is lost would look like that: the shard sleeps
//! until something else wakes it. Here every interleaving of wakers and loop is tried, on the code that the loops of the executors run;
//! a lost wake leaves all threads waiting, which the model reports.

use super::handshake::{Flag, Handshake};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;

impl Flag for AtomicBool {
    fn new(value: bool) -> Self {
        Self::new(value)
    }

    fn swap(&self, value: bool) -> bool {
        self.swap(value, Ordering::AcqRel)
    }

    fn is_set(&self) -> bool {
        self.load(Ordering::Acquire)
    }
}

/// The loop's second look is missing: it sleeps whatever came after its first.
struct Blind(AtomicBool);

impl Flag for Blind {
    fn new(value: bool) -> Self {
        Self(AtomicBool::new(value))
    }

    fn swap(&self, value: bool) -> bool {
        Flag::swap(&self.0, value)
    }

    fn is_set(&self) -> bool {
        false
    }
}

/// The flags are written without regard to each other: the waker rings by what it last saw.
struct Careless(AtomicBool);

impl Flag for Careless {
    fn new(value: bool) -> Self {
        Self(AtomicBool::new(value))
    }

    fn swap(&self, value: bool) -> bool {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(value, Ordering::Relaxed);
        before
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the threads share. (Of the standard library: the model's own cannot be dropped once it has found a deadlock.)
struct Shared<F> {
    handshake: Handshake<F>,
    work: AtomicUsize,
}

/// Two threads put work in and wake; the loop sleeps until it has seen all of it.
fn model<F: Flag + 'static>() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let shared = Arc::new(Shared { handshake: Handshake::<F>::new(true), work: AtomicUsize::new(0) });
        // As an eventfd with a poll on it, or a runtime's waker: a ring before the sleep ends the sleep.
        let bell = loom::thread::current();
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let (shared, bell) = (Arc::clone(&shared), bell.clone());
                loom::thread::spawn(move || {
                    // Seen by the loop through the flags, or not at all.
                    shared.work.fetch_add(1, Ordering::Relaxed);
                    if shared.handshake.wake() {
                        bell.unpark();
                    }
                })
            })
            .collect();
        loop {
            if shared.handshake.take() && shared.work.load(Ordering::Relaxed) == wakers.len() {
                break;
            }
            if shared.handshake.go_away() {
                loom::thread::park();
            }
            shared.handshake.come_back();
        }
        for waker in wakers {
            waker.join().unwrap();
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "the model switches stacks")]
fn no_interleaving_loses_a_wake() {
    model::<AtomicBool>();
}

#[test]
#[should_panic(expected = "deadlock")]
#[cfg_attr(miri, ignore = "the model switches stacks")]
fn the_model_finds_a_wake_that_is_lost_without_the_second_look() {
    model::<Blind>();
}

#[test]
#[should_panic(expected = "deadlock")]
#[cfg_attr(miri, ignore = "the model switches stacks")]
fn the_model_finds_a_wake_that_is_lost_between_flags_without_order() {
    model::<Careless>();
}
