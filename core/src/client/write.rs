//! Writes of single keys, of ranges and of batches.

use super::handle::{Client, REQUEST_OVERHEAD_BYTES};
use crate::answer::CompareOutcome;
use crate::error::Result;
use crate::key_ref::{Key, KeyRange};
use crate::reply::{Answered, reply};
use crate::request::{Keyed, Reply, Request};
use crate::write::{Expiry, Write, WriteBatch, check_writes};

/// The writes of one shard.
#[derive(Default)]
struct Share {
    writes: Vec<(Box<[u8]>, Write)>,
    bytes: usize,
}

impl Client {
    /// Stores `value` under `key`, in place of what was there. Durable with the next checkpoint.
    ///
    /// The reply comes late while memtables and uploads take all of their memory: writes wait for the DFS then, they do not fail.
    ///
    /// # Errors
    /// `Invalid` for a too long key or value; `Busy`; `Fenced`: another writer owns the store, stop; `Closed`.
    pub fn put<'a>(&self, key: impl Into<Key<'a>>, value: &[u8]) -> Reply<()> {
        self.put_with(key, value, Expiry::Never)
    }

    /// The same with a time to live: from its end on, exactly, the key reads as deleted.
    ///
    /// # Errors
    /// As [`Self::put`]; `Invalid` also for an expiry that has passed.
    pub fn put_with<'a>(&self, key: impl Into<Key<'a>>, value: &[u8], expiry: Expiry) -> Reply<()> {
        self.write_one(key.into(), Write::put(value, expiry))
    }

    /// Deletes `key`; deleting what is not there is no error.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn delete<'a>(&self, key: impl Into<Key<'a>>) -> Reply<()> {
        self.write_one(key.into(), Ok(Write::Delete))
    }

    /// Changes the value of `key` by a merge operator, without reading it: `append`, `add`, `max`, `min`, `set-union`, or one of
    /// [`crate::Options::merge_operators`]. A key without a value gets the operand.
    ///
    /// # Errors
    /// As [`Self::put`]; `Invalid` also for an operator that is not registered or an operand that it does not take. A value that the operator
    /// does not fit is found by the key's next read, which fails with `Invalid`.
    pub fn merge<'a>(&self, key: impl Into<Key<'a>>, operator: &str, operand: &[u8]) -> Reply<()> {
        self.merge_with(key, operator, operand, Expiry::Never)
    }

    /// The same with a time to live for the whole value, in place of the one it had.
    ///
    /// # Errors
    /// As [`Self::merge`] and [`Self::put_with`].
    pub fn merge_with<'a>(
        &self,
        key: impl Into<Key<'a>>,
        operator: &str,
        operand: &[u8],
        expiry: Expiry,
    ) -> Reply<()> {
        self.write_one(key.into(), Write::merge(&self.shared.operators, operator, operand, expiry))
    }

    /// Stores `value` under `key` if it has none.
    ///
    /// # Errors
    /// As [`Self::compare_and_set`].
    pub fn put_if_absent<'a>(&self, key: impl Into<Key<'a>>, value: &[u8]) -> Reply<CompareOutcome> {
        self.compare_and_set(key, None, Some(value))
    }

    /// Stores `new` under `key` (`None`: deletes it) if its value is `expected` (`None`: it has none), with no other write in between.
    ///
    /// # Errors
    /// As [`Self::put`] and [`Self::get`].
    pub fn compare_and_set<'a>(
        &self,
        key: impl Into<Key<'a>>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Reply<CompareOutcome> {
        let bytes = expected.map_or(0, <[u8]>::len) + new.map_or(0, <[u8]>::len);
        match new.map_or(Ok(Write::Delete), |new| Write::put(new, Expiry::Never)) {
            Ok(write) => {
                let expected = expected.map(Box::from);
                self.keyed(key.into(), bytes, |reply| Keyed::Compare { expected, write, reply })
            }
            Err(error) => Reply::refused(error),
        }
    }

    /// Deletes every key of a range: one marker, however many they are, in each key group that the range names. [`KeyRange::prefix`] deletes by prefix. Of a
    /// range of all key groups those of one shard go together, as in a batch.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn delete_range(&self, range: &KeyRange) -> Reply<()> {
        let mut batch = WriteBatch::new();
        batch.delete_range(range.clone());
        self.write(&batch)
    }

    /// Writes that take effect together: see [`WriteBatch`].
    ///
    /// # Errors
    /// As for each of them; a shard that reports an error has taken none of its writes, while those of other shards stand. `Busy` may
    /// come after some shards have their part: repeat the batch.
    pub fn write(&self, batch: &WriteBatch) -> Reply<()> {
        let mut parts = match self.send_batch(batch) {
            Ok(parts) => parts,
            Err(error) => return Reply::refused(error),
        };
        if parts.len() == 1
            && let Some(all) = parts.pop()
        {
            return Reply::waiting(all);
        }
        Reply::together(async move {
            let mut outcome = Ok(());
            for part in parts {
                outcome = outcome.and(part.await);
            }
            outcome
        })
    }

    fn send_batch(&self, batch: &WriteBatch) -> Result<Vec<Answered<()>>> {
        batch.check()?;
        let shards = self.shared.route.shards();
        let mut by_shard: Vec<Share> = Vec::new();
        by_shard.resize_with(shards, Share::default);
        let mut count = 0;
        for item in &batch.items {
            let shared = &self.shared;
            item.resolve(
                shared.route,
                &shared.operators,
                &(0..shared.route.key_groups()),
                |group, key, write| {
                    count += 1;
                    check_writes(count)?;
                    if let Some(share) = by_shard.get_mut(self.shared.route.shard(group)) {
                        share.bytes += key.len() + write.bytes() + REQUEST_OVERHEAD_BYTES;
                        share.writes.push((key, write));
                    }
                    Ok(())
                },
            )?;
        }
        let mut parts = Vec::with_capacity(shards);
        for (shard, Share { writes, bytes }) in by_shard.into_iter().enumerate() {
            if writes.is_empty() {
                continue;
            }
            let (reply, part) = reply();
            self.mailbox(shard)?.push(Request::Batch { writes, reply }, bytes)?;
            parts.push(part);
        }
        Ok(parts)
    }

    fn write_one(&self, key: Key<'_>, write: Result<Write>) -> Reply<()> {
        match write {
            Ok(write) => {
                let bytes = write.bytes();
                self.keyed(key, bytes, |reply| Keyed::Write { write, reply })
            }
            Err(error) => Reply::refused(error),
        }
    }
}
