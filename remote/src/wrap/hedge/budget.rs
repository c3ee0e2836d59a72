//! How many second requests are allowed: a share of the reads of the last minute, counted exactly.
//!
//! ```text
//! slots of 100 ms   │r h│r h│r h│ .. │r h│  <- now
//!                    └───────── reads ───┘   the newest 600: never more than the last minute
//!                └───────────── hedges ──┘   the newest 601: never less than the last minute
//! ```
//!
//! Invariant: at the moment a hedge is allowed, hedges of the last 60 s, this one among them, are at most `percent_max` % of the
//! reads of the last 60 s. Whole numbers throughout, and where the edge of the minute cuts a slot, the count errs on the side of
//! fewer hedges.

use std::time::Duration;

use aquifer_io::Instant;

const SLOT: Duration = Duration::from_millis(100);
const READ_SLOTS: usize = 600;
const HEDGE_SLOTS: usize = READ_SLOTS + 1;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    reads: u64,
    hedges: u64,
}

/// The reads and hedges of the last minute.
#[derive(Debug)]
pub(super) struct Budget {
    percent_max: u64,
    /// The slot of time `n` is at `n % HEDGE_SLOTS`.
    slots: Vec<Slot>,
    newest: u64,
    reads: u64,
    hedges: u64,
}

impl Budget {
    pub(super) fn new(percent_max: u32) -> Self {
        Self {
            percent_max: u64::from(percent_max),
            slots: vec![Slot::default(); HEDGE_SLOTS],
            newest: 0,
            reads: 0,
            hedges: 0,
        }
    }

    /// A read begins.
    pub(super) fn read(&mut self, now: Instant) {
        self.pass_to(now);
        self.reads += 1;
        if let Some(slot) = self.slot(self.newest) {
            slot.reads += 1;
        }
    }

    /// Takes leave for one hedge.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.pass_to(now);
        if (self.hedges + 1) * 100 > self.reads * self.percent_max {
            return false;
        }
        self.hedges += 1;
        if let Some(slot) = self.slot(self.newest) {
            slot.hedges += 1;
        }
        true
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let index = usize::try_from(number % wide(HEDGE_SLOTS)).ok()?;
        self.slots.get_mut(index)
    }

    /// Forgets what is older than a minute.
    fn pass_to(&mut self, now: Instant) {
        let number = now.as_nanos() / u64::try_from(SLOT.as_nanos()).unwrap_or(1);
        if number >= self.newest + wide(HEDGE_SLOTS) {
            self.slots.fill(Slot::default());
            (self.reads, self.hedges, self.newest) = (0, 0, number);
            return;
        }
        while self.newest < number {
            self.newest += 1;
            // Its place is the oldest slot's.
            let oldest = self.slot(self.newest).map(std::mem::take).unwrap_or_default();
            self.hedges -= oldest.hedges.min(self.hedges);
            // The one after that has left the reads' minute.
            let leaving = self.slot(self.newest + 1).map(|slot| std::mem::take(&mut slot.reads));
            self.reads -= leaving.unwrap_or(0).min(self.reads);
        }
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the plain lists of moments: whatever the traffic, no minute that ends with a hedge has more than the share.
    #[test]
    fn no_minute_has_more_than_its_share() {
        for seed in 0..6 {
            let mut chance = fastrand::Rng::with_seed(seed);
            let mut budget = Budget::new(5);
            let (mut reads, mut hedges): (Vec<u64>, Vec<u64>) = Default::default();
            let origin = aquifer_io::now();
            let mut at_ms = 0;
            let mut refused = 0;
            for _ in 0..20_000 {
                // Bursts, trickles and long pauses.
                at_ms += match chance.u32(..100) {
                    0 => chance.u64(..20_000),
                    1..5 => chance.u64(..500),
                    _ => chance.u64(..4),
                };
                let now = origin + Duration::from_millis(at_ms);
                budget.read(now);
                reads.push(at_ms);
                if chance.u32(..10) > 0 {
                    continue;
                }
                if !budget.take(now) {
                    refused += 1;
                    continue;
                }
                hedges.push(at_ms);
                let within = |all: &[u64]| all.iter().rev().take_while(|&&at| at + 60_000 > at_ms).count();
                assert!(within(&hedges) * 100 <= within(&reads) * 5, "{seed}: at {at_ms} ms");
            }
            assert!(hedges.len() > 300 && refused > 300, "{} allowed, {refused} refused", hedges.len());
        }
    }

    #[test]
    fn twenty_reads_buy_one_and_a_minute_later_none() {
        let mut budget = Budget::new(5);
        let origin = aquifer_io::now();
        assert!(!budget.take(origin));
        (0..19).for_each(|_| budget.read(origin));
        assert!(!budget.take(origin));
        budget.read(origin);
        assert!(budget.take(origin) && !budget.take(origin));
        (0..20).for_each(|_| budget.read(origin));
        assert!(!budget.take(origin + Duration::from_secs(61)));
        assert!(!Budget::new(0).take(origin));
        let mut never_full = Budget::new(5);
        never_full.read(origin + Duration::MAX);
        assert!(!never_full.take(origin + Duration::MAX));
    }

    #[test]
    fn a_steady_flow_gets_the_whole_share() {
        let mut budget = Budget::new(5);
        let origin = aquifer_io::now();
        let mut allowed = 0;
        for read in 0..100_000_u64 {
            let now = origin + Duration::from_millis(read);
            budget.read(now);
            allowed += u64::from(budget.take(now));
        }
        assert!((4_950..=5_000).contains(&allowed), "{allowed}");
    }
}
