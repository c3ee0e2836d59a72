//! Writes as they travel from callers to shards.

use crate::error::{Error, Result};
use crate::key::Route;
use crate::key_ref::{EngineRange, Key, KeyRange, OwnedKey};
use crate::limits::{BATCH_BYTES_MAX, BATCH_WRITES_MAX, VALUE_BYTES_MAX};
use crate::merge_operator::MergeOperators;
use std::ops::Range;
use std::time::Duration;

/// When what is written ends by itself. From that moment on, exactly, reads answer as if it had been deleted.
///
/// Moments are of the store's time domain ([`crate::TtlTime`]): the machine's clock, or the event time that the caller advances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// It lives until it is overwritten or deleted.
    #[default]
    Never,
    /// So long after the moment at which the shard takes the write; in whole milliseconds, at least one.
    After(Duration),
    /// At this moment, in milliseconds (of the Unix epoch, for the machine's clock). One that has passed is an error.
    At(u64),
}

impl Expiry {
    /// The moment it stands for. The present is asked for only if it counts.
    pub(crate) fn at_ms(self, now_ms: impl FnOnce() -> u64) -> Result<u64> {
        if self == Self::Never {
            return Ok(crate::entry::NEVER);
        }
        let now_ms = now_ms();
        let at_ms = match self {
            Self::Never => crate::entry::NEVER,
            Self::After(duration) => {
                now_ms.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
            }
            Self::At(at_ms) => at_ms,
        };
        if at_ms <= now_ms {
            return Err(Error::invalid(format!(
                "the time to live ends at {at_ms} ms, which is not after now, {now_ms} ms: give a later moment, or delete the key"
            )));
        }
        Ok(at_ms)
    }
}

/// A write to one key, or to a range of keys, that is not yet applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Put {
        value: Box<[u8]>,
        expiry: Expiry,
    },
    Delete,
    Merge {
        operator: u32,
        operand: Box<[u8]>,
        expiry: Expiry,
    },
    /// From its key up to, not including, `to`.
    DeleteRange {
        to: Box<[u8]>,
    },
}

impl Write {
    pub(crate) fn put(value: &[u8], expiry: Expiry) -> Result<Self> {
        check_value(value)?;
        Ok(Self::Put { value: Box::from(value), expiry })
    }

    pub(crate) fn merge(
        operators: &MergeOperators,
        operator: &str,
        operand: &[u8],
        expiry: Expiry,
    ) -> Result<Self> {
        check_value(operand)?;
        let (id, _) = operators.named(operator)?;
        operators.check(id, operand)?;
        Ok(Self::Merge { operator: id, operand: Box::from(operand), expiry })
    }

    /// Bytes beside the key.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Put { value, .. } => value.len(),
            Self::Delete => 0,
            Self::Merge { operand, .. } => operand.len(),
            Self::DeleteRange { to } => to.len(),
        }
    }

    /// Whether it has a time to live.
    pub(crate) fn expires(&self) -> bool {
        match self {
            Self::Put { expiry, .. } | Self::Merge { expiry, .. } => *expiry != Expiry::Never,
            Self::Delete | Self::DeleteRange { .. } => false,
        }
    }

    /// Refuses an expiry that has passed.
    pub(crate) fn check_expiry(&self, now_ms: u64) -> Result<()> {
        match self {
            Self::Put { expiry, .. } | Self::Merge { expiry, .. } => expiry.at_ms(|| now_ms).map(drop),
            Self::Delete | Self::DeleteRange { .. } => Ok(()),
        }
    }
}

/// Refuses a value that is longer than any shard could take.
pub(crate) fn check_value(value: &[u8]) -> Result<()> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a value has {} bytes; at most {VALUE_BYTES_MAX} are possible",
            value.len()
        )));
    }
    Ok(())
}

/// Writes that take effect together: a reader sees none or all of those that belong to one shard, and so does every checkpoint.
///
/// Later writes of a batch see earlier ones. Keys that must change together belong into one shard: give them one anchor
/// ([`Key::beside`]). At most 65,536 writes and 64 MiB.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    pub(crate) items: Vec<Item>,
    bytes: usize,
}

/// A write of a batch, with what it names.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Put { key: OwnedKey, value: Box<[u8]>, expiry: Expiry },
    Delete { key: OwnedKey },
    Merge { key: OwnedKey, operator: String, operand: Box<[u8]>, expiry: Expiry },
    DeleteRange { range: KeyRange },
}

