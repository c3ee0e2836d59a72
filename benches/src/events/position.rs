//! How far an input has been consumed: what a checkpoint carries as its metadata.
//!
//! ```text
//! offset bytes field
//!      0     4 magic "AQEV"
//!      4     1 version: 1
//!      5     1 shape of the workload
//!      6     2 zero
//!      8     8 columns: hash of the names of key and value columns (or of "flights")
//!     16     8 events consumed
//!     24     8 hash of all events consumed, in order
//! ```
//!
//! The hash of the events makes "the same input" a fact that can be checked, whatever the file is called, packed or
//! not: a run that resumes reads over the consumed events and compares. An input that has grown since is the same input.

use xxhash_rust::xxh3::xxh3_64_with_seed;

const BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"AQEV";
const VERSION: u8 = 1;
const _: () = assert!(MAGIC.len() + 1 + 1 + 2 + 8 + 8 + 8 == BYTES);

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) shape: u8,
    pub(crate) columns_hash: u64,
    /// Events consumed.
    pub(crate) events: u64,
    /// Hash of them all.
    pub(crate) events_hash: u64,
}

impl Position {
    /// The beginning of an input.
    pub(crate) fn start(shape: u8, columns: &str) -> Self {
        Self { shape, columns_hash: xxh3_64_with_seed(columns.as_bytes(), 0), events: 0, events_hash: 0 }
    }

    /// One more event: its key and its bytes.
    pub(crate) fn advance(&mut self, key: &[u8], event_bytes: &[u8]) {
        self.events += 1;
        self.events_hash = xxh3_64_with_seed(event_bytes, xxh3_64_with_seed(key, self.events_hash));
    }

    /// As a checkpoint's metadata.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, self.shape, 0, 0]);
        for number in [self.columns_hash, self.events, self.events_hash] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Reads a checkpoint's metadata. Error: one line that says what else it is.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Ok(bytes) = <&[u8; BYTES]>::try_from(bytes) else {
            return Err(format!("its metadata has {} bytes where {BYTES} are expected", bytes.len()));
        };
        let field = |index: usize| bytes.as_chunks::<8>().0.get(index).copied().unwrap_or_default();
        let [m0, m1, m2, m3, version, shape, zeros @ ..] = field(0);
        if [m0, m1, m2, m3] != MAGIC || zeros != [0, 0] {
            return Err("its metadata is not a position in an input".to_owned());
        }
        if version != VERSION {
            return Err(format!("its metadata has version {version} where {VERSION} is expected"));
        }
        let number = |index: usize| u64::from_le_bytes(field(index));
        Ok(Self { shape, columns_hash: number(1), events: number(2), events_hash: number(3) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_encoding_and_nothing_else_does() {
        let mut position = Position::start(2, "key=k value=v");
        position.advance(b"a", b"1");
        let bytes = position.encode();
        assert_eq!(Position::decode(&bytes), Ok(position));
        for (bad, message) in [
            (vec![], "0 bytes"),
            (vec![0; 32], "not a position"),
            ([&bytes[..4], &[9], &bytes[5..]].concat(), "version 9"),
            ([&bytes[..6], &[1], &bytes[7..]].concat(), "not a position"),
        ] {
            assert!(Position::decode(&bad).unwrap_err().contains(message));
        }
    }

    #[test]
    fn other_events_or_another_order_is_another_position() {
        let after = |events: &[(&str, &str)]| {
            let mut position = Position::start(1, "");
            events.iter().for_each(|(key, event)| position.advance(key.as_bytes(), event.as_bytes()));
            position
        };
        assert_eq!(after(&[("a", "1"), ("b", "2")]), after(&[("a", "1"), ("b", "2")]));
        assert_ne!(after(&[("a", "1"), ("b", "2")]), after(&[("b", "2"), ("a", "1")]));
        assert_ne!(after(&[("a", "12")]), after(&[("a1", "2")]));
    }
}
