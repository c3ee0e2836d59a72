//! What a workload must be able to do, and how it can fail.

use std::fmt::Debug;

use crate::input::{InputError, Row};

/// Longest key that is taken from an input.
pub(crate) const KEY_BYTES_MAX: usize = 1024;

/// One way to turn rows into keyed state. The implementor holds the columns it reads.
pub(crate) trait Workload: Debug + 'static {
    /// Tells workloads apart in checkpoints and in the first byte of a state.
    const SHAPE: u8;
    /// What the report calls it.
    const NAME: &'static str;
    /// What one row says.
    type Event: Clone + Debug + PartialEq + 'static;
    /// What is kept of one key.
    type State: Clone + Debug + PartialEq + 'static;

    /// Index of the key's column.
    fn key_column(&self) -> usize;
    /// Reads the row's fields. Errors name line and column.
    fn event(&self, row: &Row<'_>) -> Result<Self::Event, InputError>;
    /// The event as bytes, always the same for the same event: for fingerprints of an input.
    fn event_bytes(event: &Self::Event, out: &mut Vec<u8>);
    /// The state after an event.
    fn apply(state: Option<Self::State>, event: &Self::Event) -> Result<Self::State, Overflow>;
    /// The state as it is stored: fixed width, little-endian, the version first.
    fn encode(state: &Self::State) -> impl AsRef<[u8]> + Send + 'static;
    /// Reads a stored state. Bytes that [`Workload::encode`] cannot have made are an error.
    fn decode(bytes: &[u8]) -> Result<Self::State, StateError>;
    /// Header of the final state as CSV; the first column is the key.
    fn columns() -> &'static [&'static str];
    /// The cells after the key, in the order of [`Workload::columns`]; missing values are empty.
    fn cells(state: &Self::State) -> Vec<String>;

    /// The key of a row. Error: longer than [`KEY_BYTES_MAX`].
    fn key<'r>(&self, row: &Row<'r>) -> Result<&'r [u8], InputError> {
        let key = row.field(self.key_column());
        if key.len() > KEY_BYTES_MAX {
            let problem = format!("the key is longer than {KEY_BYTES_MAX} bytes");
            return Err(row.bad_field(self.key_column(), &problem));
        }
        Ok(key)
    }
}

/// A sum or a count left the range that is kept exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} leaves the range that is kept exactly")]
pub(crate) struct Overflow(pub(crate) &'static str);

/// Stored bytes that are no state of this workload. The store was written by something else, or it is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    /// Wrong length.
    #[error("a state of {found} bytes where {expected} are expected")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes of this workload's states.
        expected: usize,
    },
    /// Another workload's state, or a later version's.
    #[error("a state of version {found} where {expected} is expected")]
    Version {
        /// Byte found.
        found: u8,
        /// This workload's version byte.
        expected: u8,
    },
    /// A field outside its range.
    #[error("a state whose {0} is impossible")]
    Field(&'static str),
}
