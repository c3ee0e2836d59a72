//! What can go wrong when a cache is opened or a block is loaded.

use std::sync::Arc;

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
    /// The disk has no room for a larger budget. Free space, or ask for less; the cache goes on as before.
    #[error("cache: disk_bytes {disk_bytes} cannot be reserved: {reason}")]
    Disk {
        /// The disk budget asked for.
        disk_bytes: u64,
        /// What the file system said.
        reason: String,
    },
}

/// Why a block could not be pinned to the SSD. The cache works on; the block comes from remote when it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// There is no SSD tier (any more).
    #[error("cache: there is no SSD tier to pin to: {}", reason.as_deref().unwrap_or("none was asked for, or it is closed"))]
    Off {
        /// Why it was switched off, if it was.
        reason: Option<Arc<str>>,
    },
    /// Every region is full of pinned blocks. Raise the disk budget, or remove what is not needed any more.
    #[error("cache: all {file_bytes} bytes of the SSD file are taken by pinned blocks: raise disk_bytes")]
    Full {
        /// Size of the file.
        file_bytes: u64,
    },
    /// Longer than an entry of the SSD tier may be. Raise the write buffer.
    #[error("cache: a block of {bytes} bytes is longer than half the write buffer of the SSD tier")]
    TooLarge {
        /// Its length.
        bytes: usize,
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