impl Item {
    /// Each write that it is, with its key group and its engine key: of a range of all key groups one for each of the groups `owned`, of an empty range
    /// none.
    pub(crate) fn resolve(
        &self,
        route: Route,
        operators: &MergeOperators,
        owned: &Range<u16>,
        mut each: impl FnMut(u16, Box<[u8]>, Write) -> Result<()>,
    ) -> Result<()> {
        let (key, write) = match self {
            Self::Put { key, value, expiry } => (key, Write::put(value, *expiry)?),
            Self::Delete { key } => (key, Write::Delete),
            Self::Merge { key, operator, operand, expiry } => {
                (key, Write::merge(operators, operator, operand, *expiry)?)
            }
            Self::DeleteRange { range } => {
                let mut stretches = range.stretches(route)?;
                if range.is_of_all() {
                    stretches = stretches.within(owned);
                }
                while let Some(EngineRange { group, from, to }) = stretches.next(false)? {
                    if from < to {
                        each(group, from, Write::DeleteRange { to })?;
                    }
                    stretches.leave(group, false);
                }
                return Ok(());
            }
        };
        let (group, key) = key.as_key().engine_key(route)?;
        each(group, key, write)
    }
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    pub fn put<'a>(&mut self, key: impl Into<Key<'a>>, value: &[u8]) -> &mut Self {
        self.put_with(key, value, Expiry::Never)
    }

    /// Adds a put that expires.
    pub fn put_with<'a>(&mut self, key: impl Into<Key<'a>>, value: &[u8], expiry: Expiry) -> &mut Self {
        self.push(Item::Put { key: key.into().to_owned_key(), value: Box::from(value), expiry }, value.len())
    }

    /// Adds a deletion.
    pub fn delete<'a>(&mut self, key: impl Into<Key<'a>>) -> &mut Self {
        self.push(Item::Delete { key: key.into().to_owned_key() }, 0)
    }

    /// Adds a merge by the operator with this name.
    pub fn merge<'a>(&mut self, key: impl Into<Key<'a>>, operator: &str, operand: &[u8]) -> &mut Self {
        let (key, operator) = (key.into().to_owned_key(), operator.to_owned());
        let item = Item::Merge { key, operator, operand: Box::from(operand), expiry: Expiry::Never };
        self.push(item, operand.len())
    }

    /// Adds the deletion of a range. One of all key groups ([`KeyRange::prefix`] of plain bytes) counts as a write for each of them, and takes effect in all
    /// groups of one shard together.
    pub fn delete_range(&mut self, range: KeyRange) -> &mut Self {
        self.push(Item::DeleteRange { range }, 0)
    }

    /// Writes in it.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it holds no write.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn push(&mut self, item: Item, bytes: usize) -> &mut Self {
        self.bytes += bytes;
        self.items.push(item);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.items.len() > BATCH_WRITES_MAX || self.bytes > BATCH_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a batch of {} writes and {} bytes; at most {BATCH_WRITES_MAX} writes and {BATCH_BYTES_MAX} bytes are possible",
                self.items.len(),
                self.bytes
            )));
        }
        Ok(())
    }
}

/// Refuses more writes than a batch takes, with the markers of range deletions in all key groups.
pub(crate) fn check_writes(writes: usize) -> Result<()> {
    if writes > BATCH_WRITES_MAX {
        return Err(Error::invalid(format!(
            "a batch of more than {BATCH_WRITES_MAX} writes, the deletion of a range of all key groups counted once a group: make smaller batches"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_ends_after_now_or_is_refused_with_both_moments() {
        assert_eq!(Expiry::Never.at_ms(|| 5).unwrap(), crate::entry::NEVER);
        assert_eq!(Expiry::After(Duration::from_secs(1)).at_ms(|| 5).unwrap(), 1005);
        assert_eq!(Expiry::At(6).at_ms(|| 5).unwrap(), 6);
        for past in [
            Expiry::At(5),
            Expiry::At(0),
            Expiry::After(Duration::ZERO),
            Expiry::After(Duration::from_micros(9)),
        ] {
            let error = past.at_ms(|| 5).unwrap_err().to_string();
            assert!(error.contains("now, 5 ms"), "{error}");
        }
    }

    #[test]
    fn merges_are_checked_where_they_are_written() {
        let operators = MergeOperators::new(&[]).unwrap();
        let merge = |name, operand| Write::merge(&operators, name, operand, Expiry::Never);
        assert!(merge("append", b"x").is_ok());
        assert!(merge("add", b"x").unwrap_err().to_string().contains("8 bytes"));
        assert!(merge("sum", b"x").unwrap_err().to_string().contains("register"));
    }
}
