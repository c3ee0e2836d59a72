//! A CPU share for work that can wait: flush and compaction yield to reads.
//!
//! ```text
//! balance of a share, in CPU time:   + share * time that passes      (at most BURST saved up)
//!                                    - time of each poll of its tasks (at most BURST of debt)
//! balance above zero                 poll
//! else, only background for QUIET    poll: the core would idle
//! else                               sleep until the balance is above zero again, at most WAIT_MAX
//! ```
//!
//! A background task that has work but no balance sleeps on a timer: it is not ready meanwhile, so it neither spins
//! nor keeps the thread awake. One poll is never cut short: background work calls [`yield_now`](crate::yield_now)
//! about every 100 microseconds, as all code of a shard does.
//!
//! Time is the executor's clock ([`now`](crate::now)). The idea of shares is glommio's and Seastar's; theirs weigh
//! queues against each other, this one sets a ceiling that holds while there is anything else to do.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::clock::{Instant, now};
use crate::executor::context;
use crate::executor::task::{Task, spawn_uncounted};
use crate::time::sleep;

/// Most CPU time that a share saves up, and most that it owes.
const BURST: Duration = Duration::from_millis(5);

/// Longest sleep of a share that owes, after which it looks whether the core is idle by now.
const WAIT_MAX: Duration = Duration::from_millis(10);

/// Without a poll of any other task for this long, background work has the core for itself.
const QUIET: Duration = Duration::from_millis(1);

/// A part of an executor thread's time. Clones are the same share: their tasks draw on one balance.
#[derive(Clone, Debug)]
pub struct CpuShare {
    account: Rc<Account>,
}

#[derive(Debug)]
struct Account {
    percent: u32,
    /// CPU nanoseconds that may be used now; below zero, owed.
    balance_ns: Cell<i64>,
    used_ns: Cell<u64>,
    /// When the balance was last brought up to date.
    counted: Cell<Instant>,
    /// Polls of other tasks that were seen last, and when a new one was.
    others_polls: Cell<u64>,
    others_seen: Cell<Instant>,
}

impl CpuShare {
    /// A share of so many percent of this thread's time, 1 to 100 (clamped).
    #[must_use]
    pub fn percent(percent: u32) -> Self {
        let start = now();
        Self {
            account: Rc::new(Account {
                percent: percent.clamp(1, 100),
                balance_ns: Cell::new(nanos(BURST)),
                used_ns: Cell::new(0),
                counted: Cell::new(start),
                others_polls: Cell::new(0),
                others_seen: Cell::new(start),
            }),
        }
    }

    /// CPU time that its tasks have had so far.
    #[must_use]
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.account.used_ns.get())
    }
}

impl Account {
    /// `None`: poll now. Else wait this long and ask again.
    fn wait(&self, at: Instant, others_polls: u64) -> Option<Duration> {
        self.earn(at);
        if self.others_polls.replace(others_polls) != others_polls {
            self.others_seen.set(at);
        }
        let owed_ns = -self.balance_ns.get();
        if owed_ns < 0 || at.duration_since(self.others_seen.get()) >= QUIET {
            return None;
        }
        // One more nanosecond, so that the balance is above zero then.
        let wait_ns = (owed_ns + 1).saturating_mul(100) / i64::from(self.percent);
        Some(Duration::from_nanos(wait_ns.unsigned_abs()).clamp(QUIET, WAIT_MAX))
    }

    fn earn(&self, at: Instant) {
        let passed_ns = nanos(at.duration_since(self.counted.replace(at)));
        let earned_ns = passed_ns.saturating_mul(i64::from(self.percent)) / 100;
        self.balance_ns.set(self.balance_ns.get().saturating_add(earned_ns).min(nanos(BURST)));
    }

    fn spend(&self, used: Duration) {
        let used_ns = nanos(used);
        self.balance_ns.set(self.balance_ns.get().saturating_sub(used_ns).max(-nanos(BURST)));
        self.used_ns.set(self.used_ns.get().saturating_add(used_ns.unsigned_abs()));
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Runs the future beside all others of this executor thread, as [`spawn_local`](crate::spawn_local) does, but
/// polls it only within its share of the thread's time, as long as there is anything else to do; on a thread that
/// has had nothing else to do for a millisecond it runs freely.
///
/// Tasks that it spawns with `spawn_local` are not background work. A panic, or the end of `main`, is as for a
/// local task.
///
/// # Panics
/// On a thread that is no executor.
pub fn spawn_background<T: 'static>(share: &CpuShare, future: impl Future<Output = T> + 'static) -> Task<T> {
    let share = share.clone();
    spawn_uncounted(async move {
        let executor = context::try_current();
        let mut future = pin!(future);
        let mut waiting: Option<Pin<Box<dyn Future<Output = ()>>>> = None;
        std::future::poll_fn(|context| {
            loop {
                if let Some(wait) = &mut waiting {
                    if wait.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    waiting = None;
                }
                let start = now();
                let others_polls = executor.as_ref().map_or(0, |executor| executor.polls());
                match share.account.wait(start, others_polls) {
                    Some(duration) => waiting = Some(Box::pin(sleep(duration))),
                    None => {
                        let polled = future.as_mut().poll(context);
                        share.account.spend(start.elapsed());
                        return polled;
                    }
                }
            }
        })
        .await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Duration = Duration::from_micros(10);

    /// A second of turns: others are polled in each, and background work that is always ready where it may be.
    fn second_beside_others(percent: u32, poll: Duration) -> Duration {
        let share = CpuShare::percent(percent);
        let mut at = share.account.counted.get();
        let (end, mut not_before, mut others_polls) = (at + Duration::from_secs(1), at, 0);
        while at < end {
            others_polls += 1;
            at = at + TURN;
            if at >= not_before {
                match share.account.wait(at, others_polls) {
                    Some(wait) => {
                        assert!(wait >= QUIET && wait <= WAIT_MAX, "{wait:?}");
                        not_before = at + wait;
                    }
                    None => {
                        share.account.spend(poll);
                        at = at + poll;
                    }
                }
            }
        }
        share.used()
    }

    #[test]
    fn a_share_is_kept_and_used_beside_others() {
        for percent in [1, 10, 25, 50, 90] {
            for poll in [Duration::from_micros(20), Duration::from_micros(100), Duration::from_millis(1)] {
                let used = second_beside_others(percent, poll);
                let allowed = Duration::from_secs(1) * percent / 100;
                assert!(used <= allowed + BURST + poll, "{percent} % of {poll:?}: {used:?}");
                // Turns of others cost time too, so the largest shares cannot be used up.
                assert!(used >= allowed * 7 / 10, "{percent} % of {poll:?}: {used:?}");
            }
        }
    }

    #[test]
    fn an_idle_core_is_its_own_and_costs_at_most_a_burst_afterwards() {
        let share = CpuShare::percent(10);
        let account = &share.account;
        let mut at = account.counted.get();
        let _ = account.wait(at, 1);
        for _ in 0..1000 {
            account.spend(TURN * 10);
            at = at + TURN * 10;
            // Until it has been quiet for long enough it may have to wait.
            if at.duration_since(account.others_seen.get()) >= QUIET {
                assert_eq!(account.wait(at, 1), None);
            }
        }
        assert_eq!(share.used(), Duration::from_millis(100));
        assert!(account.wait(at, 2).is_some(), "others are back");
        assert_eq!(account.wait(at + BURST * 10 + TURN, 3), None, "a burst of 5 ms is earned in 50 ms");
    }
}
