//! The way in from other threads.

mod handle;
mod checkpoint;
mod read;
mod scan;
mod write;
#[cfg(feature = "internals")]
mod internals;

pub use handle::Client;
pub use scan::Scan;
