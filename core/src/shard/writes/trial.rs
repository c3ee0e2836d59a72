//! Batches with merge operators of the embedder are tried on the side first: a panic refuses the whole batch, before any of it is written.

use crate::entry::{Entry, Op};
use crate::error::{ErrorKind, Result};
use crate::memtable::{Found, Memtable, MergeWrite};
use crate::shard::shard_core::ShardCore;
use crate::write::Write;
use std::collections::HashSet;

impl ShardCore {
    /// Lets the embedder's operators combine all that a batch will have them combine, in a table that is thrown away.
    ///
    /// # Errors
    /// `Panicked`.
    pub(crate) fn try_operators(&self, writes: &[(Box<[u8]>, Write)], now_ms: u64) -> Result<()> {
        let operators = &self.shared.operators;
        let merged = writes.iter().filter(|(_, write)| match write {
            Write::Merge { operator, .. } => operators.is_embedders(*operator),
            _ => false,
        });
        let keys: HashSet<&[u8]> = merged.map(|(key, _)| &**key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut table = Memtable::default();
        let memtable = self.memtable.borrow();
        for key in &keys {
            match memtable.of(key).and_then(|known| known.get(key, u64::MAX)) {
                Some(Found::Entry { entry, .. }) => table.write(key, entry, 0, None),
                Some(Found::RangeDeleted { .. }) => table.write(key, Entry::delete(), 0, None),
                None => {}
            }
        }
        for (sequence, (key, write)) in (1..).zip(writes) {
            match write {
                Write::DeleteRange { to } => table.delete_range(key, to, sequence, None),
                _ if !keys.contains(&**key) => {}
                Write::Delete => table.write(key, Entry::delete(), sequence, None),
                Write::Put { value, expiry } => {
                    let entry = Entry { op: Op::Put(value), expires_ms: expiry.at_ms(|| now_ms)? };
                    table.write(key, entry, sequence, None);
                }
                Write::Merge { operator, operand, expiry } => {
                    let expires_ms = expiry.at_ms(|| now_ms)?;
                    let merge = MergeWrite { operator: *operator, operand, expires_ms, now_ms };
                    // What else is wrong is found where the batch is checked, or kept as it is.
                    match table.merge(key, &merge, sequence, None, operators) {
                        Err(error) if error.kind() == ErrorKind::Panicked => return Err(error),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}
