//! A worker as the host of its merges.

use crate::blocks::reader::BlockReader;
use crate::compact::budget::Throttle;
use crate::compact::host::Host;
use crate::compact::job::Job;
use crate::compaction_options::CompactionBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::merge_operator::MergeOperators;
use crate::segment::encoded::EncodedSegment;
use crate::shard_budget::ShardBudget;
use crate::version::Segment;
use aquifer_cache::{Cache, CacheOptions};
use aquifer_remote::Remote;
use std::cell::Cell;
use std::sync::Arc;

/// What a worker's merges run on: a cache in memory, and nobody who reads.
pub(crate) struct WorkerHost {
    pub(crate) blocks: BlockReader,
    operators: MergeOperators,
    merge_bytes: usize,
    cpu_percent: u8,
    uploads: Throttle,
    pub(crate) uploaded_bytes: Cell<u64>,
    /// Merges in which an operator of the embedder panicked.
    pub(crate) operator_panics: Cell<u64>,
}

impl WorkerHost {
    pub(crate) async fn open(
        remote: Arc<dyn Remote>,
        operators: MergeOperators,
        compaction: &CompactionBudget,
        budget: &ShardBudget,
    ) -> Result<Self> {
        let cache = Cache::open(CacheOptions {
            memory_bytes: budget.cache_bytes,
            meta_bytes_max: budget.meta_bytes_max,
            ..CacheOptions::default()
        });
        let cache = cache.await.map_err(|error| Error::new(ErrorKind::Local, error.to_string()))?;
        Ok(Self {
            blocks: BlockReader { cache, remote },
            operators,
            merge_bytes: budget.compaction_bytes,
            cpu_percent: compaction.cpu_percent,
            uploads: Throttle::new(compaction.upload_bytes_per_s, 1),
            uploaded_bytes: Cell::new(0),
            operator_panics: Cell::new(0),
        })
    }
}

impl Host for WorkerHost {
    fn blocks(&self) -> &BlockReader {
        &self.blocks
    }

    fn merge_bytes(&self) -> usize {
        self.merge_bytes
    }

    fn operators(&self) -> &MergeOperators {
        &self.operators
    }

    fn cpu_percent(&self) -> u8 {
        self.cpu_percent
    }

    fn uploads(&self) -> &Throttle {
        &self.uploads
    }

    fn reads(&self) -> u64 {
        0
    }

    fn copied(&self, _bytes: u64) {}

    fn uploaded(&self, bytes: u64) {
        self.uploaded_bytes.set(self.uploaded_bytes.get() + bytes);
    }

    fn met_too_large(&self, _key: &[u8]) {}

    fn panicked(&self, _error: &Error) {
        self.operator_panics.set(self.operator_panics.get() + 1);
    }

    async fn keep(&self, _job: &Job, segment: &Segment, encoded: EncodedSegment) {
        // What is needed to search it: the next job may have it among its inputs.
        self.blocks.cache_written(segment, encoded, |_| None).await;
    }
}
