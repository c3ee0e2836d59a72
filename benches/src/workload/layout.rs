//! States as bytes: fields one after the other, at fixed places.

use super::contract::StateError;

/// Takes fields off a state of checked length, in order.
pub(super) struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    /// Checks length and version byte.
    pub(super) fn new(bytes: &'b [u8], expected: usize, version: u8) -> Result<Self, StateError> {
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
    pub(super) fn take<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], StateError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(StateError::Field("length"))?;
        self.0 = rest;
        Ok(*field)
    }

    pub(super) fn i64(&mut self) -> Result<i64, StateError> {
        self.take().map(i64::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, StateError> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn i128(&mut self) -> Result<i128, StateError> {
        self.take().map(i128::from_le_bytes)
    }
}

/// Puts fields into a state, in order. The array's size is checked where the layout is written down.
pub(super) struct Layout<const BYTES: usize> {
    bytes: [u8; BYTES],
    used: usize,
}

impl<const BYTES: usize> Layout<BYTES> {
    pub(super) fn new() -> Self {
        Self { bytes: [0; BYTES], used: 0 }
    }

    /// Appends a field; what does not fit is a fault of the layout's constants, found by every test.
    pub(super) fn put(&mut self, field: &[u8]) -> &mut Self {
        let end = self.used + field.len();
        debug_assert!(end <= BYTES, "the layout is longer than its constant says");
        if let Some(place) = self.bytes.get_mut(self.used..end) {
            place.copy_from_slice(field);
        }
        self.used = end;
        self
    }

    pub(super) fn done(&self) -> [u8; BYTES] {
        debug_assert_eq!(self.used, BYTES, "the layout is shorter than its constant says");
        self.bytes
    }
}
