//! What an engine may keep on the local disk, and how.

use crate::error::{Error, Result};
use crate::limits::{DISK_BYTES_MAX, check_most};
use crate::on_open::OnOpen;
use aquifer_cache::SsdMode;
use std::fmt;
use std::path::{Path, PathBuf};

/// The local disk: the SSD tier of the cache, a part of [`crate::Options`]. Without one ([`DiskOptions::default`]) all that is not in memory is read from the
/// DFS.
#[derive(Clone)]
pub struct DiskOptions {
    /// Folder for the SSD tier; created if absent, used by one engine at a time. Needed when `bytes` is above 0. Everything in it may
    /// be lost at any time.
    pub dir: Option<PathBuf>,
    /// Budget in bytes for what lies in `dir`. 0 is allowed: no SSD tier. Can be changed while the engine runs:
    /// [`crate::Engine::set_disk_bytes`].
    pub bytes: u64,
    /// What the SSD tier keeps: what is read ([`SsdMode::BestEffort`]), or everything ([`SsdMode::Pinned`]): then opening fetches what is not local yet,
    /// `bytes` must be enough for it, and reads go to the DFS no more. If the state outgrows the budget while the engine runs, nothing fails:
    /// the rest is read from the DFS, and [`crate::ShardStats::not_local_bytes`] counts it.
    pub mode: SsdMode,
    /// Told how far the opening is, while it makes the state local; from the shards' threads, one call at a time: be quick.
    pub on_open: Option<OnOpen>,
    /// Most bytes that may be written to the SSD tier in any 24 hours, for the wear of the device. 0 = no limit.
    pub write_bytes_per_day: u64,
    /// Most bytes a second that may be written to the SSD tier, about. 0 = no limit.
    pub write_bytes_per_s: u64,
}

impl Default for DiskOptions {
    /// No SSD tier.
    fn default() -> Self {
        Self {
            dir: None,
            bytes: 0,
            mode: SsdMode::BestEffort,
            on_open: None,
            write_bytes_per_day: 0,
            write_bytes_per_s: 0,
        }
    }
}

impl fmt::Debug for DiskOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskOptions")
            .field("dir", &self.dir)
            .field("bytes", &self.bytes)
            .field("mode", &self.mode)
            .field("on_open", &self.on_open.as_ref().map(|_| ".."))
            .field("write_bytes_per_day", &self.write_bytes_per_day)
            .field("write_bytes_per_s", &self.write_bytes_per_s)
            .finish()
    }
}

impl DiskOptions {
    /// # Errors
    /// `Invalid`, with the option, its value and its bounds.
    pub(crate) fn validate(&self) -> Result<()> {
        check_most("disk.bytes", self.bytes, DISK_BYTES_MAX)?;
        if self.mode == SsdMode::Pinned && self.bytes == 0 {
            return Err(Error::invalid(
                "disk.mode is Pinned and disk.bytes is 0: give the disk that the state needs, or set disk.mode to BestEffort",
            ));
        }
        if self.mode == SsdMode::Pinned && self.write_bytes_per_day > 0 {
            return Err(Error::invalid(
                "disk.mode is Pinned with disk.write_bytes_per_day: what is pinned waits for its write, which may be a day; set it to 0, or \
                 disk.mode to BestEffort",
            ));
        }
        check_dir(self.bytes, self.dir.as_deref()).map(drop)
    }
}

/// The folder that a disk budget is spent in; `None` if it is 0.
pub(crate) fn check_dir(bytes: u64, dir: Option<&Path>) -> Result<Option<&Path>> {
    match (bytes, dir) {
        (0, _) => Ok(None),
        (_, Some(folder)) => Ok(Some(folder)),
        (_, None) => Err(Error::invalid(
            "disk.bytes is above 0 but disk.dir is not set: name a folder, or set disk.bytes to 0",
        )),
    }
}
