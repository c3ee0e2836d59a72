//! The budgets of a running engine: what it may take of memory and disk, and how that is changed.

use crate::options::Options;
use crate::shard_budget::ShardBudget;
use aquifer_io::DirLock;
use std::path::PathBuf;
use std::sync::Mutex;

/// What an engine may take now. Changes reach all mailboxes in one order.
#[derive(Debug)]
pub(crate) struct Budgets {
    pub(crate) local_dir: Option<PathBuf>,
    pub(crate) now: Mutex<Now>,
}

#[derive(Debug)]
pub(crate) struct Now {
    pub(crate) shard: ShardBudget,
    /// Held from the first use of the local folder until the threads are gone.
    pub(crate) lock: Option<DirLock>,
}

impl Budgets {
    pub(crate) fn new(options: &Options, shard: ShardBudget, lock: Option<DirLock>) -> Self {
        Self { local_dir: options.disk.dir.clone(), now: Mutex::new(Now { shard, lock }) }
    }
}
