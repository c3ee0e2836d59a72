//! Writes and comparisons taking effect: into the memtable, after whatever they must wait for.

use crate::answer::CompareOutcome;
use crate::entry::{Entry, Op};
use crate::error::{Error, Result};
use crate::memtable::{Memtables, MergeWrite};
use crate::reply::ReplyTo;
use crate::segment::filter;
use crate::shard::parts::counters::add;
use crate::shard::parts::flush_queue::Freeze;
use crate::shard::reads::lookup::Now;
use crate::shard::shard_core::ShardCore;
use crate::write::Write;
use bytes::Bytes;

impl ShardCore {
    pub(crate) fn answer_compared(&self, reply: ReplyTo<CompareOutcome>, outcome: Result<CompareOutcome>) {
        let bytes = match &outcome {
            Ok(CompareOutcome::Different(Some(found))) => found.len(),
            _ => 0,
        };
        reply.send_counted(outcome, self.grant(bytes));
    }

    /// Takes a write, after waiting for room if memtables and uploads take all of theirs.
    pub(crate) async fn write(&self, key: &[u8], write: &Write) -> Result<()> {
        self.look(key, write).await?;
        self.room(key.len() + write.bytes()).await;
        self.apply(key, write)
    }

    /// Writes if the key has the value `expected`, with no other write between the comparison and the write.
    pub(crate) async fn compare(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        write: &Write,
    ) -> Result<CompareOutcome> {
        loop {
            self.room(key.len() + write.bytes()).await;
            let before = self.write_sequence.get();
            let found = match self.get_now(key, None)? {
                Now::Known(found) => return self.apply_if(key, expected, found.value, write),
                Now::Waits(pending) => self.get_waiting(key, pending).await?,
            };
            // What was read still stands unless the key was written to meanwhile.
            if self.has_room() && !self.written_since(key, before) {
                return self.apply_if(key, expected, found.value, write);
            }
        }
    }

    pub(crate) fn apply_if(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        found: Option<Bytes>,
        write: &Write,
    ) -> Result<CompareOutcome> {
        if found.as_deref() != expected {
            return Ok(CompareOutcome::Different(found));
        }
        self.apply(key, write).map(|()| CompareOutcome::Applied)
    }

    /// Whether `key` has a write that is newer than `sequence`.
    pub(crate) fn written_since(&self, key: &[u8], sequence: u64) -> bool {
        let newer = |memtable: &Memtables| memtable.newest_write(key).is_some_and(|newest| newest > sequence);
        newer(&self.memtable.borrow()) || self.version().frozen.iter().any(|frozen| newer(&frozen.memtable))
    }

    /// Writes that take effect together.
    pub(crate) async fn apply_batch(&self, writes: &[(Box<[u8]>, Write)]) -> Result<()> {
        self.room(writes.iter().map(|(key, write)| key.len() + write.bytes()).sum()).await;
        self.shared.check_writable()?;
        let now_ms = self.shared.clock.now_ms();
        let mut bytes = 0;
        for (key, write) in writes {
            self.shared.clock.check(write.expires())?;
            write.check_expiry(now_ms)?;
            bytes += self.check_size(key, write)?;
        }
        self.check_merges(writes, now_ms)?;
        if bytes > self.budget().memtable_bytes_max {
            return Err(Error::invalid(format!(
                "the writes of a batch for one shard take {bytes} bytes, more than its memtable of {}: make smaller batches, or raise \
                 memory_bytes",
                self.budget().memtable_bytes_max
            )));
        }
        self.try_operators(writes, now_ms)?;
        for (key, write) in writes {
            self.put_down(key, write, || now_ms, true)?;
        }
        self.freeze_if_full();
        Ok(())
    }

    /// A write taking effect.
    pub(crate) fn apply(&self, key: &[u8], write: &Write) -> Result<()> {
        self.check_size(key, write)?;
        self.shared.check_writable()?;
        self.shared.clock.check(write.expires())?;
        self.put_down(key, write, || self.shared.clock.now_ms(), false)?;
        self.freeze_if_full();
        Ok(())
    }

    fn check_size(&self, key: &[u8], write: &Write) -> Result<usize> {
        let bytes = key.len() + write.bytes();
        if bytes > self.budget().memtable_bytes_max {
            return Err(Error::invalid(format!(
                "a key and value of {bytes} bytes do not fit the memtable of {} bytes: raise memory_bytes or use fewer shards",
                self.budget().memtable_bytes_max
            )));
        }
        Ok(bytes)
    }

    /// Into the memtable. `in_batch`: as a part of a batch whose merges were checked.
    fn put_down(&self, key: &[u8], write: &Write, now_ms: impl Fn() -> u64, in_batch: bool) -> Result<()> {
        let sequence = self.write_sequence.get() + 1;
        let held = self.snapshots.newest();
        let mut memtable = self.memtable.borrow_mut();
        let keys = memtable.keys();
        match write {
            Write::Put { value, expiry } => {
                let entry = Entry { op: Op::Put(value), expires_ms: expiry.at_ms(now_ms)? };
                memtable.write(key, entry, sequence, held);
                self.growing.forget(key);
            }
            Write::Delete => {
                memtable.write(key, Entry::delete(), sequence, held);
                self.growing.forget(key);
            }
            Write::Merge { operator, operand, expiry } => {
                let now_ms = now_ms();
                let expires_ms = expiry.at_ms(|| now_ms)?;
                let merge = MergeWrite { operator: *operator, operand, expires_ms, now_ms };
                let operators = &self.shared.operators;
                let combines = operators.get(*operator)?;
                let held_bytes = if in_batch {
                    memtable.merge_settled(key, &merge, sequence, held, operators)?
                } else {
                    self.growing.check(key, combines, operand.len(), now_ms)?;
                    memtable.merge(key, &merge, sequence, held, operators)?
                };
                self.growing.merged(key, combines, (operand.len(), held_bytes), (now_ms, expires_ms));
            }
            Write::DeleteRange { to } => {
                memtable.delete_range(key, to, sequence, held);
                self.growing.forget_range(key, to);
            }
        }
        if memtable.keys() > keys {
            self.points.borrow_mut().forget(filter::hash(key));
        }
        self.write_sequence.set(sequence);
        add(&self.counters.writes, 1);
        Ok(())
    }

    fn freeze_if_full(&self) {
        if self.memtable.borrow().bytes() >= self.budget().memtable_bytes_max {
            self.freeze_for_flush(Freeze::Fullest);
        }
    }
}
