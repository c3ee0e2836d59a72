//! What an executor thread is made of.

use crate::backend::Backend;
use crate::pin::Core;

/// What errors of its start call it.
pub(super) const START: &str = "start executor";

/// What an executor thread is made of.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// Name of the thread; the system shows its first 15 bytes.
    pub name: String,
    /// How its files reach the kernel. [`select_backend`](crate::select_backend) knows what works here.
    pub backend: Backend,
    /// The CPU it is tied to.
    pub core: Core,
    /// Size of its ring, rounded up to a power of two: one less than this many file operations are in flight at
    /// most, the next ones wait their turn. 8 to 4096. The default of 512 takes 48 KiB, which fits the usual limit
    /// on locked memory of kernels before 5.12.
    pub ring_entries: u32,
    /// Most threads of the file pool (threads backend); they start on demand and end when idle.
    pub file_threads_max: usize,
    /// Hard limit on the bytes of its buffers.
    pub buffer_bytes_max: usize,
    /// Seed of its random numbers. Give each thread its own.
    pub seed: u64,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        Self {
            name: "aquifer".to_owned(),
            backend: Backend::Threads,
            core: Core::Any,
            ring_entries: 512,
            file_threads_max: 8,
            buffer_bytes_max: 32 << 20,
            seed: 0,
        }
    }
}

impl ExecutorOptions {
    /// Ring entries as the kernel will have them.
    pub(super) fn ring_entries_clamped(&self) -> u32 {
        self.ring_entries.clamp(8, 4096).next_power_of_two()
    }

    /// Most operations in flight. One ring entry stays free, for the entry that forces a submission.
    pub(super) fn slots_max(&self) -> usize {
        usize::try_from(self.ring_entries_clamped() - 1).unwrap_or(usize::MAX)
    }
}
