//! What is wrong with the input, and where.

use std::fmt;

/// One fault of an input, with the place a reader of the message has to look at. The remedy is to mend the input or
/// to name other columns; nothing has been written to a store because of the faulty row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputError {
    /// File name, or what the built-in input is called.
    pub(crate) input: String,
    /// Line in the unpacked text, counted from 1, where known.
    pub(crate) line: Option<u64>,
    /// Name of the column, where one is at fault.
    pub(crate) column: Option<String>,
    /// What is wrong, in one clause.
    pub(crate) problem: String,
}

impl InputError {
    /// A fault of the input as a whole.
    pub(crate) fn whole(input: &str, problem: impl Into<String>) -> Self {
        Self { input: input.to_owned(), line: None, column: None, problem: problem.into() }
    }

    /// A fault at one line.
    pub(crate) fn at_line(input: &str, line: u64, problem: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::whole(input, problem) }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.input)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for InputError {}

/// Bytes of the input as they may be shown in a message: printable, quoted, and short.
pub(super) fn shown(bytes: &[u8]) -> String {
    const BYTES_MAX: usize = 40;
    let text = String::from_utf8_lossy(bytes.get(..BYTES_MAX).unwrap_or(bytes));
    if bytes.len() > BYTES_MAX { format!("{text:?}...") } else { format!("{text:?}") }
}
