//! Opening an engine whose disk tier is pinned: what is needed is measured first, then all of it becomes local.
//!
//! ```text
//! shards   heads of all segments ──measured──>┐           ┌─go─> fetch and pin what is not there yet ──ready──>
//! engine                                      └─ enough? ─┘      progress, summed over shards
//! ```

use crate::embedder_panics;
use crate::error::{Error, Result};
use crate::on_open::{OnOpen, OpenProgress};
use crate::options::Options;
use crate::shard_budget::ShardBudget;
use aquifer_cache::{CacheOptions, PinSize};
use futures_channel::oneshot;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The sum over all shards, told to whoever listens: it never falls.
pub(crate) struct Progress {
    sum: Mutex<OpenProgress>,
    on_open: Option<OnOpen>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("sum", &self.sum).finish_non_exhaustive()
    }
}

impl Progress {
    fn new(on_open: Option<OnOpen>) -> Self {
        Self { sum: Mutex::new(OpenProgress::default()), on_open }
    }

    fn begin(&self, total_bytes: u64) -> Result<()> {
        self.change(|sum| sum.total_bytes = total_bytes)
    }

    /// # Errors
    /// `Panicked`: whoever listens did.
    pub(crate) fn add(&self, bytes: u64) -> Result<()> {
        self.change(|sum| sum.done_bytes += bytes)
    }

    /// Told under the lock, so that nobody hears of two changes in the wrong order.
    fn change(&self, change: impl FnOnce(&mut OpenProgress)) -> Result<()> {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sum);
        match &self.on_open {
            Some(on_open) => embedder_panics::call(|| "DiskOptions::on_open".to_owned(), || on_open(*sum)),
            None => Ok(()),
        }
    }
}

/// What a shard would have local.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// Stored bytes.
    pub(crate) bytes: u64,
    /// What they take on disk, with room for merges.
    pub(crate) size: PinSize,
}

/// A shard's end of its opening.
#[derive(Debug)]
pub(crate) struct ShardOpening {
    pub(crate) measured: oneshot::Sender<Measured>,
    /// Dropped if the engine is not to be opened.
    pub(crate) go: oneshot::Receiver<()>,
    pub(crate) progress: Arc<Progress>,
}

/// The engine's end of it.
#[derive(Debug)]
pub(crate) struct OpeningProgress {
    progress: Arc<Progress>,
    shards: Vec<(oneshot::Receiver<Measured>, oneshot::Sender<()>)>,
}

impl OpeningProgress {
    pub(crate) fn new(options: &Options) -> Self {
        Self { progress: Arc::new(Progress::new(options.disk.on_open.clone())), shards: Vec::new() }
    }

    /// The end of the next shard.
    pub(crate) fn shard(&mut self) -> ShardOpening {
        let (measured, is_measured) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        self.shards.push((is_measured, go));
        ShardOpening { measured, go: may_go, progress: Arc::clone(&self.progress) }
    }

    /// Waits until all shards have measured, and lets them go on if the disk budget is enough. A shard that failed says so itself.
    ///
    /// # Errors
    /// `Invalid`, with the budget that is needed.
    pub(crate) async fn check(self, options: &Options, budget: &ShardBudget) -> Result<()> {
        let mut all = Measured::default();
        let shards = self.shards.len() as u64;
        let mut waiting = Vec::with_capacity(self.shards.len());
        for (measured, go) in self.shards {
            let Ok(measured) = measured.await else { return Ok(()) };
            all.bytes = all.bytes.saturating_add(measured.bytes);
            // Every shard has the same share of the disk.
            all.size = all.size.max(&measured.size);
            waiting.push(go);
        }
        let cache = CacheOptions {
            disk_bytes: budget.disk_bytes,
            write_buffer_bytes: budget.write_buffer_bytes,
            ..CacheOptions::default()
        };
        if !cache.holds_pinned(&all.size) {
            let needed = cache.disk_bytes_to_pin(&all.size).saturating_mul(shards);
            return Err(Error::invalid(format!(
                "disk.bytes is {}; to keep the {} bytes of this state local, with room for merges, {needed} are needed at least: raise it, or open \
                 with disk.mode BestEffort",
                options.disk.bytes, all.bytes
            )));
        }
        self.progress.begin(all.bytes)?;
        for go in waiting {
            // A shard that has ended meanwhile says so itself.
            let _ = go.send(());
        }
        Ok(())
    }
}
