//! Merges into a table: an operand is combined with the key's newest write when it arrives, so that a key has one version, not a chain
//! of operands. What cannot be combined becomes a chain of writes in one entry.

use super::index::hash_of;
use super::table::{Memtable, SCRATCH_BYTES_MAX, is_free, overwrite};
use crate::entry::{Entry, Op, encode_chain};
use crate::error::{ErrorKind, Result};
use crate::key::of_key;
use crate::limits::VALUE_BYTES_MAX;
use crate::merge_operator::{MergeOperators, would_be_too_large};

/// One merge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MergeWrite<'a> {
    /// Identity of the operator.
    pub(crate) operator: u32,
    /// An operand that the operator's check took.
    pub(crate) operand: &'a [u8],
    /// When the key ends from now on, whatever earlier writes said.
    pub(crate) expires_ms: u64,
    /// The present, in the store's time domain: what has expired is not merged with.
    pub(crate) now_ms: u64,
}

/// What an operand meets.
enum Base {
    /// Nothing in this table: older data may hold the base.
    Unknown,
    /// The key has no value, whatever older data says.
    Nothing,
    Value,
    /// An operand of the same operator, the oldest of it written then.
    Operand {
        written_ms: u64,
    },
    /// What this operator does not combine with.
    Other,
}

impl Memtable {
    /// Takes a merge. `sequence` and `held` as in [`Self::write`]. An operand that the operator cannot combine with what is there is
    /// chained in front of it: the key's next read hears of it, and a put repairs the key. Gives the bytes that the key's newest version has, about.
    ///
    /// # Errors
    /// Nothing is changed: `Invalid`, the operator is not known; `TooLarge`, the value would become too long; `Panicked`, the operator did.
    pub(crate) fn merge(
        &mut self,
        key: &[u8],
        write: &MergeWrite<'_>,
        sequence: u64,
        held: Option<u64>,
        operators: &MergeOperators,
    ) -> Result<usize> {
        self.take_merge(key, write, (sequence, held, false), operators)
    }

    /// The same of a part of a batch, which was let pass as a whole: what an operator of the caller makes too long stays in its parts, and the key's
    /// reader hears of it.
    ///
    /// # Errors
    /// As [`Self::merge`], if the parts do not fit together either.
    pub(crate) fn merge_settled(
        &mut self,
        key: &[u8],
        write: &MergeWrite<'_>,
        sequence: u64,
        held: Option<u64>,
        operators: &MergeOperators,
    ) -> Result<usize> {
        self.take_merge(key, write, (sequence, held, true), operators)
    }

    fn take_merge(
        &mut self,
        key: &[u8],
        write: &MergeWrite<'_>,
        (sequence, held, is_settled): (u64, Option<u64>, bool),
        operators: &MergeOperators,
    ) -> Result<usize> {
        let hash = hash_of(key);
        let operator = operators.get(write.operator)?;
        // Said too often rather than too seldom: some become values at once.
        self.has_merges = true;
        let Some(found) = self.index.find(&self.arena, hash, key) else {
            let base = self.ranges.covering(key, u64::MAX).map_or(Base::Unknown, |_| Base::Nothing);
            self.add(hash, key, &entry(&base, write, write.operand), sequence);
            return Ok(write.operand.len());
        };
        let newest = self.arena.version(self.arena.newest(found));
        let hidden = self.ranges.covering(key, u64::MAX).is_some_and(|deleted| deleted > newest.sequence);
        let base = if hidden { Base::Nothing } else { base(&newest.entry, write) };
        if matches!(base, Base::Nothing | Base::Unknown) {
            overwrite(&mut self.arena, found, &entry(&base, write, write.operand), sequence, held);
            return Ok(write.operand.len());
        }
        let older = newest.entry.payload();
        let combines = !matches!(base, Base::Other);
        // Of other operators the result decides.
        let bytes = older.len() + write.operand.len();
        let is_known = if combines { operator.is_append() } else { !is_settled };
        if is_known && bytes > VALUE_BYTES_MAX {
            return Err(of_key(would_be_too_large(operator.name(), bytes), key));
        }
        // After a clock that stepped back the operand's moment changes, which appending in place does not do.
        let keeps_moment = !matches!(base, Base::Operand { written_ms } if write.now_ms < written_ms);
        if combines
            && keeps_moment
            && operator.is_append()
            && is_free(&self.arena, found, held)
            && self.arena.newest_has_room_for_expiry(found, write.expires_ms)
        {
            self.arena.extend_newest(found, write.operand, write.expires_ms, sequence);
            if held.is_none() {
                self.arena.drop_older(found);
            }
            return Ok(bytes);
        }
        let merged = combines
            && match operators.merge(write.operator, older, write.operand, &mut self.scratch) {
                Ok(()) => true,
                Err(error) if error.kind() == ErrorKind::Panicked && !is_settled => {
                    return Err(of_key(error, key));
                }
                Err(_) => false,
            };
        let made = self.scratch.len();
        if merged && made <= VALUE_BYTES_MAX {
            overwrite(&mut self.arena, found, &entry(&base, write, &self.scratch), sequence, held);
        } else if !is_settled && (merged || bytes > VALUE_BYTES_MAX) {
            self.scratch = Vec::new();
            return Err(of_key(would_be_too_large(operator.name(), made.max(bytes)), key));
        } else {
            let chain = encode_chain([entry(&Base::Unknown, write, write.operand), newest.entry]);
            let chain = Entry { op: Op::Chain(&chain), expires_ms: write.expires_ms };
            overwrite(&mut self.arena, found, &chain, sequence, held);
        }
        if self.scratch.capacity() > SCRATCH_BYTES_MAX {
            self.scratch = Vec::new();
        }
        Ok(made.max(bytes))
    }

    /// Bytes of the newest value or operand of `key`: what a merge would add to.
    pub(crate) fn payload_bytes(&self, key: &[u8]) -> usize {
        let found = self.index.find(&self.arena, hash_of(key), key);
        found.map_or(0, |found| self.arena.version(self.arena.newest(found)).entry.payload().len())
    }
}

/// What `newest` is to the operand.
fn base(newest: &Entry<'_>, write: &MergeWrite<'_>) -> Base {
    match newest.op {
        Op::Delete => Base::Nothing,
        _ if newest.is_expired(write.now_ms) => Base::Nothing,
        Op::Put(_) => Base::Value,
        Op::Merge { operator, written_ms, .. } if operator == write.operator => Base::Operand { written_ms },
        Op::Merge { .. } | Op::Chain(_) => Base::Other,
    }
}

fn entry<'a>(base: &Base, write: &MergeWrite<'_>, payload: &'a [u8]) -> Entry<'a> {
    let merge = |written_ms| Op::Merge { operator: write.operator, operand: payload, written_ms };
    let op = match base {
        Base::Nothing | Base::Value => Op::Put(payload),
        Base::Unknown | Base::Other => merge(write.now_ms),
        Base::Operand { written_ms } => merge(write.now_ms.min(*written_ms)),
    };
    Entry { op, expires_ms: write.expires_ms }
}
