//! The SSD tier: one file per shard, filled region by region, regions emptied and begun anew oldest first.
//!
//! ```text
//! offer ──> admission ──> tier: index, regions, write buffer ──> writer ──> file        (open, close: the index from there and back)
//! locate ─> Place ─> read ─> complete                 └──> emptier: what is hot moves on, the rest leaves
//! ```
//!
//! [`tier`] decides what is where, [`admission`] what is worth a write; [`mod@format`], [`directory`] and [`snapshot`] know the bytes, [`index`]
//! finds a key. [`pinned`] says what pinned blocks take. I/O is in [`read`], [`writer`], [`emptier`], [`open`], [`resize`] and [`close`].
//!
//! Invariants:
//! * Offers never wait. What the writer cannot take now is rejected; only pinned blocks are waited for ([`Ssd::admit`]).
//! * A read is believed only if header, identity and checksums hold; anything else is a miss, and the entry leaves the index.
//! * An error of a write, or many of reads in a row, switch the tier off, for good, with the reason: the cache goes on without it.

mod origin;
mod sketch;
mod budget;
mod progress;
mod format;
mod index;
mod chunk;
mod directory;
mod layout;
mod entry;
mod offer;
mod source;
mod admission;
mod snapshot;
mod region;
mod tier;
mod shared;
mod recover;
mod open;
mod read;
mod writer;
mod emptier;
mod close;
mod resize;
mod pinned;

#[cfg(test)]
mod index_test;
#[cfg(test)]
mod ssd_test;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
mod tier_test;

use crate::key::{CacheKey, Class};
use crate::rejection::Rejection;
use crate::stats::SsdStats;
pub(crate) use entry::SsdEntry;
use offer::Offer;
pub(crate) use origin::Origin;
pub use pinned::PinSize;
use shared::BUDGET_PAUSE;
pub(crate) use shared::Ssd;
pub(crate) use source::{Source, WhenSpent};

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
