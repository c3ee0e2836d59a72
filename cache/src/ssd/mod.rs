//! The SSD tier: one file per shard, filled region by region, regions emptied and begun anew oldest first.
//!
//! ```text
//! offer ──> admission ──> tier: index, regions, write buffer ──> writer ──> file        (open, close: the index from there and back)
//! locate ─> Place ─> read ─> complete                 └──> emptier: what is hot moves on, the rest leaves
//! ```
//!
//! [`tier`] decides what is where, [`admission`] what is worth a write; [`format`], [`directory`] and [`snapshot`] know the bytes, [`index`]
//! finds a key. [`pinned`] says what pinned blocks take. I/O is in [`read`], [`writer`], [`emptier`], [`open`], [`resize`] and [`close`].
//!
//! Invariants:
//! * Offers never wait. What the writer cannot take now is rejected; only pinned blocks are waited for ([`Ssd::admit`]).
//! * A read is believed only if header, identity and checksums hold; anything else is a miss, and the entry leaves the index.
//! * An error of a write, or many of reads in a row, switch the tier off, for good, with the reason: the cache goes on without it.

mod admission;
mod budget;
mod chunk;
mod close;
mod directory;
mod emptier;
mod format;
mod index;
mod layout;
mod open;
mod origin;
mod pinned;
mod place;
mod progress;
mod read;
mod recover;
mod resize;
mod sketch;
mod snapshot;
mod tier;
mod writer;

#[cfg(test)]
mod index_test;
#[cfg(test)]
mod ssd_test;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
mod tier_test;

use crate::key::{CacheKey, Class, ReadClass};
use crate::options::CacheOptions;
use crate::stats::{SsdRejections, SsdStats, TierStats};
use admission::{Admission, Candidate};
use aquifer_io::{File, Task};
pub(crate) use layout::Layout;
pub(crate) use origin::Origin;
pub use pinned::PinSize;
pub(crate) use place::Place;
use progress::Progress;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tier::Tier;
pub(crate) use tier::{Offer, Rejection};

/// How long a pinned block waits before it looks again whether the day's bytes came back.
const BUDGET_PAUSE: Duration = Duration::from_millis(100);

/// What becomes of an offer that waits when the day's bytes are spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenSpent {
    /// It waits until they come back.
    Wait,
    GiveUp,
}

/// The tier, or the place where one would be.
pub(crate) struct Ssd {
    shared: Rc<Shared>,
}

/// What the tasks of the tier share.
#[derive(Default)]
struct Shared {
    options: CacheOptions,
    /// `None`: no tier, or switched off.
    running: RefCell<Option<Running>>,
    writer: RefCell<Option<Task<()>>>,
    io: Cell<IoCounters>,
    off_reason: RefCell<Option<Arc<str>>>,
    start_note: RefCell<Option<Arc<str>>>,
    recovered: Cell<(u64, Duration)>,
    /// What had been counted when the tier was switched off.
    last: Cell<(TierStats, SsdRejections, u64)>,
    progress: Progress,
}

struct Running {
    tier: Tier,
    admission: Admission,
    file: Rc<File>,
    /// A task writes chunks.
    writing: bool,
    /// A task waits to write what is offered meanwhile, full chunk or not.
    flush_waits: bool,
    /// A task empties regions.
    emptying: bool,
    /// A task writes a snapshot of the index.
    snapshotting: bool,
    /// Number of the region begun last when the newest snapshot was begun.
    snapshot_begun: u64,
    /// Takes nothing in: it is being closed or made smaller.
    paused: bool,
}

#[derive(Clone, Copy, Default)]
struct IoCounters {
    reads: u64,
    read_bytes: u64,
    wanted_bytes: u64,
    writes: u64,
    written_bytes: u64,
    snapshot_bytes: u64,
    bad_entries: u64,
    read_errors: u64,
    read_errors_in_row: u32,
    kept_entries: u64,
    kept_bytes: u64,
    taken_bytes: u64,
}

/// A block that is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) origin: Origin,
    /// It stands for blocks that were in use.
    pub(crate) is_hot: bool,
}

impl Source {
    /// Fetched for a reader.
    pub(crate) const READ: Self = Self { origin: Origin::Read, is_hot: false };
    /// Fetched before anybody asked for it, because it was in use elsewhere.
    pub(crate) const AHEAD: Self = Self { origin: Origin::Ahead, is_hot: true };

    /// What was fetched for a class of readers; `None`: it is not offered.
    pub(crate) const fn of_reads(reads: ReadClass) -> Option<Self> {
        match reads {
            // A scan is no sign of use, and frequency tells: a block that is read ahead once is not taken in by a tier that is full.
            ReadClass::Foreground | ReadClass::ReadAhead => Some(Self::READ),
            ReadClass::WarmUp => Some(Self::AHEAD),
            // What a merge reads is about to be gone.
            ReadClass::Compaction => None,
        }
    }
}

impl Ssd {
    /// Takes a copy of the entry if it is worth it and the writer can take it now. Never waits.
    pub(crate) fn offer(&self, class: Class, key: &CacheKey, data: &[u8], source: Source) -> Offer {
        let mut running = self.shared.running.borrow_mut();
        let Some(running) = running.as_mut().filter(|running| !running.paused) else {
            return Offer::Rejected(Rejection::Off);
        };
        let offer = running.offer(class, key, data, source);
        match offer {
            Offer::Present => {}
            Offer::Taken => {
                self.shared.count(|io| io.taken_bytes += data.len() as u64);
                self.shared.start_writer(running);
                self.shared.start_flush(running);
                self.shared.start_emptier(running);
            }
            Offer::Rejected(rejection) => {
                running.tier.stats.class_mut(class).rejections += 1;
                running.tier.rejections.count(rejection);
                if matches!(rejection, Rejection::Behind | Rejection::NoRegion) {
                    self.shared.start_early(running);
                    self.shared.start_emptier(running);
                }
            }
        }
        offer
    }

