//! What the tasks of the tier share, and what is there while it runs.

use super::admission::{Admission, Candidate};
use super::format;
use super::offer::Offer;
use super::progress::Progress;
use super::source::Source;
use super::tier::Tier;
use crate::key::{CacheKey, Class};
use crate::options::CacheOptions;
use crate::rejection::Rejection;
use crate::stats::{SsdRejections, TierStats};
use aquifer_io::{File, Task};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long a pinned block waits before it looks again whether the day's bytes came back.
pub(super) const BUDGET_PAUSE: Duration = Duration::from_millis(100);

/// The tier, or the place where one would be.
pub(crate) struct Ssd {
    pub(super) shared: Rc<Shared>,
}

/// What the tasks of the tier share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) options: CacheOptions,
    /// `None`: no tier, or switched off.
    pub(super) running: RefCell<Option<Running>>,
    pub(super) writer: RefCell<Option<Task<()>>>,
    pub(super) io: Cell<IoCounters>,
    pub(super) off_reason: RefCell<Option<Arc<str>>>,
    pub(super) start_note: RefCell<Option<Arc<str>>>,
    pub(super) recovered: Cell<(u64, Duration)>,
    /// What had been counted when the tier was switched off.
    pub(super) last: Cell<(TierStats, SsdRejections, u64)>,
    pub(super) progress: Progress,
}

pub(super) struct Running {
    pub(super) tier: Tier,
    pub(super) admission: Admission,
    pub(super) file: Rc<File>,
    /// A task writes chunks.
    pub(super) writing: bool,
    /// A task waits to write what is offered meanwhile, full chunk or not.
    pub(super) flush_waits: bool,
    /// A task empties regions.
    pub(super) emptying: bool,
    /// A task writes a snapshot of the index.
    pub(super) snapshotting: bool,
    /// Number of the region begun last when the newest snapshot was begun.
    pub(super) snapshot_begun: u64,
    /// Takes nothing in: it is being closed or made smaller.
    pub(super) paused: bool,
}

#[derive(Clone, Copy, Default)]
pub(super) struct IoCounters {
    pub(super) reads: u64,
    pub(super) read_bytes: u64,
    pub(super) wanted_bytes: u64,
    pub(super) writes: u64,
    pub(super) written_bytes: u64,
    pub(super) snapshot_bytes: u64,
    pub(super) bad_entries: u64,
    pub(super) read_errors: u64,
    pub(super) read_errors_in_row: u32,
    pub(super) kept_entries: u64,
    pub(super) kept_bytes: u64,
    pub(super) taken_bytes: u64,
}

impl Running {
    pub(super) fn offer(&mut self, class: Class, key: &CacheKey, data: &[u8], source: Source) -> Offer {
        let hash = key.hash64();
        if self.tier.index.find(hash).is_some() {
            return Offer::Present;
        }
        let bytes = format::entry_bytes(data.len());
        if bytes > self.tier.layout.entry_bytes_max {
            return Offer::Rejected(Rejection::TooLarge);
        }
        let candidate = Candidate {
            hash,
            origin: source.origin,
            // Filters and indexes are few, and every lookup wants them.
            is_hot: source.is_hot || class == Class::Meta,
            bytes: bytes as u64,
            promised: self.tier.promised_bytes(),
        };
        match self.admission.admits(candidate, self.tier.is_full(), aquifer_io::now()) {
            Ok(()) => self.tier.offer(class, key, data, source.origin),
            Err(rejection) => Offer::Rejected(rejection),
        }
    }
}

impl Shared {
    pub(super) fn count(&self, change: impl FnOnce(&mut IoCounters)) {
        let mut io = self.io.get();
        change(&mut io);
        self.io.set(io);
    }

    /// Its block has to be fetched anew, and then belongs on the disk again.
    pub(super) fn bad_entry(&self, hash: u64) {
        self.count(|io| io.bad_entries += 1);
        if let Some(running) = self.running.borrow_mut().as_mut() {
            for _ in 0..4 {
                running.admission.missed(hash);
            }
        }
    }

    /// Whether no region can be begun any more, whatever is waited for.
    pub(super) fn is_stuck(&self) -> bool {
        let mut running = self.running.borrow_mut();
        let Some(running) = running.as_mut() else { return true };
        running.tier.buffer.pending_bytes() == 0 && !running.emptying && !running.tier.has_victim()
    }

    /// The first reason stays.
    pub(super) fn switch_off(&self, reason: &str) {
        if self.stop().is_some() {
            *self.off_reason.borrow_mut() = Some(reason.into());
        }
    }

    pub(super) fn stop(&self) -> Option<Running> {
        let running = self.running.borrow_mut().take()?;
        let mut stats = running.tier.stats;
        for class in [Class::Data, Class::Meta] {
            let class = stats.class_mut(class);
            (class.entries, class.bytes) = (0, 0);
        }
        self.last.set((stats, running.tier.rejections, running.tier.buffer_hits));
        self.progress.notify();
        Some(running)
    }
}
