//! Rows of a CSV input, one at a time.
//!
//! Rows end with `\n`; a `\r` before it belongs to the line end. The parser is told so (and not to take both as line
//! ends itself) because its line numbers drift otherwise: after `\r\n` and after empty lines.

use std::io::Read;
use std::sync::Arc;

use csv::ByteRecord;

use super::error::{InputError, shown};
use super::limited::{Limited, ROW_BYTES_MAX};
use super::source::Source;

/// Bytes the CSV parser reads ahead.
const READ_AHEAD_BYTES: usize = 1 << 16;

/// The names of the columns, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    input: Arc<str>,
    columns: Arc<[String]>,
}

impl Header {
    /// Index of a column. Error: the header has no such column; the message lists those it has.
    pub(crate) fn index(&self, column: &str) -> Result<usize, InputError> {
        self.columns.iter().position(|name| name == column).ok_or_else(|| InputError {
            input: self.input.to_string(),
            line: Some(1),
            column: Some(column.to_owned()),
            problem: format!("the header has no such column; it has {}", self.columns.join(", ")),
        })
    }

    /// Whether every one of these columns is there.
    pub(crate) fn has_all(&self, columns: &[&str]) -> bool {
        columns.iter().all(|column| self.columns.iter().any(|name| name == column))
    }

    /// The names of the columns.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }
}

/// Streams the rows of an input. Memory: one row and the read-ahead.
pub(crate) struct EventReader {
    csv: csv::Reader<Limited<Box<dyn Read>>>,
    record: ByteRecord,
    header: Header,
}

impl EventReader {
    /// Opens an input and reads its header. Errors: unreadable or empty input, no header, a column twice.
    pub(crate) fn open(source: &Source) -> Result<Self, InputError> {
        let input: Arc<str> = source.to_string().into();
        let csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(csv::Terminator::Any(b'\n'))
            .buffer_capacity(READ_AHEAD_BYTES)
            .from_reader(Limited::new(source.open()?));
        let header = Header { input, columns: Arc::new([]) };
        let mut reader = Self { csv, record: ByteRecord::new(), header };
        reader.read_header()?;
        Ok(reader)
    }

    /// The columns of this input.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The next row, or `None` at the end. Errors: a ragged or endless row, a broken zstd frame, a failing disk.
    pub(crate) fn next_row(&mut self) -> Result<Option<Row<'_>>, InputError> {
        if !self.read_record()? {
            return Ok(None);
        }
        let row = self.row();
        let (found, expected) = (row.record.len(), row.header.columns.len());
        if found != expected {
            let problem = format!("the row has {found} fields, the header {expected}");
            return Err(InputError::at_line(&row.header.input, row.line(), problem));
        }
        Ok(Some(row))
    }

    fn read_header(&mut self) -> Result<(), InputError> {
        if !self.read_record()? {
            return Err(InputError::whole(&self.header.input, "there is no header line"));
        }
        let row = self.row();
        let mut columns: Vec<String> = Vec::with_capacity(row.record.len());
        for index in 0..row.record.len() {
            let name = String::from_utf8_lossy(row.field(index)).into_owned();
            if columns.contains(&name) {
                return Err(InputError {
                    column: Some(name),
                    ..InputError::at_line(&row.header.input, row.line(), "the header names this column twice")
                });
            }
            columns.push(name);
        }
        self.header.columns = columns.into();
        Ok(())
    }

    /// Reads the next row that is no empty line.
    fn read_record(&mut self) -> Result<bool, InputError> {
        loop {
            match self.csv.read_byte_record(&mut self.record) {
                Ok(more) => {
                    self.csv.get_mut().row_done();
                    if !more || self.record.as_slice() != b"\r" {
                        return Ok(more);
                    }
                }
                Err(error) => return Err(self.explain(error)),
            }
        }
    }

    fn row(&self) -> Row<'_> {
        let end = self.csv.position();
        let ended_by_newline = !self.csv.get_ref().ends_without_newline(end.byte());
        let last_line = end.line().saturating_sub(u64::from(ended_by_newline));
        Row { record: &self.record, header: &self.header, last_line }
    }

    fn explain(&self, error: csv::Error) -> InputError {
        let input = &self.header.input;
        let line = self.csv.position().line();
        match error.into_kind() {
            csv::ErrorKind::Io(_) if self.csv.get_ref().exceeded() => {
                let started = self.record.position().map_or(line, csv::Position::line);
                let problem = format!("longer than {ROW_BYTES_MAX} bytes: is a quotation mark left open?");
                InputError::at_line(input, started, problem)
            }
            csv::ErrorKind::Io(error) => InputError::at_line(input, line, error.to_string()),
            other => InputError::at_line(input, line, format!("{other:?}")),
        }
    }
}

/// One row of the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'r> {
    record: &'r ByteRecord,
    header: &'r Header,
    last_line: u64,
}

impl<'r> Row<'r> {
    /// The bytes of one field. The index comes from [`Header::index`], and every row has as many fields as the header.
    pub(crate) fn field(&self, index: usize) -> &'r [u8] {
        let field = self.record.get(index).unwrap_or_default();
        if index.saturating_add(1) == self.record.len() {
            field.strip_suffix(b"\r").unwrap_or(field)
        } else {
            field
        }
    }

    /// Line of the row's first byte, counted from 1.
    pub(crate) fn line(&self) -> u64 {
        let inside = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
        self.last_line.saturating_sub(inside as u64)
    }

    /// An error about one field of this row, showing its bytes.
    pub(crate) fn bad_field(&self, index: usize, problem: &str) -> InputError {
        InputError {
            column: self.header.columns.get(index).cloned(),
            ..InputError::at_line(
                &self.header.input,
                self.line(),
                format!("{problem}: {}", shown(self.field(index))),
            )
        }
    }

    /// A whole number, or `None` for an empty field.
    pub(crate) fn whole_number(&self, index: usize) -> Result<Option<i64>, InputError> {
        let text = self.field(index).trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        number.map(Some).ok_or_else(|| self.bad_field(index, "not a whole number of 64 bits"))
    }
}

#[cfg(test)]
#[path = "reader_test.rs"]
mod tests;
