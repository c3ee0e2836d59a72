//! What can go wrong when a cache is opened or a block is loaded.

/// The options cannot be used. Nothing was opened or touched.
///
/// Trouble with the SSD file is not among these: it switches the SSD tier off
/// ([`SsdStats::off_reason`](crate::SsdStats::off_reason)) and the cache works without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A disk budget without a file to spend it on. Give `disk_path`, or set `disk_bytes` to 0.
    #[error(
        "cache: disk_bytes is {disk_bytes} but disk_path is not set: give a path, or disk_bytes 0 for no SSD tier"
    )]
    DiskPathMissing {
        /// The disk budget asked for.
        disk_bytes: u64,
    },
    /// `region_bytes` is outside of its bounds.
    #[error("cache: region_bytes is {found}, must be {min} to {max}")]
    RegionBytes {
        /// The value given.
        found: u64,
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
}

/// Why a load has no value. It is not cached: the next call tries again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError<E> {
    /// `fetch` failed, or `decode` refused the bytes that `fetch` brought.
    #[error(transparent)]
    Source(E),
    /// The task that loaded the block ended without a result: its executor is stopping, or it panicked. Try again, unless
    /// the shard is being closed.
    #[error("cache: the load ended without a result (its executor is stopping, or it panicked)")]
    Stopped,
}

impl<E> LoadError<E> {
    /// The caller's own error, if it is one.
    pub fn into_source(self) -> Option<E> {
        match self {
            Self::Source(source) => Some(source),
            Self::Stopped => None,
        }
    }
}
