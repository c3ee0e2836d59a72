//! Merges into a table: an operand is combined with the key's newest write when it arrives, so that a key has one version, not a chain
//! of operands.

use super::{Table, is_free, overwrite};
use crate::entry::{Entry, Op};
use crate::error::{Error, Result};
use crate::limits::VALUE_BYTES_MAX;
use crate::merge_operator::MergeOperators;

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
    Operand,
}

impl Table {
    /// Takes a merge. `sequence` and `held` as in [`Self::write`].
    ///
    /// # Errors
    /// `Invalid`, and nothing is changed: the operator is not known, cannot take the value that is there, makes a value that is too
    /// long, or another operator's operand waits for its base. Two operators' operands cannot be one entry, and a table, like a
    /// segment, has one entry for a key: put the key, or merge with the first operator.
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
        let Some(found) = self.index.find(&self.arena, hash, key) else {
            let entry = match self.ranges.covering(key, u64::MAX) {
                Some(_) => entry(&Base::Nothing, write, write.operand),
                None => entry(&Base::Unknown, write, write.operand),
            };
            self.add(hash, key, &entry, sequence);
            return Ok(());
        };
        let newest = self.arena.version(self.arena.newest(found));
        let hidden = self.ranges.covering(key, u64::MAX).is_some_and(|deleted| deleted > newest.sequence);
        let base = if hidden { Base::Nothing } else { base(&newest.entry, write, operators)? };
        if matches!(base, Base::Nothing | Base::Unknown) {
            overwrite(&mut self.arena, found, &entry(&base, write, write.operand), sequence, held);
            return Ok(());
        }
        let older = newest.entry.payload();
        if operator.is_append() {
            bound(operator.name(), older.len() + write.operand.len())?;
            if is_free(&self.arena, found, held)
                && self.arena.newest_has_room_for_expiry(found, write.expires_ms)
            {
                self.arena.extend_newest(found, write.operand, write.expires_ms, sequence);
                if held.is_none() {
                    self.arena.drop_older(found);
                }
                return Ok(());
            }
        }
        operators.merge(write.operator, older, write.operand, &mut self.scratch)?;
        bound(operator.name(), self.scratch.len())?;
        overwrite(&mut self.arena, found, &entry(&base, write, &self.scratch), sequence, held);
        if self.scratch.capacity() > super::SCRATCH_BYTES_MAX {
            self.scratch = Vec::new();
        }
        Ok(())
    }
}

/// What `newest` is to the operand.
fn base(newest: &Entry<'_>, write: &MergeWrite<'_>, operators: &MergeOperators) -> Result<Base> {
    match newest.op {
        Op::Delete => Ok(Base::Nothing),
        _ if newest.is_expired(write.now_ms) => Ok(Base::Nothing),
        Op::Put(_) => Ok(Base::Value),
        Op::Merge { operator, .. } if operator == write.operator => Ok(Base::Operand),
        Op::Merge { operator, .. } => {
            let name = |id| operators.get(id).map_or_else(|_| format!("{id:08x}"), |o| o.name().to_owned());
            Err(Error::invalid(format!(
                "the key has an operand of merge operator {:?} whose base is not here, so {:?} cannot be applied to it: \
                 read the key and put it, or merge with one operator only",
                name(operator),
                name(write.operator)
            )))
        }
    }
}

fn entry<'a>(base: &Base, write: &MergeWrite<'_>, payload: &'a [u8]) -> Entry<'a> {
    let op = match base {
        Base::Nothing | Base::Value => Op::Put(payload),
        Base::Unknown | Base::Operand => Op::Merge { operator: write.operator, operand: payload },
    };
    Entry { op, expires_ms: write.expires_ms }
}

fn bound(operator: &str, bytes: usize) -> Result<()> {
    if bytes > VALUE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "merge operator {operator:?} makes a value of {bytes} bytes; at most {VALUE_BYTES_MAX} are possible: \
             put the key anew or spread it over several keys"
        )));
    }
    Ok(())
}
