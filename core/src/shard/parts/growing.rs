//! How long the values are that large appends add to, so that the append that would make one too long is refused when it is written.
//!
//! ```text
//! operand of 1 MiB and more ──> is the key known? ──no──> look what it stands on, as a read does, once ──> known
//!                                      └─yes─> length + operand too long? ──> refused, else added to what is known
//! ```
//! An append of less reads nothing. Small ones add up without a look until the memtable's own part of the value is that long. What passes the limit all
//! the same is found by a compaction, stays as it is, and makes the shard look before each further merge of the key.

use crate::error::Result;
use crate::key::of_key;
use crate::limits::{GROWING_KEYS_MAX, MERGE_LOOK_BYTES, VALUE_BYTES_MAX};
use crate::merge_operator::{MergeOperator, would_be_too_large};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Its value has so many bytes, until it expires.
    Known { bytes: usize, expires_ms: u64 },
    /// The next append has to look.
    Unknown,
    /// A compaction met more than a value may have: the next merge of any operator has to look whether that still stands.
    Suspect,
}

/// Keys with large values that merges add to. Bounded: what is forgotten is looked for again.
#[derive(Default)]
pub(crate) struct Growing {
    lengths: RefCell<HashMap<Box<[u8]>, Length>>,
    is_used: Cell<bool>,
}

impl Growing {
    fn of(&self, key: &[u8]) -> Option<Length> {
        if self.is_used.get() { self.lengths.borrow().get(key).copied() } else { None }
    }

    /// Whether an operand of `bytes` has to wait until its key's length is known.
    pub(crate) fn must_look(&self, key: &[u8], operator: &dyn MergeOperator, bytes: usize) -> bool {
        match self.of(key) {
            Some(Length::Known { .. }) => false,
            Some(Length::Suspect) => true,
            // What another operator makes of a length is not known.
            Some(Length::Unknown) => operator.is_append(),
            None => bytes >= MERGE_LOOK_BYTES && operator.is_append(),
        }
    }

    pub(crate) fn note(&self, key: &[u8], length: Length) {
        let mut lengths = self.lengths.borrow_mut();
        if lengths.len() >= GROWING_KEYS_MAX && !lengths.contains_key(key) {
            lengths.clear();
        }
        lengths.insert(Box::from(key), length);
        self.is_used.set(true);
    }

    /// A compaction met more than a value may have.
    pub(crate) fn suspect(&self, key: &[u8]) {
        self.note(key, Length::Suspect);
    }

    /// The key is put or deleted.
    #[inline]
    pub(crate) fn forget(&self, key: &[u8]) {
        if self.is_used.get() {
            self.lengths.borrow_mut().remove(key);
        }
    }

    /// A range of keys is deleted.
    pub(crate) fn forget_range(&self, from: &[u8], to: &[u8]) {
        if self.is_used.get() {
            self.lengths.borrow_mut().retain(|key, _| **key < *from || **key >= *to);
        }
    }

    /// Bytes that an append adds to, as far as they are known; else 0.
    pub(crate) fn bytes(&self, key: &[u8], operator: &dyn MergeOperator, now_ms: u64) -> usize {
        match self.of(key) {
            Some(Length::Known { bytes, expires_ms }) if now_ms < expires_ms && operator.is_append() => bytes,
            _ => 0,
        }
    }

    /// Refuses an operand that would make the value too long, as far as that is known.
    pub(crate) fn check(
        &self,
        key: &[u8],
        operator: &dyn MergeOperator,
        operand_bytes: usize,
        now_ms: u64,
    ) -> Result<()> {
        let sum = self.bytes(key, operator, now_ms).saturating_add(operand_bytes);
        if sum > VALUE_BYTES_MAX {
            return Err(of_key(would_be_too_large(operator.name(), sum), key));
        }
        Ok(())
    }

    /// A merge was taken; the key's part in the memtable has `held_bytes` now.
    #[inline]
    pub(crate) fn merged(
        &self,
        key: &[u8],
        operator: &dyn MergeOperator,
        (operand_bytes, held_bytes): (usize, usize),
        (now_ms, expires_ms): (u64, u64),
    ) {
        if self.is_used.get()
            && let Some(length) = self.lengths.borrow_mut().get_mut(key)
        {
            if let Length::Known { bytes, expires_ms: ended_ms } = *length {
                let before = if now_ms < ended_ms { bytes } else { 0 };
                let bytes = before.saturating_add(operand_bytes);
                *length =
                    if operator.is_append() { Length::Known { bytes, expires_ms } } else { Length::Unknown };
            }
            return;
        }
        if held_bytes >= MERGE_LOOK_BYTES && operator.is_append() {
            self.note(key, Length::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::NEVER;
    use crate::merge_operator::MergeOperators;

    #[test]
    fn lengths_are_added_up_and_end_with_their_value() {
        let operators = MergeOperators::new(&[]).unwrap();
        let (_, append) = operators.named("append").unwrap();
        let (_, max) = operators.named("max").unwrap();
        let growing = Growing::default();
        assert!(growing.must_look(b"k", append, MERGE_LOOK_BYTES) && !growing.must_look(b"k", append, 1));
        assert!(!growing.must_look(b"k", max, MERGE_LOOK_BYTES));
        growing.note(b"k", Length::Known { bytes: VALUE_BYTES_MAX - 10, expires_ms: NEVER });
        assert!(growing.check(b"k", append, 10, 5).is_ok() && growing.check(b"k", append, 11, 5).is_err());
        assert!(growing.check(b"k", max, 11, 5).is_ok(), "what it makes is not known");
        growing.merged(b"k", append, (4, 4), (5, 100));
        assert!(growing.check(b"k", append, 7, 99).is_err());
        assert!(growing.check(b"k", append, 7, 100).is_ok(), "it has expired");
        growing.merged(b"k", max, (8, 8), (5, 100));
        assert!(growing.must_look(b"k", append, 1) && !growing.must_look(b"k", max, 1));
        growing.suspect(b"k");
        assert!(growing.must_look(b"k", max, 1));
        growing.forget_range(b"a", b"k");
        assert!(growing.must_look(b"k", max, 1));
        growing.forget_range(b"k", b"l");
        assert!(!growing.must_look(b"k", append, 1));
        growing.merged(b"long", append, (1, MERGE_LOOK_BYTES), (5, NEVER));
        assert!(growing.must_look(b"long", append, 1), "small ones have added up");
        for n in 0..2 * GROWING_KEYS_MAX {
            growing.note(&(n as u64).to_le_bytes(), Length::Unknown);
        }
        assert!(growing.lengths.borrow().len() <= GROWING_KEYS_MAX);
    }
}
