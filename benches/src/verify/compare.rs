//! What a verification found.

/// Mismatches that are described; the others are only counted.
const SAMPLES_MAX: usize = 5;

/// Keys compared and mismatches of a whole verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Keys that the input has.
    pub(crate) keys: u64,
    /// Keys of the input that the store does not have.
    pub(crate) missing: u64,
    /// Keys of the store that the input does not have.
    pub(crate) extra: u64,
    /// Keys whose state is another one, or no state at all.
    pub(crate) different: u64,
    /// Times the input was read.
    pub(crate) passes: u32,
    /// The first few mismatches, one line each.
    pub(crate) samples: Vec<String>,
}

impl Comparison {
    /// All mismatches.
    pub(crate) fn mismatches(&self) -> u64 {
        self.missing + self.extra + self.different
    }

    pub(super) fn note_missing(&mut self, key: &[u8], expected: &str) {
        self.missing += 1;
        self.sample(|| format!("{}: missing in the store, expected {expected}", shown(key)));
    }

    pub(super) fn note_extra(&mut self, key: &[u8]) {
        self.extra += 1;
        self.sample(|| format!("{}: in the store, but not in the input", shown(key)));
    }

    pub(super) fn note_different(&mut self, key: &[u8], found: &str, expected: &str) {
        self.different += 1;
        self.sample(|| format!("{}: the store has {found}, expected {expected}", shown(key)));
    }

    fn sample(&mut self, text: impl FnOnce() -> String) {
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(text());
        }
    }
}

fn shown(key: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(key))
}
