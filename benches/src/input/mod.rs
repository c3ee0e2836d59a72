//! The event input: a CSV file, plain or packed with zstd, read as a stream.
//!
//! ```text
//! Source (built in | file) ─> zstd, when its magic or name says so ─> Limited (bytes a row) ─> csv ─> Row
//! ```
//!
//! Invariants:
//! * memory is bounded: one row (at most [`limited::ROW_BYTES_MAX`]) and one zstd window (at most 8 MiB);
//! * every error names the input, the line, and the column where there is one ([`InputError`]).

mod error;
mod limited;
mod source;
mod reader;

pub(crate) use error::InputError;
pub(crate) use reader::{EventReader, Header, Row};
pub(crate) use source::Source;
