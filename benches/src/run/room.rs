//! Room on a disk: enough before a run begins, and none left while it goes on.

use std::path::Path;

use crate::byte_size::human_bytes;
use crate::failure::Failure;

/// Less than this free: whoever writes next fails.
const FULL_BYTES: u64 = 8 << 20;

/// Bytes that may be written there; none where the system does not say.
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Refuses a folder without room for so many bytes.
pub(crate) fn check(folder: &Path, needed_bytes: u64) -> Result<(), Failure> {
    let Some(free) = free_bytes(folder).filter(|free| *free < needed_bytes.saturating_add(FULL_BYTES)) else {
        return Ok(());
    };
    Err(Failure::Other(format!(
        "the run needs about {} on the disk of {} and {} are free: use fewer --keys, less --disk-bytes, or another --dir",
        human_bytes(needed_bytes.saturating_add(FULL_BYTES)),
        folder.display(),
        human_bytes(free)
    )))
}

/// In words, when the disk of this folder is full.
pub(crate) fn full(folder: &Path) -> Option<String> {
    let free = free_bytes(folder).filter(|free| *free < FULL_BYTES / 4)?;
    Some(format!(
        "the disk of {} is full ({} free): use fewer --keys, less --disk-bytes, or another --dir",
        folder.display(),
        human_bytes(free)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_asked_for_and_refused() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path(), 1).unwrap();
        let error = check(folder.path(), u64::MAX / 2).unwrap_err().to_string();
        assert!(error.contains("--keys") && error.contains("are free"), "{error}");
        assert_eq!(full(folder.path()), None);
        check(Path::new("/no/such/folder"), 1).unwrap();
    }
}
