//! The machine under every Aquifer shard: pinned executors, direct files, buffers, clock and chance.
//!
//! ```text
//! shard code ─> spawn_local · sleep · acquire_buffer · File ─┬─> uring: io_uring of the thread, in a loop of our own
//!                                                            ├─> tokio-uring: io_uring of the thread
//!                                                            ├─> glommio: io_uring of the thread, writes on the pool
//!               (names no runtime)                           ├─> threads: pread/pwrite on a bounded pool
//!                                                            └─> simulated: a machine that one seed replays
//! ```
//!
//! One thread owns one core: [`spawn_executor`] starts it, runs `main` and everything it spawns on it, and ends
//! when `main` does. [`select_backend`] finds out what the kernel permits. Wakers of everything here work from any
//! thread; an executor with nothing to do sleeps in the kernel.
//!
//! Invariants:
//! * An operation owns its buffer and its file until the kernel is done with them, also when its future is dropped
//!   or the executor ends meanwhile (the thread waits for the last one before it gives up its ring).
//! * Buffers of a thread never pass its limit; operations in flight never pass the ring's size.
//! * `unsafe` is in `buffer_memory.rs`, `chunk.rs`, `map.rs`, `prefetch.rs`, `executor/uring/ring.rs`, `executor/tokio_uring/kernel.rs` and
//!   `executor/glommio/kernel.rs`, and nowhere else in the project.

mod budget;
mod clock;
mod error;
mod prefetch;
mod random;
mod backoff;
mod direct_io;
mod open_options;
mod slots;
mod chunk;
mod buffer_memory;
mod buffer_pool;
mod buffer;
mod transfer;
mod metrics;
mod pin;
mod backend;
mod simulated_disk;
mod simulated_machine;
mod executor;
mod acquire;
mod file;
mod selection;
mod lock;
mod block_on;
mod map;
mod wait;
pub mod fs;
pub mod simulated;

pub use acquire::{acquire_buffer, try_acquire_buffer};
pub use backend::{Backend, BackendChoice, UnknownBackend};
pub use backoff::Backoff;
pub use block_on::block_on;
pub use buffer::Buffer;
pub use clock::{Instant, now, unix_time_ms};
pub use direct_io::{BUFFER_ALIGN_BYTES, BUFFER_BYTES_MAX, SECTOR_BYTES};
pub use error::{IoError, IoErrorKind};
pub use executor::context::metrics;
pub use executor::cores::cores_available;
pub use executor::options::ExecutorOptions;
pub use executor::spawn_executor;
pub use executor::spawn_local::{spawn_local, spawn_vital, vital_panic};
pub use executor::task::{Task, TaskLost};
pub use executor::thread::ExecutorThread;
pub use executor::time::{Elapsed, sleep, timeout, yield_now};
pub use file::{EXTENTS_MAX, File};
pub use lock::DirLock;
pub use map::{MAP_BYTES_MAX, with_mapped};
pub use metrics::IoMetrics;
pub use open_options::OpenOptions;
pub use pin::Core;
pub use prefetch::prefetch;
pub use random::random_u64;
pub use selection::{BackendSelection, select_backend};
pub use wait::{Wait, wait};
