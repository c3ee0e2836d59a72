//! W-TinyLFU (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017): a small LRU window, then a
//! segmented LRU that a key enters only if it was asked for more often than the one that would leave. How often is counted in a sketch
//! that ages: when as many accesses as ten times the entries were counted, every count is halved.

use super::lru::Recency;
use super::policy::Policy;

/// Counts of one entry of the cache.
const COUNTERS_PER_ENTRY: usize = 8;
const ROWS: usize = 4;
const COUNT_MAX: u8 = 15;
const SAMPLE: usize = 10;

struct Sketch {
    /// A power of two of them in each row.
    rows: [Vec<u8>; ROWS],
    counted: usize,
    sample: usize,
}

impl Sketch {
    fn new(entries: usize) -> Self {
        let counters = (entries * COUNTERS_PER_ENTRY / ROWS).next_power_of_two();
        Self { rows: std::array::from_fn(|_| vec![0; counters]), counted: 0, sample: entries * SAMPLE }
    }

    fn slots(&mut self, key: u32) -> impl Iterator<Item = &mut u8> {
        self.rows.iter_mut().zip(1u64..).filter_map(move |(row, seed)| {
            let mixed = (u64::from(key) + (seed << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let at = usize::try_from(mixed >> 32).unwrap_or(0) & (row.len() - 1);
            row.get_mut(at)
        })
    }

    fn count(&mut self, key: u32) {
        for slot in self.slots(key) {
            *slot = (*slot + 1).min(COUNT_MAX);
        }
        self.counted += 1;
        if self.counted >= self.sample {
            self.counted /= 2;
            for slot in self.rows.iter_mut().flatten() {
                *slot /= 2;
            }
        }
    }

    fn frequency(&mut self, key: u32) -> u8 {
        self.slots(key).map(|slot| *slot).min().unwrap_or(0)
    }
}

/// See the module.
pub(super) struct TinyLfu {
    window_max: usize,
    main_max: usize,
    protected_max: usize,
    window: Recency,
    probation: Recency,
    protected: Recency,
    sketch: Sketch,
}

impl TinyLfu {
    /// A hundredth is window, four fifths of the rest are protected, as in the paper.
    pub(super) fn new(entries: usize) -> Self {
        let window_max = (entries / 100).max(1);
        let main_max = entries.saturating_sub(window_max).max(1);
        Self {
            window_max,
            main_max,
            protected_max: main_max * 4 / 5,
            window: Recency::default(),
            probation: Recency::default(),
            protected: Recency::default(),
            sketch: Sketch::new(entries),
        }
    }

    /// What left the window against what would leave the rest.
    fn admit(&mut self, candidate: u32) {
        if self.probation.len() + self.protected.len() >= self.main_max {
            let in_probation = self.probation.oldest();
            let Some(victim) = in_probation.or_else(|| self.protected.oldest()) else { return };
            if self.sketch.frequency(candidate) <= self.sketch.frequency(victim) {
                return;
            }
            if in_probation.is_some() { &mut self.probation } else { &mut self.protected }.remove(victim);
        }
        self.probation.push(candidate);
    }
}

impl Policy for TinyLfu {
    fn access(&mut self, key: u32) -> bool {
        self.sketch.count(key);
        if self.window.touch(key) || self.protected.touch(key) {
            return true;
        }
        if self.probation.remove(key) {
            self.protected.push(key);
            if self.protected.len() > self.protected_max
                && let Some(demoted) = self.protected.pop_oldest()
            {
                self.probation.push(demoted);
            }
            return true;
        }
        self.window.push(key);
        if self.window.len() > self.window_max
            && let Some(candidate) = self.window.pop_oldest()
        {
            self.admit(candidate);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_once_does_not_push_out_what_is_asked_for_often() {
        let mut cache = TinyLfu::new(100);
        for _ in 0..5 {
            for key in 0..90 {
                cache.access(key);
            }
        }
        for key in 1_000..20_000 {
            assert!(!cache.access(key));
            cache.access(key % 90);
        }
        let left = (0..90).filter(|&key| cache.access(key)).count();
        assert!(left >= 85, "{left}");
    }
}
