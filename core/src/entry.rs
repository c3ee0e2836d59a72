//! What one write says about a key: the unit that memtables hold, segments store and merges combine.

use crate::codec::{Reader, stored_u32};

/// The moment of an entry that lives for ever.
pub(crate) const NEVER: u64 = u64::MAX;

/// What to do with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    /// It has this value, whatever was before.
    Put(&'a [u8]),
    /// It has no value, whatever was before.
    Delete,
    /// It has what `operator` makes of the value before and `operand`; the operand alone if there was none.
    Merge {
        /// Identity of the operator: see [`crate::merge_operator::operator_id`].
        operator: u32,
        /// Operands of several writes, combined, are one operand.
        operand: &'a [u8],
        /// When it was written, in milliseconds of the store's time domain; of combined operands, when the oldest was. What had expired by
        /// then is not what the operand stands on: a merge does what reading, combining and putting at that moment would have done.
        written_ms: u64,
    },
    /// Several writes that could not be combined into one, newest first, encoded by [`encode_chain`]: operands of different operators,
    /// or one that does not fit what it stands on. Older writes matter if the last one is a merge.
    Chain(&'a [u8]),
}

/// One write to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) op: Op<'a>,
    /// From this moment on the key counts as deleted, in milliseconds of the store's time domain; [`NEVER`] if it lives for ever.
    /// Of combined operands the newest one's counts. Deletions never expire.
    pub(crate) expires_ms: u64,
}

impl<'a> Entry<'a> {
    /// A value that lives for ever.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) const fn put(value: &'a [u8]) -> Self {
        Self { op: Op::Put(value), expires_ms: NEVER }
    }

    /// A deletion.
    pub(crate) const fn delete() -> Self {
        Self { op: Op::Delete, expires_ms: NEVER }
    }

    /// Whether it counts as deleted at `now_ms`.
    pub(crate) const fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms <= now_ms
    }

    /// Bytes of value or operand.
    pub(crate) const fn payload(&self) -> &'a [u8] {
        match self.op {
            Op::Put(value) => value,
            Op::Merge { operand, .. } => operand,
            Op::Chain(encoded) => encoded,
            Op::Delete => &[],
        }
    }
}

/// Bytes of a chained entry before its payload.
///
/// ```text
/// kind, 1 byte (0 delete, 1 put, 2 merge) | expires_ms, 8 | operator, 4 | written_ms, 8 | payload bytes, 4 | payload
/// ```
pub(crate) const CHAINED_HEADER_BYTES: usize = 1 + 8 + 4 + 8 + 4;

/// Several writes to one key, newest first, as the payload of one. None of them is a chain itself.
pub(crate) fn encode_chain<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let (kind, operator, written_ms) = match entry.op {
            Op::Delete => (0u8, 0, 0),
            Op::Put(_) => (1, 0, 0),
            Op::Merge { operator, written_ms, .. } => (2, operator, written_ms),
            Op::Chain(encoded) => {
                out.extend_from_slice(encoded);
                continue;
            }
        };
        out.push(kind);
        out.extend_from_slice(&entry.expires_ms.to_le_bytes());
        out.extend_from_slice(&operator.to_le_bytes());
        out.extend_from_slice(&written_ms.to_le_bytes());
        out.extend_from_slice(&stored_u32(entry.payload().len()).to_le_bytes());
        out.extend_from_slice(entry.payload());
    }
    out
}

/// Takes the newest entry off an encoded chain. `None`: it ends there, or is damaged.
pub(crate) fn next_chained<'a>(chain: &mut &'a [u8]) -> Option<Entry<'a>> {
    let (header, rest) = chain.split_at_checked(CHAINED_HEADER_BYTES)?;
    let mut fields = Reader::new(header);
    let [kind] = fields.array()?;
    let (expires_ms, operator, written_ms) = (fields.u64()?, fields.u32()?, fields.u64()?);
    let (payload, rest) = rest.split_at_checked(fields.u32()? as usize)?;
    let op = match kind {
        0 => Op::Delete,
        1 => Op::Put(payload),
        2 => Op::Merge { operator, operand: payload, written_ms },
        _ => return None,
    };
    *chain = rest;
    Some(Entry { op, expires_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_round_trip_and_damaged_ones_end() {
        let merge = Op::Merge { operator: 7, operand: b"operand", written_ms: 9 };
        let entries = [
            Entry { op: merge, expires_ms: 100 },
            Entry::put(b""),
            Entry { op: Op::Put(b"value"), expires_ms: 5 },
            Entry::delete(),
        ];
        let encoded = encode_chain(entries);
        assert_eq!(encode_chain([Entry { op: Op::Chain(&encoded), expires_ms: NEVER }]), encoded);
        let decode = |mut chain: &[u8]| std::iter::from_fn(|| next_chained(&mut chain)).count();
        let mut chain = encoded.as_slice();
        assert_eq!(std::iter::from_fn(|| next_chained(&mut chain)).collect::<Vec<_>>(), entries);
        assert!(chain.is_empty());
        for cut in 0..encoded.len() {
            assert!(decode(&encoded[..cut]) < entries.len());
        }
        assert_eq!(decode(&[3; 64]), 0, "no such kind");
    }

    #[test]
    fn an_entry_ends_at_its_moment_and_not_before() {
        let entry = Entry { op: Op::Put(b"v"), expires_ms: 100 };
        assert!(!entry.is_expired(99));
        assert!(entry.is_expired(100));
        assert!(!Entry::put(b"v").is_expired(u64::MAX - 1));
        assert_eq!(entry.payload(), b"v");
        assert_eq!(Entry::delete().payload(), b"");
    }
}
