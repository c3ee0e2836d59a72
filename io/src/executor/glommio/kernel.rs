//! Handing a descriptor to glommio.
//!
//! Who keeps which duty:
//! * We give glommio a descriptor of its own (a duplicate), which nobody else closes.
//! * glommio closes it once: by `close`, or after the drop of its file when its loop turns next.
//! * Our buffers are never with the kernel here: glommio reads into memory that it allocates and owns until the
//!   completion, and `read` in the parent module copies from it.
#![expect(unsafe_code, reason = "a promise to glommio that the compiler cannot check")]

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use glommio::io::BufferedFile;

/// The file that reads and syncs this descriptor through the thread's rings. Only on the thread of a running
/// glommio executor.
pub(super) fn adopt(descriptor: OwnedFd) -> BufferedFile {
    let descriptor = descriptor.into_raw_fd();
    // SAFETY: it was an open, owned descriptor a line ago, and its ownership goes to the file and nowhere else.
    unsafe { BufferedFile::from_raw_fd(descriptor) }
}
