//! What a process has read from and written to block devices, by the kernel's account.

/// Bytes that this process has had read.
pub(super) fn read_bytes() -> u64 {
    of("read_bytes")
}

/// Bytes that this process has had written, less those of files deleted before.
pub(super) fn written_bytes() -> u64 {
    of("write_bytes").saturating_sub(of("cancelled_write_bytes"))
}

fn of(field: &str) -> u64 {
    parse(&std::fs::read_to_string("/proc/self/io").unwrap_or_default(), field)
}

fn parse(text: &str, field: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart() {
        let text = "rchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 12\n";
        assert_eq!((parse(text, "read_bytes"), parse(text, "write_bytes")), (4096, 8192));
        assert_eq!((parse(text, "bytes"), parse("", "read_bytes")), (0, 0));
        assert!(written_bytes() < u64::MAX && read_bytes() < u64::MAX);
    }
}
