//! A budget of one thread: so many bytes or operations at a time, handed out first come, first served.
//!
//! ```text
//! take(3) ──> Grant(3) ──drop──> back in the budget, the oldest waiter is served first
//! ```
//!
//! Invariants:
//! * `used <= limit`, always.
//! * A waiter is passed over by nobody: as long as one waits, `try_take` says no and later takers queue behind it.
//! * A taker that gives up, before or after it was granted, loses nothing of the budget.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: Cell<usize>,
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Debug)]
struct Waiter {
    amount: usize,
    granted: Cell<bool>,
    waker: RefCell<Waker>,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { limit, used: Cell::new(0), waiters: RefCell::default() })
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    /// The amount now, or nothing when it does not fit or somebody waits already.
    pub(crate) fn try_take(self: &Rc<Self>, amount: usize) -> Option<Grant> {
        if self.waiters.borrow().is_empty() && self.fits(amount) {
            self.used.set(self.used.get() + amount);
            Some(Grant { budget: Rc::clone(self), amount })
        } else {
            None
        }
    }

    /// Waits for the amount. The caller sees to it that the amount is not above the limit: it would wait for ever.
    pub(crate) fn take(self: &Rc<Self>, amount: usize) -> Take {
        debug_assert!(amount <= self.limit, "more than the whole budget");
        Take { budget: Rc::clone(self), amount, waiter: None }
    }

    fn fits(&self, amount: usize) -> bool {
        self.limit - self.used.get() >= amount
    }

    fn give_back(&self, amount: usize) {
        debug_assert!(amount <= self.used.get(), "given back more than was taken");
        self.used.set(self.used.get().saturating_sub(amount));
        self.serve();
    }

    /// Grants to the oldest waiters as long as they fit. Wakes without holding the queue.
    fn serve(&self) {
        loop {
            let mut waiters = self.waiters.borrow_mut();
            let fits = waiters.front().is_some_and(|waiter| self.fits(waiter.amount));
            if !fits {
                return;
            }
            let Some(waiter) = waiters.pop_front() else { return };
            drop(waiters);
            self.used.set(self.used.get() + waiter.amount);
            waiter.granted.set(true);
            let waker = waiter.waker.replace(Waker::noop().clone());
            waker.wake();
        }
    }

    fn leave(&self, waiter: &Rc<Waiter>) {
        self.waiters.borrow_mut().retain(|other| !Rc::ptr_eq(other, waiter));
        // The one that left may have been in the way of smaller ones.
        self.serve();
    }
}

/// A part of a budget; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Grant {
    budget: Rc<Budget>,
    amount: usize,
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.budget.give_back(self.amount);
    }
}

/// Waiting for a part of a budget.
#[derive(Debug)]
pub(crate) struct Take {
    budget: Rc<Budget>,
    amount: usize,
    waiter: Option<Rc<Waiter>>,
}

impl Future for Take {
    type Output = Grant;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Grant> {
        match &self.waiter {
            None => {
                if let Some(grant) = self.budget.try_take(self.amount) {
                    return Poll::Ready(grant);
                }
                let waiter = Rc::new(Waiter {
                    amount: self.amount,
                    granted: Cell::new(false),
                    waker: RefCell::new(context.waker().clone()),
                });
                self.budget.waiters.borrow_mut().push_back(Rc::clone(&waiter));
                self.waiter = Some(waiter);
                Poll::Pending
            }
            Some(waiter) if waiter.granted.get() => {
                self.waiter = None;
                Poll::Ready(Grant { budget: Rc::clone(&self.budget), amount: self.amount })
            }
            Some(waiter) => {
                waiter.waker.borrow_mut().clone_from(context.waker());
                Poll::Pending
            }
        }
    }
}

impl Drop for Take {
    fn drop(&mut self) {
        match self.waiter.take() {
            Some(waiter) if waiter.granted.get() => self.budget.give_back(self.amount),
            Some(waiter) => self.budget.leave(&waiter),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(take: &mut Take) -> Poll<Grant> {
        Pin::new(take).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn grant(take: &mut Take) -> Grant {
        match poll(take) {
            Poll::Ready(grant) => grant,
            Poll::Pending => panic!("not granted"),
        }
    }

    #[test]
    fn first_come_first_served_even_when_a_smaller_one_would_fit() {
        let budget = Budget::new(10);
        let held = budget.try_take(6).unwrap();
        let (mut large, mut small) = (budget.take(8), budget.take(1));
        assert!(poll(&mut large).is_pending());
        assert!(poll(&mut small).is_pending(), "must queue behind the large one");
        assert!(budget.try_take(1).is_none());
        drop(held);
        let large = grant(&mut large);
        let small = grant(&mut small);
        assert_eq!(budget.used(), 9);
        drop((large, small));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_that_gives_up_lets_the_next_pass_and_loses_nothing() {
        let budget = Budget::new(10);
        let held = budget.try_take(6).unwrap();
        let (mut large, mut small) = (budget.take(8), budget.take(4));
        assert!(poll(&mut large).is_pending());
        assert!(poll(&mut small).is_pending());
        drop(large);
        let small = grant(&mut small);
        assert_eq!(budget.used(), 10);
        drop(small);

        // Granted, then dropped before it looked.
        let mut unlucky = budget.take(10);
        assert!(poll(&mut unlucky).is_pending());
        drop(held);
        assert_eq!(budget.used(), 10);
        drop(unlucky);
        assert_eq!(budget.used(), 0);
        assert!(budget.try_take(10).is_some());
    }

    /// Random takers, some of whom give up, against the plain rule "the sum of what is held is what is used".
    #[test]
    fn never_above_the_limit_and_never_leaks() {
        let mut random = fastrand::Rng::with_seed(2);
        let budget = Budget::new(16);
        let (mut waiting, mut held): (Vec<Take>, Vec<Grant>) = (Vec::new(), Vec::new());
        for _ in 0..20_000 {
            match random.u8(..4) {
                0 => waiting.push(budget.take(random.usize(1..=16))),
                1 if !waiting.is_empty() => drop(waiting.swap_remove(random.usize(..waiting.len()))),
                2 if !held.is_empty() => drop(held.swap_remove(random.usize(..held.len()))),
                _ if !waiting.is_empty() => {
                    let index = random.usize(..waiting.len());
                    if let Poll::Ready(grant) = poll(&mut waiting[index]) {
                        drop(waiting.swap_remove(index));
                        held.push(grant);
                    }
                }
                _ => {}
            }
            let granted: usize = waiting
                .iter()
                .filter(|take| take.waiter.as_ref().is_some_and(|w| w.granted.get()))
                .map(|t| t.amount)
                .sum();
            assert_eq!(held.iter().map(|grant| grant.amount).sum::<usize>() + granted, budget.used());
            assert!(budget.used() <= 16);
        }
        drop((waiting, held));
        assert_eq!(budget.used(), 0);
        assert!(budget.waiters.borrow().is_empty());
    }
}
