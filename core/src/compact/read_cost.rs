//! What reads pay for the depth of a version, and when merging it for them is cheaper.
//!
//! Size-tiered runs are cheap to write and dear to read: each run beyond the first costs a lookup the search of one more segment and its filter. While
//! reads are few nothing is gained by merging more than writes need. Once reads have paid a few times what merging all entries costs, they are
//! likely to pay it again: all goes to the bottom (the argument of ski rental: at no time was more than a fixed part of the reads' cost spent in
//! vain). LevelDB merges after a number of seeks for the same reason, a file at a time (`allowed_seeks`).

use std::cell::Cell;

/// Runs that reads are left with.
pub(crate) const READ_RUNS_MAX: usize = 4;
/// Searches of further runs that are worth as much as merging one entry: a merge decodes, compares, encodes and uploads it.
const SEARCHES_AN_ENTRY: u64 = 4;

/// Searches of runs beyond the first, and how many of them pay for a merge.
#[derive(Debug)]
pub(crate) struct ReadCost {
    spent: Cell<u64>,
    price: Cell<u64>,
}

impl Default for ReadCost {
    fn default() -> Self {
        Self { spent: Cell::new(0), price: Cell::new(u64::MAX) }
    }
}

impl ReadCost {
    /// The version is this deep now, and has so many entries.
    pub(crate) fn version_changed(&self, depth: usize, entries: u64) {
        if depth > READ_RUNS_MAX {
            self.price.set(entries.saturating_mul(SEARCHES_AN_ENTRY));
        } else {
            self.price.set(u64::MAX);
            self.spent.set(0);
        }
    }

    /// Further runs were searched. Whether a merge has become due by that.
    #[inline]
    pub(crate) fn pay(&self, searches: u64) -> bool {
        // A shallow version costs its readers nothing worth a merge.
        if self.price.get() == u64::MAX {
            return false;
        }
        let was_due = self.is_due();
        self.spent.set(self.spent.get().saturating_add(searches));
        !was_due && self.is_due()
    }

    /// Whether merging what is there is worth its price to those who read it.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.spent.get() >= self.price.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_version_is_merged_once_reads_have_paid_for_it_and_a_shallow_one_never() {
        let cost = ReadCost::default();
        assert!(!cost.pay(1_000_000) && !cost.is_due(), "nothing to merge");
        cost.version_changed(READ_RUNS_MAX, 10);
        assert!(!cost.pay(1_000) && !cost.is_due(), "shallow");
        cost.version_changed(READ_RUNS_MAX + 1, 10);
        assert!(!cost.pay(10 * SEARCHES_AN_ENTRY - 1) && !cost.is_due());
        assert!(cost.pay(1) && cost.is_due());
        assert!(!cost.pay(1) && cost.is_due(), "told once");
        // Deeper and larger by a flush: what was paid counts on.
        cost.version_changed(READ_RUNS_MAX + 2, 12);
        assert!(!cost.is_due());
        assert!(cost.pay(2 * SEARCHES_AN_ENTRY));
        cost.version_changed(1, 12);
        assert!(!cost.is_due() && !cost.pay(u64::MAX));
    }
}