    /// Takes the entry in, however long that takes. For what is pinned: rejected only if it can never be taken (too large, no tier, or
    /// every region is full of pinned blocks).
    pub(crate) async fn admit(
        &self,
        class: Class,
        key: &CacheKey,
        data: &[u8],
        source: Source,
        when_spent: WhenSpent,
    ) -> Result<(), Rejection> {
        loop {
            let seen = self.shared.progress.now();
            match self.offer(class, key, data, source) {
                Offer::Taken | Offer::Present => return Ok(()),
                Offer::Rejected(Rejection::Budget) if when_spent == WhenSpent::Wait => {
                    aquifer_io::sleep(BUDGET_PAUSE).await;
                }
                Offer::Rejected(rejection @ (Rejection::Behind | Rejection::NoRegion)) => {
                    if rejection == Rejection::NoRegion && self.shared.is_stuck() {
                        return Err(rejection);
                    }
                    self.shared.progress.since(seen).await;
                }
                Offer::Rejected(rejection) => return Err(rejection),
            }
        }
    }

    /// Whether the entry is there, and how often it was hit since it was written, 0 to 3.
    pub(crate) fn heat(&self, key: &CacheKey) -> Option<u8> {
        let running = self.shared.running.borrow();
        running.as_ref()?.tier.index.find(key.hash64()).map(|spot| spot.heat)
    }

    pub(crate) fn remove(&self, key: &CacheKey) {
        if let Some(running) = self.shared.running.borrow_mut().as_mut() {
            running.tier.remove_key(key);
        }
    }

    /// The bytes had the right checksums and still are no block: out with them.
    pub(crate) fn remove_bad(&self, key: &CacheKey) {
        self.remove(key);
        self.shared.bad_entry(key.hash64());
    }

    pub(crate) fn stats(&self) -> SsdStats {
        let io = self.shared.io.get();
        let (tier, rejections, buffer_hits) = self.shared.last.get();
        let (recovered_entries, recovery) = self.shared.recovered.get();
        let mut stats = SsdStats {
            tier,
            rejections,
            buffer_hits,
            reads: io.reads,
            read_bytes: io.read_bytes,
            wanted_bytes: io.wanted_bytes,
            writes: io.writes,
            written_bytes: io.written_bytes,
            snapshot_bytes: io.snapshot_bytes,
            taken_bytes: io.taken_bytes,
            kept_entries: io.kept_entries,
            kept_bytes: io.kept_bytes,
            bad_entries: io.bad_entries,
            read_errors: io.read_errors,
            recovered_entries,
            recovery_ms: u64::try_from(recovery.as_millis()).unwrap_or(u64::MAX),
            start_note: self.shared.start_note.borrow().clone(),
            off_reason: self.shared.off_reason.borrow().clone(),
            ..SsdStats::default()
        };
        if let Some(running) = self.shared.running.borrow().as_ref() {
            let percent = |origin| running.admission.origins.used_percent(origin);
            stats.tier = running.tier.stats;
            stats.rejections = running.tier.rejections;
            stats.buffer_hits = running.tier.buffer_hits;
            stats.file_bytes = running.tier.layout.file_bytes();
            stats.index_bytes = (running.tier.index_bytes() + running.admission.memory_bytes()) as u64;
            stats.pending_bytes = running.tier.buffer.pending_bytes();
            stats.queued_bytes = running.tier.buffer.sealed_bytes();
            stats.flushed_used_percent = percent(Origin::Flushed);
            stats.compacted_used_percent = percent(Origin::Compacted);
            stats.fetched_used_percent = percent(Origin::Read);
        }
        stats
    }

    /// Ends the tier without waiting for anything. The file can be gone on with as after a crash.
    pub(crate) fn stop(&self) {
        drop(self.shared.stop());
    }
}

impl Running {
    fn offer(&mut self, class: Class, key: &CacheKey, data: &[u8], source: Source) -> Offer {
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
    fn count(&self, change: impl FnOnce(&mut IoCounters)) {
        let mut io = self.io.get();
        change(&mut io);
        self.io.set(io);
    }

    /// Its block has to be fetched anew, and then belongs on the disk again.
    fn bad_entry(&self, hash: u64) {
        self.count(|io| io.bad_entries += 1);
        if let Some(running) = self.running.borrow_mut().as_mut() {
            for _ in 0..4 {
                running.admission.missed(hash);
            }
        }
    }

    /// Whether no region can be begun any more, whatever is waited for.
    fn is_stuck(&self) -> bool {
        let mut running = self.running.borrow_mut();
        let Some(running) = running.as_mut() else { return true };
        running.tier.buffer.pending_bytes() == 0 && !running.emptying && !running.tier.has_victim()
    }

    /// The first reason stays.
    fn switch_off(&self, reason: &str) {
        if self.stop().is_some() {
            *self.off_reason.borrow_mut() = Some(reason.into());
        }
    }

    fn stop(&self) -> Option<Running> {
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
