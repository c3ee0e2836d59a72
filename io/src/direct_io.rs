//! What direct I/O asks of memory, offsets and lengths.

/// Alignment of every buffer's address, in bytes: the strictest that direct I/O asks for on common devices.
pub const BUFFER_ALIGN_BYTES: usize = 4096;

/// Length of a buffer is a multiple of this many bytes: the sector, the smallest unit of direct I/O.
pub const SECTOR_BYTES: usize = 512;

/// Longest buffer, in bytes. The kernel moves at most 2 GiB - 4 KiB in one operation.
pub const BUFFER_BYTES_MAX: usize = 1 << 30;

const _: () =
    assert!(BUFFER_ALIGN_BYTES.is_power_of_two() && BUFFER_ALIGN_BYTES.is_multiple_of(SECTOR_BYTES));
const _: () = assert!(BUFFER_BYTES_MAX < (1 << 31) - BUFFER_ALIGN_BYTES);
