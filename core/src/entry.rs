//! What one write says about a key: the unit that memtables hold, segments store and merges combine.

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
            Op::Delete => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
