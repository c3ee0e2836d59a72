//! Who hears how far an opening is.

use std::sync::Arc;

/// How far an opening is that makes the state local.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenProgress {
    /// Stored bytes that are local, or that the disk could not take.
    pub done_bytes: u64,
    /// Of so many.
    pub total_bytes: u64,
}

/// Hears how far an opening is: see [`crate::DiskOptions::on_open`]. If it panics, the opening fails with [`crate::ErrorKind::Panicked`].
pub type OnOpen = Arc<dyn Fn(OpenProgress) + Send + Sync>;
