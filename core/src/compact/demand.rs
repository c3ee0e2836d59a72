//! Whether what is written is worth its way into the SSD tier of the cache.
//!
//! Who reads what it writes (read-modify-write) reads it soon: data is offered as it is written, and again when it was merged. A load that
//! nobody reads would write every byte to the SSD as often as to the DFS, for nothing: its data comes to the SSD when it is first read.

use std::cell::Cell;

/// A read for so many writes, or more, and data is offered.
const WRITES_PER_READ: u64 = 16;

/// Counts of reads and writes at the last two flushes: what is asked about is the time since the older one.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    before: Cell<Counts>,
    last: Cell<Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    reads: u64,
    writes: u64,
}

impl Demand {
    /// A flush ended: so many reads and writes were there by now.
    pub(crate) fn note(&self, reads: u64, writes: u64) {
        self.before.set(self.last.replace(Counts { reads, writes }));
    }

    /// Whether reads came in beside the writes since the flush before the last.
    pub(crate) fn is_read(&self, reads: u64, writes: u64) -> bool {
        let Counts { reads: reads_before, writes: writes_before } = self.before.get();
        let (reads, writes) = (reads.saturating_sub(reads_before), writes.saturating_sub(writes_before));
        reads > 0 && reads.saturating_mul(WRITES_PER_READ) >= writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_not_read_and_what_is_read_beside_writes_is() {
        let demand = Demand::default();
        assert!(!demand.is_read(0, 0), "nobody reads");
        demand.note(0, 1000);
        demand.note(0, 2000);
        assert!(!demand.is_read(10, 2500), "hardly anybody");
        assert!(demand.is_read(200, 2500));
        demand.note(200, 3000);
        assert!(demand.is_read(200, 3200), "the reads of the flush before");
        demand.note(200, 4000);
        demand.note(200, 5000);
        assert!(!demand.is_read(200, 6000), "long ago");
        assert!(demand.is_read(1_000, 6000), "again");
    }
}
