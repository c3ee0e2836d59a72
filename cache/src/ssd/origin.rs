//! How an entry came to the SSD, and how often what came that way was read: what decides whether more of it is taken.
//!
//! Segments that were just flushed or compacted are written through only while that pays: when a region is begun anew, each of its entries
//! is counted under its origin as used or not. An origin whose entries are used less than half as often as those that were fetched for a reader
//! is taken in by samples only, so that a change of the workload shows.

/// How an entry came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Fetched for somebody who wanted to read it.
    Read,
    /// Of a segment that a memtable became.
    Flushed,
    /// Of a segment that a compaction wrote.
    Compacted,
    /// Fetched ahead: a pinned segment, or the warm-up after a restore.
    Ahead,
}

impl Origin {
    const ALL: [Self; 4] = [Self::Read, Self::Flushed, Self::Compacted, Self::Ahead];

    /// Two bits.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// Of the lower two bits.
    pub(crate) fn of_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code & 0b11)).copied().unwrap_or(Self::Read)
    }
}

/// Entries seen at the end of their time, and those of them that had been read.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    all: u32,
    used: u32,
}

/// Fewer than this say nothing yet.
const SEEN_MIN: u32 = 256;
/// At this many both are halved: what was long ago counts less.
const SEEN_MAX: u32 = 16_384;
/// Of an origin that does not pay, one in so many is taken.
const SAMPLE: u64 = 32;

/// What became of entries, by their origin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OriginMeter {
    seen: [Seen; 4],
}

impl OriginMeter {
    /// An entry has come to the end of its time.
    pub(crate) fn ended(&mut self, origin: Origin, was_used: bool) {
        if let Some(seen) = self.seen.get_mut(usize::from(origin.code())) {
            seen.all += 1;
            seen.used += u32::from(was_used);
            if seen.all >= SEEN_MAX {
                seen.all /= 2;
                seen.used /= 2;
            }
        }
    }

    /// Share of its entries that were read, in percent; `None` while too few are known.
    pub(crate) fn used_percent(&self, origin: Origin) -> Option<u32> {
        let seen = self.seen.get(usize::from(origin.code())).filter(|seen| seen.all >= SEEN_MIN)?;
        Some(seen.used * 100 / seen.all)
    }

    /// Whether an entry of this origin, with this hash, is worth its write.
    pub(crate) fn pays(&self, origin: Origin, hash: u64) -> bool {
        let Some(percent) = self.used_percent(origin) else { return true };
        let of_reads = self.used_percent(Origin::Read).unwrap_or(50);
        percent * 2 >= of_reads.max(2) || (hash >> 20).is_multiple_of(SAMPLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_taken_by_samples_until_it_is() {
        let mut meter = OriginMeter::default();
        assert!(meter.pays(Origin::Flushed, 1), "nothing is known yet");
        for n in 0..2_000 {
            meter.ended(Origin::Read, n % 2 == 0);
            meter.ended(Origin::Flushed, n % 20 == 0);
            meter.ended(Origin::Compacted, n % 3 == 0);
        }
        let taken =
            |meter: &OriginMeter, origin| (0..3_200u64).filter(|n| meter.pays(origin, n << 20)).count();
        assert_eq!(taken(&meter, Origin::Flushed), 100);
        assert_eq!(taken(&meter, Origin::Compacted), 3_200);
        for _ in 0..20_000 {
            meter.ended(Origin::Flushed, true);
        }
        assert_eq!(taken(&meter, Origin::Flushed), 3_200);
        for code in 0..8 {
            assert_eq!(Origin::of_code(code).code(), code & 3);
        }
    }
}
