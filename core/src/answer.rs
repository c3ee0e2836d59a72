//! What reads and conditional writes answer.

use aquifer_cache::Tier;
use bytes::Bytes;

/// Where an answer came from: the slowest place that had to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// A memtable, the one that takes writes or one that waits for its upload.
    Memtable,
    /// Blocks that were in memory.
    Memory,
    /// At least one block came from the local SSD, none from the DFS.
    Ssd,
    /// At least one block came from the DFS.
    Remote,
    /// There is no value, and memory alone could tell.
    Absent,
    /// The deadline passed before there was an answer. The value is not known.
    TimedOut,
}

impl From<Tier> for Source {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Memory => Self::Memory,
            Tier::Ssd => Self::Ssd,
            Tier::Remote => Self::Remote,
        }
    }
}

/// One key's answer of a multi-get.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The value; `None` if the key has none, or if the source says that the time was up.
    pub value: Option<Bytes>,
    /// Where that is known from.
    pub source: Source,
}

/// The answer of a read that looks into memory and waits for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromMemory<T> {
    /// This is the answer.
    Known(T),
    /// Memory cannot tell: SSD or DFS has to be asked, by a read that waits.
    NotInMemory,
}

/// What became of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompareOutcome {
    /// The key had the expected value, and has the new one now.
    Applied,
    /// It had this one, which stays.
    Different(Option<Bytes>),
}
