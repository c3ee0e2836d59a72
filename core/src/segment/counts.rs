//! What is counted of entries: of a partition, of a segment, and in the manifest, always as the same 56 bytes.
//!
//! ```text
//! offset  bytes  field
//!      0      8  entries, deletions and merges included
//!      8      8  deletions among them
//!     16      8  merges and chains among them: entries that may need older ones
//!     24      8  entries that expire
//!     32      8  smallest moment of expiry, in milliseconds; all bits set if none expires
//!     40      8  largest; 0 if none expires
//!     48      8  raw bytes: keys, values and operands before compression
//! ```

use crate::codec::Reader;
use crate::entry::{Entry, NEVER, Op};
use crate::limits::SEGMENT_COUNTS_MAX;

pub(crate) const COUNTS_BYTES: usize = 56;
const _: () = assert!(7 * 8 == COUNTS_BYTES);

/// Counts of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    pub(crate) merges: u64,
    pub(crate) expiring: u64,
    /// [`NEVER`] if no entry expires.
    pub(crate) expiry_ms_min: u64,
    /// 0 if no entry expires.
    pub(crate) expiry_ms_max: u64,
    pub(crate) raw_bytes: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            entries: 0,
            tombstones: 0,
            merges: 0,
            expiring: 0,
            expiry_ms_min: NEVER,
            expiry_ms_max: 0,
            raw_bytes: 0,
        }
    }
}

impl Counts {
    /// Counts one more entry.
    pub(crate) fn count(&mut self, key: &[u8], entry: &Entry<'_>) {
        self.entries += 1;
        self.tombstones += u64::from(matches!(entry.op, Op::Delete));
        self.merges += u64::from(matches!(entry.op, Op::Merge { .. } | Op::Chain(_)));
        if entry.expires_ms != NEVER {
            self.expiring += 1;
            self.expiry_ms_min = self.expiry_ms_min.min(entry.expires_ms);
            self.expiry_ms_max = self.expiry_ms_max.max(entry.expires_ms);
        }
        self.raw_bytes += (key.len() + entry.payload().len()) as u64;
    }

    /// Counts what `other` counted too.
    pub(crate) fn add(&mut self, other: &Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.tombstones = self.tombstones.saturating_add(other.tombstones);
        self.merges = self.merges.saturating_add(other.merges);
        self.expiring = self.expiring.saturating_add(other.expiring);
        self.expiry_ms_min = self.expiry_ms_min.min(other.expiry_ms_min);
        self.expiry_ms_max = self.expiry_ms_max.max(other.expiry_ms_max);
        self.raw_bytes = self.raw_bytes.saturating_add(other.raw_bytes);
    }

    /// Whether every entry counts as deleted at `now_ms` because its time is over.
    #[cfg(test)]
    pub(crate) fn all_expired(&self, now_ms: u64) -> bool {
        self.entries > 0 && self.expiring == self.entries && self.expiry_ms_max <= now_ms
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for field in [
            self.entries,
            self.tombstones,
            self.merges,
            self.expiring,
            self.expiry_ms_min,
            self.expiry_ms_max,
            self.raw_bytes,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }

    /// `None` if the bytes end early or the counts contradict each other.
    pub(crate) fn decode(fields: &mut Reader<'_>) -> Option<Self> {
        let counts = Self {
            entries: fields.u64()?,
            tombstones: fields.u64()?,
            merges: fields.u64()?,
            expiring: fields.u64()?,
            expiry_ms_min: fields.u64()?,
            expiry_ms_max: fields.u64()?,
            raw_bytes: fields.u64()?,
        };
        counts.is_sound().then_some(counts)
    }

    fn is_sound(&self) -> bool {
        if self.entries.max(self.raw_bytes) > SEGMENT_COUNTS_MAX {
            return false;
        }
        let values =
            self.tombstones.checked_add(self.merges).and_then(|other| self.entries.checked_sub(other));
        let Some(live) = values.and_then(|values| values.checked_add(self.merges)) else { return false };
        let expiry = if self.expiring == 0 {
            self.expiry_ms_min == NEVER && self.expiry_ms_max == 0
        } else {
            self.expiry_ms_min <= self.expiry_ms_max && self.expiry_ms_max != NEVER
        };
        self.expiring <= live && expiry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Counts {
        let mut counts = Counts::default();
        counts.count(b"a", &Entry::put(b"1234"));
        counts.count(b"b", &Entry::delete());
        counts.count(b"c", &Entry { op: Op::Put(b""), expires_ms: 70 });
        counts.count(
            b"d",
            &Entry { op: Op::Merge { operator: 1, operand: b"xy", written_ms: 9 }, expires_ms: 50 },
        );
        counts
    }

    #[test]
    fn counts_every_kind_and_round_trips() {
        let counts = sample();
        let expected = Counts {
            entries: 4,
            tombstones: 1,
            merges: 1,
            expiring: 2,
            expiry_ms_min: 50,
            expiry_ms_max: 70,
            raw_bytes: 10,
        };
        assert_eq!(counts, expected);
        let mut out = Vec::new();
        counts.encode(&mut out);
        assert_eq!(out.len(), COUNTS_BYTES);
        assert_eq!(Counts::decode(&mut Reader::new(&out)), Some(counts));
        assert_eq!(Counts::decode(&mut Reader::new(&out[..55])), None);
    }

    #[test]
    fn adding_is_counting_both() {
        let mut sum = Counts::default();
        sum.add(&sample());
        assert_eq!(sum, sample());
        sum.add(&sample());
        assert_eq!((sum.entries, sum.expiry_ms_min, sum.raw_bytes), (8, 50, 20));
        assert!(!sum.all_expired(70), "values that live for ever are among them");
        let mut expiring = Counts::default();
        expiring.count(b"k", &Entry { op: Op::Put(b""), expires_ms: 70 });
        assert!(expiring.all_expired(70) && !expiring.all_expired(69));
    }

    #[test]
    fn contradictions_are_refused() {
        type Change = fn(&mut Counts);
        let changes: [Change; 6] = [
            |c| c.tombstones = 5,
            |c| c.merges = u64::MAX,
            |c| c.expiring = 4,
            |c| c.expiring = 0,
            |c| c.expiry_ms_min = 71,
            |c| c.expiry_ms_max = NEVER,
        ];
        for change in changes {
            let mut counts = sample();
            change(&mut counts);
            let mut out = Vec::new();
            counts.encode(&mut out);
            assert_eq!(Counts::decode(&mut Reader::new(&out)), None, "{counts:?}");
        }
    }
}
