//! What reads of one kind and size took lately: their P95, and whether the store as a whole has become slow.
//!
//! ```text
//! ring of the last 2,048 latencies ── every 64 ──> P95, median │ median of the last 64
//! marks of the last 64 reads: passed the threshold or not
//! ```
//!
//! The store as a whole is slow, and a second request would only add to it, while
//! * 13 or more of the last 64 reads passed the threshold that one in twenty should pass, or
//! * the median of the last 64 reads is more than twice the median of the last 2,048.
//!
//! Both end by themselves: the ring takes the new latencies in, and the threshold follows.

/// Latencies kept.
const KEPT: usize = 2_048;
/// Reads between two looks at them, and what counts as lately.
const RECENT: usize = 64;
/// So many of the last 64 past the threshold, and the store is slow.
const PASSED_MAX: u32 = 13;
/// The last median is so many times the long one, and the store is slow.
const MEDIAN_RISE: u32 = 2;

/// The latencies of one class of reads.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    ring: Vec<u32>,
    next: usize,
    unseen: usize,
    p95_us: Option<u32>,
    is_risen: bool,
    passed: u64,
}

impl Latencies {
    /// Takes a latency in, in microseconds.
    pub(super) fn record(&mut self, latency_us: u32) {
        if self.ring.len() < KEPT {
            self.ring.push(latency_us);
        } else if let Some(slot) = self.ring.get_mut(self.next) {
            *slot = latency_us;
        }
        self.next = (self.next + 1) % KEPT;
        self.unseen += 1;
        if self.unseen >= RECENT {
            self.unseen = 0;
            self.look();
        }
    }

    /// Marks whether a read passed the threshold.
    pub(super) fn mark(&mut self, passed: bool) {
        self.passed = self.passed << 1 | u64::from(passed);
    }

    /// The time that 95 % of the reads do not pass, in microseconds; none before the first 64 reads.
    pub(super) fn p95_us(&self) -> Option<u32> {
        self.p95_us
    }

    /// True while the store as a whole is slow.
    pub(super) fn is_slow(&self) -> bool {
        self.is_risen || self.passed.count_ones() >= PASSED_MAX
    }

    fn look(&mut self) {
        let mut recent: Vec<u32> = if self.ring.len() < KEPT {
            self.ring.iter().rev().take(RECENT).copied().collect()
        } else {
            (1..=RECENT).filter_map(|back| self.ring.get((self.next + KEPT - back) % KEPT).copied()).collect()
        };
        let mut all = self.ring.clone();
        self.p95_us = quantile(&mut all, 95);
        let (recent, long) = (quantile(&mut recent, 50), quantile(&mut all, 50));
        self.is_risen = match (recent, long) {
            (Some(recent), Some(long)) => recent > long.saturating_mul(MEDIAN_RISE),
            _ => false,
        };
    }
}

/// The smallest value that this percentage does not pass.
fn quantile(values: &mut [u32], percent: usize) -> Option<u32> {
    let rank = (values.len() * percent).div_ceil(100).checked_sub(1)?;
    Some(*values.select_nth_unstable(rank).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_percentile_is_the_sorted_one() {
        let mut chance = fastrand::Rng::with_seed(3);
        let mut latencies = Latencies::default();
        let mut all = Vec::new();
        assert_eq!(latencies.p95_us(), None);
        for _ in 0..5 * KEPT {
            let latency_us = chance.u32(1..1_000_000);
            latencies.record(latency_us);
            all.push(latency_us);
            if all.len() % RECENT == 0 {
                let mut kept = all[all.len().saturating_sub(KEPT)..].to_vec();
                kept.sort_unstable();
                let rank = (kept.len() * 95).div_ceil(100) - 1;
                assert_eq!(latencies.p95_us(), Some(kept[rank]));
            }
        }
        assert!(!latencies.is_slow());
    }

    #[test]
    fn a_risen_median_is_slow_until_it_is_the_new_normal() {
        let mut latencies = Latencies::default();
        (0..1_000).for_each(|_| latencies.record(1_000));
        assert!(!latencies.is_slow());
        (0..2 * RECENT).for_each(|_| latencies.record(2_500));
        assert!(latencies.is_slow());
        (0..KEPT).for_each(|_| latencies.record(2_500));
        assert!(!latencies.is_slow());
        assert_eq!(latencies.p95_us(), Some(2_500));
    }

    #[test]
    fn many_late_reads_are_slow_at_once() {
        let mut latencies = Latencies::default();
        for read in 0..200 {
            latencies.mark(read % 20 == 0);
            assert!(!latencies.is_slow());
        }
        (0..13).for_each(|_| latencies.mark(true));
        assert!(latencies.is_slow());
        (0..64).for_each(|_| latencies.mark(false));
        assert!(!latencies.is_slow());
    }
}
