//! Aquifer: disaggregated state storage for stream processing.
//!
//! Keyed state lives on a distributed file system reached over HTTP; memory and local SSD are caches of it, with hard budgets, and
//! may be lost at any time without a loss of anything that a checkpoint holds. Each shard of the keys runs on a thread of its own, by default one
//! a core, and a read that is answered from memory takes no lock.
//!
//! ```text
//! caller ─> client ─> mailbox ─> shard ─> memtable ─> segments ─> cache ─┬─> io      local SSD
//!                                  │                                     └─> remote  DFS over HTTP
//!                                  └─> flush / compaction / checkpoint ─> remote
//! ```
//!
//! # Example
//! ```
//! use aquifer::{Engine, Options, RemoteOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! aquifer::block_on(async {
//!     let remote = aquifer::open_url("memory://", RemoteOptions::default())?;
//!     let options = Options { shards: 2, memory_bytes: 64 * 1024 * 1024, ..Options::default() };
//!     let engine = Engine::open(remote.clone(), options.clone()).await?;
//!     let client = engine.client();
//!     client.put(b"N14228", b"1 flight").await?;
//!     client.checkpoint(b"position 1".to_vec()).await?;
//!     drop(engine); // a crash, as far as the store can see
//!
//!     let engine = Engine::open(remote, options).await?;
//!     assert_eq!(engine.restored().map(|checkpoint| checkpoint.metadata.as_slice()), Some(b"position 1".as_slice()));
//!     assert_eq!(engine.client().get(b"N14228").await?.as_deref(), Some(b"1 flight".as_slice()));
//!     engine.close().await?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # What it is not
//! Not a SQL database, not a consensus store, not a file system: one writer at a time owns a store, replication is the DFS's work, and
//! distributing the computation is the stream processor's.

#![forbid(unsafe_code)]

mod codec;
mod on_open;
mod error;
mod limits;
mod disk_options;
mod entry;
mod key;
mod name;
mod notify;
mod retry;
mod untaken;
mod reply;
mod descriptor;
mod answer;
mod embedder_panics;
mod merge_operator;
mod resolve;
mod sync;
mod mailbox;
mod memtable;
mod key_ref;
mod compaction_options;
mod stats;
mod scan_page;
mod compression_options;
mod segment;
mod version;
mod options;
mod shard_budget;
mod opening;
mod manifest;
mod clock;
mod verify;
mod checkpoint_parts;
mod blocks;
mod cursors;
mod compact;
mod current_budgets;
mod write;
mod compaction_worker_host;
mod compaction_worker;
mod request;
mod shared;
mod snapshot;
mod scan_options;
mod multi_get_options;
mod checkpoint;
mod shard;
mod client;
mod engine;
mod reader;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod internals;
mod resize;

#[cfg(test)]
mod mailbox_test;

pub use answer::{Answer, CompareOutcome, FromMemory, Source};
pub use aquifer_cache::{
    CacheStats, ClassStats, LoadStats, PlanStats, ReadClass, ReadStats, SsdMode, SsdRejections, SsdStats,
    TierStats,
};
pub use aquifer_io::{
    Backend, BackendChoice, IoError, IoErrorKind, IoMetrics, UnknownBackend, block_on, cores_available,
};
pub use aquifer_remote::{Remote, RemoteError, RemoteErrorKind, RemoteOptions, from_object_store, open_url};
pub use bytes::Bytes;
pub use checkpoint_parts::CheckpointInfo;
pub use client::{Client, Scan};
pub use compaction_options::{CompactionBudget, CompactionOptions, RemoteCompaction};
pub use compaction_worker::{WorkerOptions, WorkerReport, compact_store, compact_store_until};
pub use compression_options::{Compression, CompressionOptions};
pub use disk_options::DiskOptions;
pub use engine::Engine;
pub use error::{Corruption, Error, ErrorKind, Result};
pub use key::key_group;
pub use key_ref::{Key, KeyRange};
pub use limits::{
    BATCH_BYTES_MAX, BATCH_WRITES_MAX, CHECKPOINT_METADATA_BYTES_MAX, KEY_BYTES_MAX, KEY_GROUPS_DEFAULT,
    KEY_GROUPS_MAX, MULTI_GET_BYTES_DEFAULT, MULTI_GET_KEYS_MAX, SCAN_ENTRIES_MAX, SNAPSHOTS_MAX,
    VALUE_BYTES_MAX,
};
pub use merge_operator::MergeOperator;
pub use multi_get_options::MultiGetOptions;
pub use object_store;
pub use on_open::{OnOpen, OpenProgress};
pub use options::{CpuPinning, Options, TtlTime};
pub use reader::{Reader, ReaderOptions};
pub use request::Reply;
pub use scan_options::ScanOptions;
pub use scan_page::ScanPage;
pub use shard::Shard;
pub use snapshot::Snapshot;
pub use stats::WarmUpStats;
pub use stats::WriteWait;
pub use stats::{EngineStats, ShardStats};
pub use verify::{VerifyOptions, VerifyProgress, VerifyReport, verify_store};
pub use write::{Expiry, WriteBatch};

/// The store below an engine: types of [`RemoteOptions`], of requests counted and what they cost, and what an own [`Remote`] is made of.
pub mod remote {
    pub use aquifer_remote::{
        Bill, ClassLimit, Content, Cost, HedgeCounters, HedgeOptions, InFlight, LatencySummary, Limits,
        ListPage, NAME_BYTES_MAX, ObjectMeta, ObjectName, OnWait, Operation, Prices, PutOutcome,
        RemoteFuture, RemoteMetrics, ShapeOptions, SizeClass, Stack, Timers, UPLOAD_PART_BYTES_MIN,
        UPLOAD_PARTS_MAX, UnknownPrices, Upload, metered, open_stack, priced, probe_put_if_absent, read_only,
        wrap,
    };
}
