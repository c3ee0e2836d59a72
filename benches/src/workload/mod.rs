//! Workloads: what is read from an event, what is kept per key, and how that is written as bytes and as CSV.
//!
//! | workload | key | state of a key |
//! |---|---|---|
//! | [`Flights`] | tail number | flights, sum and maximum of arrival delay, miles, last destination and its time |
//! | [`Totals`] | a column by choice | count, sum and maximum of another column |
//!
//! Invariants: [`Workload::decode`] accepts exactly what [`Workload::encode`] makes; applying an event never loses
//! precision, it fails.

mod decimal;
mod flights;
mod totals;

use std::fmt::Debug;

pub(crate) use decimal::Decimal;
pub(crate) use flights::{FlightEvent, FlightState, Flights};
pub(crate) use totals::{TotalEvent, TotalState, Totals};

use crate::input::{InputError, Row};
use crate::verify::Tally;

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
    /// The independent fold that results are compared with.
    type Tally: Tally<Self>;

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

/// Takes fields off a state of checked length, in order.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    /// Checks length and version byte.
    fn new(bytes: &'b [u8], expected: usize, version: u8) -> Result<Self, StateError> {
        if bytes.len() != expected {
            return Err(StateError::Length { found: bytes.len(), expected });
        }
        let mut fields = Self(bytes);
        let [found] = fields.take()?;
        if found != version {
            return Err(StateError::Version { found, expected: version });
        }
        Ok(fields)
    }

    /// The next bytes.
    fn take<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], StateError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(StateError::Field("length"))?;
        self.0 = rest;
        Ok(*field)
    }

    fn i64(&mut self) -> Result<i64, StateError> {
        self.take().map(i64::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, StateError> {
        self.take().map(u64::from_le_bytes)
    }

    fn i128(&mut self) -> Result<i128, StateError> {
        self.take().map(i128::from_le_bytes)
    }
}

/// Puts fields into a state, in order. The array's size is checked where the layout is written down.
struct Layout<const BYTES: usize> {
    bytes: [u8; BYTES],
    used: usize,
}

impl<const BYTES: usize> Layout<BYTES> {
    fn new() -> Self {
        Self { bytes: [0; BYTES], used: 0 }
    }

    /// Appends a field; what does not fit is a fault of the layout's constants, found by every test.
    fn put(&mut self, field: &[u8]) -> &mut Self {
        let end = self.used + field.len();
        debug_assert!(end <= BYTES, "the layout is longer than its constant says");
        if let Some(place) = self.bytes.get_mut(self.used..end) {
            place.copy_from_slice(field);
        }
        self.used = end;
        self
    }

    fn done(&self) -> [u8; BYTES] {
        debug_assert_eq!(self.used, BYTES, "the layout is shorter than its constant says");
        self.bytes
    }
}
