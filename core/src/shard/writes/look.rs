//! A look before a merge that may make a value too long: how long it is already.

use crate::error::{ErrorKind, Result};
use crate::key::of_key;
use crate::limits::{MERGE_LOOK_WAIT, VALUE_BYTES_MAX};
use crate::merge_operator::{MergeOperator, would_be_too_large};
use crate::resolve::Base;
use crate::shard::parts::growing::Length;
use crate::shard::reads::lookup::Now;
use crate::shard::shard_core::ShardCore;
use crate::write::Write;
use std::collections::HashMap;

impl ShardCore {
    /// Whether a merge is so large that what it stands on counts before it is taken.
    pub(crate) fn must_look(&self, key: &[u8], write: &Write) -> bool {
        let Write::Merge { operator, operand, .. } = write else { return false };
        let operator = self.shared.operators.get(*operator);
        operator.is_ok_and(|operator| self.growing.must_look(key, operator, operand.len()))
    }

    /// Finds out how long the value is that a large merge adds to. If the DFS does not say, the merge is taken all the same: writes go on without it.
    ///
    /// # Errors
    /// `TooLarge`: it is too long already.
    pub(crate) async fn look(&self, key: &[u8], write: &Write) -> Result<()> {
        while self.must_look(key, write) {
            let before = self.write_sequence.get();
            let pending = match self.look_in_memory(key)? {
                Some(Now::Waits(pending)) => pending,
                Some(Now::Known(())) | None => break,
            };
            let found = aquifer_io::timeout(MERGE_LOOK_WAIT, self.found_waiting(key, pending)).await;
            match found {
                // What was read still stands unless the key was written to meanwhile.
                Ok(Ok((answer, expires_ms))) if !self.written_since(key, before) => {
                    let bytes = answer.value.map_or(0, |value| value.len());
                    self.growing.note(key, Length::Known { bytes, expires_ms });
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.kind() == ErrorKind::TooLarge => return Err(error),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Ok(())
    }

    /// Notes a key's length if memory knows it. `None`: what is there cannot be combined, which its reader hears of.
    fn look_in_memory(&self, key: &[u8]) -> Result<Option<Now<()>>> {
        let known = self.look_now(key, None, |core, resolver, base, _| {
            let expires_ms = resolver.expires_ms();
            let bytes = match base {
                Base::Value(value) if !resolver.is_waiting() => value.len(),
                base => resolver.finish(base, &core.shared.operators)?.map_or(0, |value| value.len()),
            };
            core.growing.note(key, Length::Known { bytes, expires_ms });
            Ok(())
        });
        match known {
            Ok(now) => Ok(Some(now)),
            Err(error) if error.kind() == ErrorKind::TooLarge => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Refuses a batch of whose merges one could make a too long value, as far as memory knows: it must not fail half way.
    pub(crate) fn check_merges(&self, writes: &[(Box<[u8]>, Write)], now_ms: u64) -> Result<()> {
        if !writes.iter().any(|(_, write)| matches!(write, Write::Merge { .. })) {
            return Ok(());
        }
        // Of each key what it has, as far as that is known, and what the batch adds.
        let mut keys: HashMap<&[u8], usize> = HashMap::new();
        let mut deleted: Vec<(&[u8], &[u8])> = Vec::new();
        for (key, write) in writes {
            match write {
                Write::Put { value, .. } => drop(keys.insert(key, value.len())),
                Write::Delete => drop(keys.insert(key, 0)),
                Write::DeleteRange { to } => {
                    let inside = |other: &[u8]| **key <= *other && *other < **to;
                    keys.iter_mut().filter(|(other, _)| inside(other)).for_each(|(_, bytes)| *bytes = 0);
                    deleted.push((key, to));
                }
                Write::Merge { operator, operand, .. } => {
                    let operator = self.shared.operators.get(*operator)?;
                    if !keys.contains_key(&**key) {
                        let is_deleted = deleted.iter().any(|(from, to)| **from <= **key && **key < **to);
                        let held =
                            if is_deleted { 0 } else { self.held_bytes(key, operator, operand, now_ms)? };
                        keys.insert(key, held);
                    }
                    let bytes = keys.entry(key).or_default();
                    *bytes += operand.len();
                    if *bytes > VALUE_BYTES_MAX {
                        return Err(of_key(would_be_too_large(operator.name(), *bytes), key));
                    }
                }
            }
        }
        Ok(())
    }

    /// Bytes that a batch's first merge of a key adds to, as far as memory knows.
    fn held_bytes(
        &self,
        key: &[u8],
        operator: &dyn MergeOperator,
        operand: &[u8],
        now_ms: u64,
    ) -> Result<usize> {
        if self.growing.must_look(key, operator, operand.len()) {
            self.look_in_memory(key)?;
        }
        let held = self.memtable.borrow().payload_bytes(key);
        Ok(held.max(self.growing.bytes(key, operator, now_ms)))
    }
}
