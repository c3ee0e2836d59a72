//! What compaction keeps of a shard between its jobs.

use super::budget::Throttle;
use super::demand::Demand;
use super::job::Job;
use super::read_cost::ReadCost;
use crate::compaction_options::{CompactionBudget, RemoteCompaction};
use crate::options::Options;
use crate::version::SegmentId;
use aquifer_io::Instant;
use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};

/// What compaction keeps of a shard.
#[derive(Debug)]
pub(crate) struct CompactionState {
    pub(crate) budget: CompactionBudget,
    pub(crate) uploads: Throttle,
    pub(crate) disk: Throttle,
    pub(crate) demand: Demand,
    pub(crate) read_cost: ReadCost,
    pub(crate) remote: Option<RemoteCompaction>,
    /// Inputs of jobs that are offered or came back.
    pub(crate) busy: RefCell<HashSet<SegmentId>>,
    /// What range deletions take as a whole: see [`crate::compact::pick::Situation::covered`].
    pub(crate) covered: RefCell<HashSet<(SegmentId, u16)>>,
    pub(crate) offers: Cell<usize>,
    pub(crate) offers_rest_until: Cell<Option<Instant>>,
    /// Jobs that no other process did.
    pub(crate) returned: RefCell<VecDeque<Job>>,
    /// Bytes that flushes make of all key groups between two flushes of the same ones.
    pub(crate) unit_bytes: Cell<u64>,
    /// What the last failure said.
    pub(crate) last_error: RefCell<Option<String>>,
}

impl CompactionState {
    pub(crate) fn new(options: &Options, shards: usize, unit_bytes: usize) -> Self {
        let budget = options.compaction.budget;
        Self {
            budget,
            remote: options.compaction.remote,
            covered: RefCell::new(HashSet::new()),
            offers: Cell::new(0),
            offers_rest_until: Cell::new(None),
            returned: RefCell::new(VecDeque::new()),
            uploads: Throttle::new(budget.upload_bytes_per_s, shards),
            disk: Throttle::new(budget.disk_bytes_per_s, shards),
            demand: Demand::default(),
            read_cost: ReadCost::default(),
            busy: RefCell::new(HashSet::new()),
            unit_bytes: Cell::new(unit_bytes as u64),
            last_error: RefCell::new(None),
        }
    }

    /// Bytes that flushes make of all key groups between two flushes of the same ones, about: a run of that size is a fresh one.
    pub(crate) fn unit_bytes(&self) -> u64 {
        self.unit_bytes.get()
    }

    /// What the last failure said.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.borrow().clone()
    }

    /// A full memtable, all of whose parts would have made `bytes`, became a segment. The unit follows slowly, so that size classes do not
    /// jump.
    pub(crate) fn full_memtable_flushed(&self, bytes: u64) {
        self.unit_bytes.set(((3 * self.unit_bytes.get() + bytes) / 4).max(1));
    }
}
