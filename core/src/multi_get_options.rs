//! How a multi-get reads.

use crate::error::{Error, Result};
use crate::limits::{MULTI_GET_BYTES_DEFAULT, MULTI_GET_KEYS_MAX};
use crate::snapshot::Snapshot;
use std::time::Duration;

/// Options of [`crate::Client::multi_get`] and [`crate::Shard::multi_get`].
#[derive(Clone, Copy, Debug)]
pub struct MultiGetOptions<'a> {
    /// Keys that have no answer so long after the call are answered with [`crate::Source::TimedOut`]. `None` waits for all.
    pub timeout: Option<Duration>,
    /// What it sees; `None`: the present, of each shard when it meets the request.
    pub snapshot: Option<&'a Snapshot>,
    /// Bytes of values that one call gives, about: once they take so much, the other keys are left, each with an error of kind
    /// [`crate::ErrorKind::Remaining`] in its place. At least 1; the memory budget of each shard may give less at once. At least one key is
    /// always read.
    pub bytes_max: usize,
}

impl Default for MultiGetOptions<'_> {
    /// All keys, however long it takes, of the present state; at most 16 MiB of values.
    fn default() -> Self {
        Self { timeout: None, snapshot: None, bytes_max: MULTI_GET_BYTES_DEFAULT }
    }
}

impl MultiGetOptions<'_> {
    pub(crate) fn check(&self) -> Result<()> {
        if self.bytes_max == 0 {
            return Err(Error::invalid("bytes_max of a multi-get is 0; give at least 1"));
        }
        Ok(())
    }
}

/// Refuses more keys than a multi-get takes.
pub(crate) fn check_keys(keys: usize) -> Result<()> {
    if keys > MULTI_GET_KEYS_MAX {
        return Err(Error::invalid(format!(
            "a multi-get of {keys} keys; at most {MULTI_GET_KEYS_MAX} are possible: ask in several"
        )));
    }
    Ok(())
}
