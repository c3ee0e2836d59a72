//! How much a writer is slowed down, and why: a function of what the shard is behind with.
//!
//! ```text
//! debt     0 ......... soft ............................ hard
//! delay    none         grows with the square             most: the writer still goes on, at a crawl
//! ```
//! Every kind of debt has a soft border, below which it costs nothing, and a hard one; the worst kind counts. A delay is owed for the
//! bytes of a write, so that small writes are not punished for their number, and is paid once enough is owed for a timer to be worth it.
//! Memory is a limit, not a debt: when memtables and uploads take all of theirs, a write waits for the next upload, however long that
//! takes. While the DFS is away that is what happens, and [`Pressure::wait`] says so; reads do not pass through here.

use crate::stats::WriteWait;
use aquifer_io::Instant;
use std::cell::Cell;
use std::time::Duration;

/// A whole: fractions are counted in millionths.
const WHOLE: u64 = 1_000_000;
/// What a byte costs at the hard border: writers go on at one megabyte a second.
const BYTE_NS_MAX: u64 = 1_000;
/// Most that one write is delayed, whatever its size and the debt.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(50);
/// Owed delays are paid in pieces of at least this: a timer is no finer.
const DELAY_LEAST: Duration = Duration::from_millis(1);

/// One kind of debt: how much there is, where it begins to count, and where it counts in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) amount: u64,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

impl Term {
    /// 0 at the soft border and below, [`WHOLE`] at the hard border and above, straight in between.
    fn fraction(self) -> u64 {
        let over = u128::from(self.amount.saturating_sub(self.soft));
        let span = u128::from(self.hard.saturating_sub(self.soft).max(1));
        u64::try_from(over * u128::from(WHOLE) / span).unwrap_or(WHOLE).min(WHOLE)
    }
}

/// What a shard is behind with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Debt {
    /// Bytes of memtables, those under upload included.
    pub(crate) memtables: Term,
    /// Sorted runs that a read may have to consult.
    pub(crate) runs: Term,
    /// Bytes that compaction should have merged by now.
    pub(crate) compaction: Term,
    /// Bytes encoded and not uploaded.
    pub(crate) uploads: Term,
}

/// The delay of one byte in nanoseconds, by the worst kind of debt.
fn byte_ns(debt: &Debt) -> u64 {
    let worst = [debt.memtables, debt.runs, debt.compaction, debt.uploads].map(Term::fraction);
    let worst = u128::from(worst.into_iter().max().unwrap_or(0));
    let whole = u128::from(WHOLE);
    u64::try_from(u128::from(BYTE_NS_MAX) * worst * worst / (whole * whole)).unwrap_or(BYTE_NS_MAX)
}

/// Whether writes are delayed at all.
pub(crate) fn slows_down(debt: &Debt) -> bool {
    byte_ns(debt) > 0
}

/// The delay of a write of `bytes`.
pub(crate) fn delay(debt: &Debt, bytes: u64) -> Duration {
    Duration::from_nanos(byte_ns(debt).saturating_mul(bytes)).min(DELAY_MAX)
}

/// The back-pressure of one shard.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    owed: Cell<Duration>,
    /// Writes that were delayed before are due until then: the next one's delay comes after theirs.
    paced_until: Cell<Option<Instant>>,
    away_since: Cell<Option<Instant>>,
    is_paced: Cell<bool>,
    /// Writes that wait for room.
    waiting_for_room: Cell<usize>,
}

impl Pressure {
    /// Owes the delay of a write; gives what is to be waited now, mostly nothing.
    pub(crate) fn owe(&self, debt: &Debt, bytes: u64) -> Option<Duration> {
        let more = delay(debt, bytes);
        if more.is_zero() {
            self.owed.set(Duration::ZERO);
            self.is_paced.set(false);
            return None;
        }
        self.is_paced.set(true);
        let owed = (self.owed.get() + more).min(DELAY_MAX);
        let due = owed >= DELAY_LEAST;
        self.owed.set(if due { Duration::ZERO } else { owed });
        due.then_some(owed)
    }

    /// Owes the delay of a write, in turn with all others: until when it waits, if it waits. Never longer than [`DELAY_MAX`] from `now`.
    pub(crate) fn pace(&self, debt: &Debt, bytes: u64, now: impl FnOnce() -> Instant) -> Option<Instant> {
        let owed = self.owe(debt, bytes)?;
        let now = now();
        let begin = self.paced_until.get().map_or(now, |until| until.max(now));
        let until = (begin + owed).min(now + DELAY_MAX);
        self.paced_until.set(Some(until));
        Some(until)
    }

    /// An upload ended: the DFS answers.
    pub(crate) fn store_answered(&self) {
        self.away_since.set(None);
    }

    /// An upload failed for want of an answer, and is tried again.
    pub(crate) fn store_silent(&self) {
        if self.away_since.get().is_none() {
            self.away_since.set(Some(aquifer_io::now()));
        }
    }

