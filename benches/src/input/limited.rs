//! A reader that refuses to deliver an endless row.
//!
//! A quotation mark that is never closed turns the rest of a file into one field; without a limit the CSV parser would
//! gather it in memory. The owner calls [`Limited::row_done`] after each row; more than [`ROW_BYTES_MAX`] (plus what
//! the parser buffers) read without that call is an error.

use std::io::{self, Read};

/// Longest row that is read.
pub(super) const ROW_BYTES_MAX: u64 = 1 << 20;

/// See the module.
pub(super) struct Limited<R> {
    inner: R,
    since_row_bytes: u64,
    total_bytes: u64,
    last_byte: u8,
}

impl<R: Read> Limited<R> {
    /// Wraps a reader.
    pub(super) fn new(inner: R) -> Self {
        Self { inner, since_row_bytes: 0, total_bytes: 0, last_byte: 0 }
    }

    /// A whole row has been parsed: the count starts again.
    pub(super) fn row_done(&mut self) {
        self.since_row_bytes = 0;
    }

    /// Whether a row that ends at this offset ends with the input, and without a line end.
    pub(super) fn ends_without_newline(&self, offset: u64) -> bool {
        offset == self.total_bytes && self.last_byte != b'\n'
    }

    /// Whether the limit has been reached, and not another error.
    pub(super) fn exceeded(&self) -> bool {
        self.since_row_bytes > ROW_BYTES_MAX
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.exceeded() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "row too long"));
        }
        let bytes = self.inner.read(buffer)?;
        self.since_row_bytes = self.since_row_bytes.saturating_add(bytes as u64);
        self.total_bytes = self.total_bytes.saturating_add(bytes as u64);
        if let Some(byte) = buffer.get(..bytes).and_then(<[u8]>::last) {
            self.last_byte = *byte;
        }
        Ok(bytes)
    }
}
