//! Merges into a table: an operand is combined with the key's newest write when it arrives, so that a key has one version, not a chain
//! of operands. What cannot be combined becomes a chain of writes in one entry.

use super::{Memtable, is_free, overwrite};
use crate::entry::{Entry, Op, encode_chain};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::VALUE_BYTES_MAX;
use crate::merge_operator::MergeOperators;
use crate::resolve::of_key;

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
    /// chained in front of it: the key's next read hears of it, and a put repairs the key.
    ///
    /// # Errors
    /// `Invalid`, and nothing is changed: the operator is not known, or the value may become too long. `Panicked`, the same: the operator did.
    pub(crate) fn merge(
        &mut self,
        key: &[u8],
        write: &MergeWrite<'_>,
        sequence: u64,
        held: Option<u64>,
        operators: &MergeOperators,
    ) -> Result<()> {
        let hash = super::hash_of(key);
        let operator = operators.get(write.operator)?;
        // Said too often rather than too seldom: some become values at once.
        self.has_merges = true;
        let Some(found) = self.index.find(&self.arena, hash, key) else {
            let base = self.ranges.covering(key, u64::MAX).map_or(Base::Unknown, |_| Base::Nothing);
            self.add(hash, key, &entry(&base, write, write.operand), sequence);
            return Ok(());
        };
        let newest = self.arena.version(self.arena.newest(found));
        let hidden = self.ranges.covering(key, u64::MAX).is_some_and(|deleted| deleted > newest.sequence);
        let base = if hidden { Base::Nothing } else { base(&newest.entry, write) };
        if matches!(base, Base::Nothing | Base::Unknown) {
            overwrite(&mut self.arena, found, &entry(&base, write, write.operand), sequence, held);
            return Ok(());
        }
        let older = newest.entry.payload();
        check_length(operator.name(), older.len() + write.operand.len())?;
        let combines = !matches!(base, Base::Other);
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
            return Ok(());
        }
        let merged = combines
            && match operators.merge(write.operator, older, write.operand, &mut self.scratch) {
                Ok(()) => true,
                Err(error) if error.kind() == ErrorKind::Panicked => return Err(of_key(error, key)),
                Err(_) => false,
            };
        if merged && self.scratch.len() <= VALUE_BYTES_MAX {
            overwrite(&mut self.arena, found, &entry(&base, write, &self.scratch), sequence, held);
        } else {
            let chain = encode_chain([entry(&Base::Unknown, write, write.operand), newest.entry]);
            let chain = Entry { op: Op::Chain(&chain), expires_ms: write.expires_ms };
            overwrite(&mut self.arena, found, &chain, sequence, held);
        }
        if self.scratch.capacity() > super::SCRATCH_BYTES_MAX {
            self.scratch = Vec::new();
        }
        Ok(())
    }

    /// Bytes of the newest value or operand of `key`: what a merge would add to.
    pub(crate) fn payload_bytes(&self, key: &[u8]) -> usize {
        let found = self.index.find(&self.arena, super::hash_of(key), key);
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

fn check_length(operator: &str, bytes: usize) -> Result<()> {
    if bytes > VALUE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "merge operator {operator:?} could make a value of {bytes} bytes; at most {VALUE_BYTES_MAX} are possible: \
             put the key anew or spread it over several keys"
        )));
    }
    Ok(())
}
