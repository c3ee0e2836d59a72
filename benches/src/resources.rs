//! What the process uses: resident memory as the kernel counts it, and bytes on the local disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Resident memory of the whole process, the embedded DFS and the program's text included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ResidentMemory {
    /// Now (`VmRSS`).
    pub(crate) now_bytes: u64,
    /// The most so far (`VmHWM`).
    pub(crate) peak_bytes: u64,
}

/// Reads `/proc/self/status`; zeros where there is none.
pub(crate) fn resident_memory() -> ResidentMemory {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_status(&status)
}

fn parse_status(status: &str) -> ResidentMemory {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    ResidentMemory { now_bytes: field("VmRSS").unwrap_or(0), peak_bytes: field("VmHWM").unwrap_or(0) }
}

/// Bytes that the files of a folder take on the disk (allocated, not apparent). A folder that is not there takes none.
pub(crate) fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => folder_bytes(&entry.path()),
        Ok(found) => found.blocks().saturating_mul(512),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernel_status() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse_status(status), ResidentMemory { now_bytes: 1 << 20, peak_bytes: 2 << 20 });
        assert_eq!(parse_status("VmRSS: many kB"), ResidentMemory::default());
        assert!(resident_memory().peak_bytes >= resident_memory().now_bytes.min(1));
    }

    #[test]
    fn a_folder_counts_what_its_files_allocate() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(folder_bytes(&folder.path().join("absent")), 0);
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("inner/file"), vec![1; 10_000]).unwrap();
        assert!(folder_bytes(folder.path()) >= 10_000);
    }
}
