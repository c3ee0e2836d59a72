//! What a simulated world is made of.

use crate::simulated_disk::fault::FaultRates;
use crate::simulated_disk::image::DiskImage;

/// What a world starts with, and its limits.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// What is on the disk at the start: nothing, what a test prepared, or what a crash left.
    pub image: DiskImage,
    /// Room on the disk, in bytes; past it, `NoSpace`.
    pub disk_bytes_max: u64,
    /// What offsets and lengths of direct I/O are multiples of: a power of two from 512 to 4096.
    pub direct_align_bytes: usize,
    /// What goes wrong by itself.
    pub faults: FaultRates,
    /// How many CPUs [`cores_available`](crate::cores_available) tells.
    pub cores: usize,
    /// Longest text of the trace, in bytes; its hash covers all events, also those after it.
    pub trace_bytes_max: usize,
    /// Most polls of tasks in one run, so that a world that never comes to rest ends.
    pub polls_max: u64,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            image: DiskImage::default(),
            disk_bytes_max: 1 << 40,
            direct_align_bytes: 512,
            faults: FaultRates::default(),
            cores: 4,
            trace_bytes_max: 16 << 20,
            polls_max: 100_000_000,
        }
    }
}
