//! How a file is opened.

use rustix::fs::OFlags;

/// Mode of new files, of every backend: this user alone may read what caches and locks hold. It counts from the first instant; the umask can
/// only take more away.
pub(crate) const PRIVATE_FILE_MODE: u32 = 0o600;

/// How to open a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Create it when it does not exist (needs `write`): for this user alone, mode 0600. A symbolic link of that name is refused.
    pub create: bool,
    /// Create it as above, and fail when it exists (needs `write`).
    pub create_new: bool,
    /// Cut it to zero bytes (needs `write`).
    pub truncate: bool,
    /// Past the page cache (`O_DIRECT`). Where the file system refuses that, through it: [`File::is_direct`](crate::File::is_direct) tells.
    pub direct: bool,
}

impl OpenOptions {
    /// Flags for the system beside those that the options are called after: nothing is made in the place that a link points to.
    pub(crate) fn system_flags(self) -> i32 {
        let flags = if self.create { OFlags::NOFOLLOW } else { OFlags::empty() };
        flags.bits().cast_signed()
    }
}