    /// A write begins to wait for room in memory; it does until what this gives is dropped.
    pub(crate) fn wait_for_room(&self) -> WaitForRoom<'_> {
        self.waiting_for_room.set(self.waiting_for_room.get() + 1);
        WaitForRoom(self)
    }

    /// Why writes wait.
    pub(crate) fn wait(&self) -> WriteWait {
        match (self.waiting_for_room.get(), self.away_since.get()) {
            (0, _) if self.is_paced.get() => WriteWait::Paced,
            (0, _) => WriteWait::None,
            (_, Some(_)) => WriteWait::StoreAway,
            (_, None) => WriteWait::Memory,
        }
    }
}

/// A write that waits for room.
pub(crate) struct WaitForRoom<'a>(&'a Pressure);

impl Drop for WaitForRoom<'_> {
    fn drop(&mut self) {
        self.0.waiting_for_room.set(self.0.waiting_for_room.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn term() -> impl Strategy<Value = Term> {
        (0u64..2_000, 0u64..1_000, 1u64..1_000).prop_map(|(amount, soft, span)| Term {
            amount,
            soft,
            hard: soft + span,
        })
    }

    fn debt() -> impl Strategy<Value = Debt> {
        (term(), term(), term(), term()).prop_map(|(memtables, runs, compaction, uploads)| Debt {
            memtables,
            runs,
            compaction,
            uploads,
        })
    }

    proptest! {
        #[test]
        fn more_debt_or_more_bytes_never_mean_less_delay(debt in debt(), more in 0u64..100, which in 0usize..4, bytes in 0u64..1_000_000) {
            let mut worse = debt;
            let term = [&mut worse.memtables, &mut worse.runs, &mut worse.compaction, &mut worse.uploads];
            term.into_iter().nth(which).unwrap().amount += more;
            prop_assert!(delay(&worse, bytes) >= delay(&debt, bytes));
            prop_assert!(delay(&debt, bytes + more) >= delay(&debt, bytes));
            prop_assert!(delay(&worse, bytes) <= DELAY_MAX);
        }

        #[test]
        fn the_delay_never_jumps(soft in 0u64..1_000_000, span in 1_000_000u64..100_000_000, step in 0u64..1_000) {
            // A thousandth more of the way to the hard border: at most two thousandths of the whole more delay.
            let term = |amount| Term { amount, soft, hard: soft + span };
            let at = |amount| byte_ns(&Debt { memtables: term(amount), ..Debt::default() });
            let (here, next) = (soft + span / 1000 * step, soft + span / 1000 * (step + 1));
            prop_assert!(at(next) - at(here) <= BYTE_NS_MAX * 2 / 1000 + 1);
        }
    }

    #[test]
    fn below_the_soft_border_nothing_is_owed_and_above_the_hard_one_no_more_than_the_most() {
        let at = |amount| Debt { runs: Term { amount, soft: 40, hard: 80 }, ..Debt::default() };
        assert_eq!(delay(&at(40), 1 << 30), Duration::ZERO);
        assert_eq!(delay(&at(60), 1_000), Duration::from_micros(250), "half way: a quarter");
        assert_eq!(delay(&at(80), 1_000), Duration::from_millis(1));
        assert_eq!(delay(&at(80_000), 1 << 40), DELAY_MAX);
    }

    #[test]
    fn small_delays_gather_until_a_timer_is_worth_it() {
        let pressure = Pressure::default();
        let debt = Debt { uploads: Term { amount: 10, soft: 0, hard: 10 }, ..Debt::default() };
        let paid: Duration = (0..1000).filter_map(|_| pressure.owe(&debt, 100)).sum();
        assert_eq!(paid, Duration::from_millis(100), "100 kB at a megabyte a second");
        assert_eq!(pressure.wait(), WriteWait::Paced);
        assert_eq!(pressure.owe(&Debt::default(), 100), None);
        assert_eq!(pressure.wait(), WriteWait::None);
    }

    #[test]
    fn writes_that_are_delayed_wait_one_after_the_other_and_none_too_long() {
        let pressure = Pressure::default();
        let debt = Debt { uploads: Term { amount: 10, soft: 0, hard: 10 }, ..Debt::default() };
        let now = aquifer_io::now();
        let paced: Vec<_> = (0..5).filter_map(|_| pressure.pace(&debt, 20_000, || now)).collect();
        let due: Vec<_> = paced.iter().map(|until| until.duration_since(now).as_millis()).collect();
        assert_eq!(due, [20, 40, 50, 50, 50]);
    }

    #[test]
    fn a_full_memory_says_whether_the_store_is_why() {
        let pressure = Pressure::default();
        let (first, second) = (pressure.wait_for_room(), pressure.wait_for_room());
        assert_eq!(pressure.wait(), WriteWait::Memory);
        pressure.store_silent();
        assert_eq!(pressure.wait(), WriteWait::StoreAway);
        drop(first);
        assert_eq!(pressure.wait(), WriteWait::StoreAway, "another one still waits");
        pressure.store_answered();
        drop(second);
        assert_eq!(pressure.wait(), WriteWait::None);
    }
}
