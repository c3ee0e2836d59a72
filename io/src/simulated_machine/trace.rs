//! What happened in a simulated world, one line an event, in order: the same seed gives the same bytes.
//!
//! The text is kept up to a limit; a hash goes on over all of it.

use std::fmt::{self, Write};

/// The events of a world so far.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    text: String,
    bytes_max: usize,
    line: String,
    hash: Hash,
}

impl Trace {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { text: String::new(), bytes_max, line: String::new(), hash: Hash::default() }
    }

    pub(crate) fn event(&mut self, time_ns: u64, event: fmt::Arguments<'_>) {
        self.line.clear();
        // Writing to a string cannot fail.
        let _ = writeln!(self.line, "{time_ns} {event}");
        self.hash.add(self.line.as_bytes());
        if self.text.len().saturating_add(self.line.len()) <= self.bytes_max {
            self.text.push_str(&self.line);
        } else {
            // No later, shorter line may slip in.
            self.bytes_max = self.text.len();
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }
}

/// FNV-1a of 64 bits: short, and the same everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(pub(crate) u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn of(bytes: &[u8]) -> u64 {
        let mut hash = Self::default();
        hash.add(bytes);
        hash.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_stops_at_its_limit_and_the_hash_goes_on() {
        let (mut short, mut long) = (Trace::new(12), Trace::new(1000));
        for (time_ns, word) in [(1, "first"), (2, "much too long"), (3, "x")] {
            short.event(time_ns, format_args!("{word}"));
            long.event(time_ns, format_args!("{word}"));
        }
        assert_eq!(short.text(), "1 first\n");
        assert_eq!(long.text(), "1 first\n2 much too long\n3 x\n");
        assert_eq!(short.hash(), long.hash());
        assert_eq!(Hash::of(b"a"), 0xaf63_dc4c_8601_ec8c, "the published value of FNV-1a");
    }
}
