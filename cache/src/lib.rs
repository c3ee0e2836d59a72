//! Blocks near the core: a memory tier and an SSD tier with hard budgets, behind one entry.
//!
//! ```text
//!             get_or_load(ask)                      insert(key, raw, value)
//!                  │                                        │
//!          ┌───────▼────────┐   evicted, if it      ┌───────▼────────┐
//!          │  memory tier   │   keeps its raw bytes │ write admission│ full? reject,
//!          │  S3-FIFO, two  ├──────────────────────►│ (never waits)  │ never wait
//!          │  classes       │                       └───────┬────────┘
//!          └───────┬────────┘                               │ packed to 512 B
//!             miss │                                ┌───────▼────────┐
//!          ┌───────▼────────┐  extents, one         │    SSD tier    │
//!          │   read plan    │◄──────────────────────┤ regions in one │
//!          │  of one turn,  │  submission           │ file, a shard  │
//!          │ whoever asked  │                       └───────▲────────┘
//!          └───────┬────────┘                               │ offered
//!             miss │  extents: ranged GETs of objects, many in flight
//!                  ▼────────────────────────────────────────┘
//! ```
//!
//! One [`Cache`] belongs to one shard and lives on that shard's executor thread. It is not `Send`: nothing here takes
//! a lock.
//!
//! Invariants:
//! * The cache may forget, it never lies: what it returns for a key is what was fetched or inserted for that key.
//!   Bytes from the SSD are used only when their header names the whole identity asked for and both checksums hold.
//! * Budgets are limits. Memory counts the value and the overhead of its entry; the file never takes more
//!   than `disk_bytes`; zero is a valid budget for both.
//! * Nothing waits for the SSD's sake: a write that finds the writer behind is rejected, and an error of a write, or many of reads,
//!   switches the SSD tier off, says why once in [`CacheStats`], and everything goes on from remote. Only who pins blocks waits ([`Cache::pin`]).
//! * The SSD tier goes on with what an earlier process left in its file, however that ended. What cannot be proved is dropped.
#![forbid(unsafe_code)]

// From the ground up: a module uses those above it, none below it (benches/tests/house.rs keeps this).
mod error;
mod key;
mod memory_slot;
mod cached;
mod ask;
mod object;
mod rejection;
mod stats;
mod options;
mod memory;
mod ssd;
mod ready;
mod flight;
mod load_set;
mod plan;
mod cache_state;
mod landing;
mod turn;
mod task;
mod cache;
mod ahead;

pub use ask::Ask;
pub use cache::{Cache, Written};
pub use cached::Cached;
pub use error::{CacheError, LoadError, PinError};
pub use flight::Load;
pub use key::{CacheKey, Class, ReadClass, Tier};
pub use load_set::{FinishedLoad, LoadSet};
pub use memory_slot::MemorySlot;
pub use object::{ObjectRead, ObjectReader};
pub use options::{CacheOptions, SsdMode};
pub use ssd::PinSize;
pub use stats::{
    CacheStats, ClassStats, LoadStats, PlanStats, ReadStats, SsdRejections, SsdStats, TierStats,
};
