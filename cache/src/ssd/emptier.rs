//! Empties the oldest region, so that it can be begun anew: what is hot moves to the current region, the rest leaves the index.
//!
//! ```text
//! directory of the region ──> its entries that the index still has ─┬─ hot, hottest first, up to an eighth of a region ──> read, kept
//!                                                                   └─ all others ──> evicted
//! ```
//!
//! Pinned, everything that the index still has is kept, and the region with the most dead in it is taken first.
//! A directory that cannot be read costs one pass over the index, in slices.

use super::budget::Level;
use super::directory::{Record, Trailer};
use super::format::{Entry, PAGE_BYTES, SECTOR_BYTES};
use super::index::{Spot, TABLES};
use super::layout::Layout;
use super::region::Victim;
use super::shared::{BUDGET_PAUSE, Running, Shared};
use crate::rejection::Rejection;
use std::cmp::Reverse;
use std::rc::Rc;

/// The part of a region that is kept, at most: this bounds what keeping adds to the bytes written.
const KEPT_DIVISOR: u64 = 8;
/// What is read of a region's end at once: most directories.
const DIRECTORY_READ_BYTES: u64 = 64 << 10;
/// Kept entries are read together up to this, with gaps between them up to that.
const EXTENT_BYTES_MAX: u64 = 256 << 10;
const GAP_BYTES_MAX: u64 = 16 << 10;
/// Entries handled between two chances for reads to run.
const SLICE: usize = 256;

/// An entry that is to be kept.
#[derive(Clone, Copy, Debug)]
struct Kept {
    hash: u64,
    spot: Spot,
}

impl Kept {
    fn begin(&self) -> u64 {
        self.spot.begin()
    }

    fn bytes(&self) -> u64 {
        self.spot.bytes() as u64
    }
}

impl Shared {
    /// Has a region emptied when it is time, if nobody does yet.
    pub(super) fn start_emptier(self: &Rc<Self>, running: &mut Running) {
        if !running.emptying && !running.paused && running.tier.wants_clean() && running.tier.has_victim() {
            running.emptying = true;
            drop(aquifer_io::spawn_vital(empty_regions(Rc::clone(self))));
        }
    }

    fn with_running<T>(&self, act: impl FnOnce(&mut Running) -> T) -> Option<T> {
        self.running.borrow_mut().as_mut().map(act)
    }

    /// The records of a region; `None` if its directory does not hold.
    pub(super) async fn directory(&self, layout: Layout, victim: Victim) -> Option<Vec<Record>> {
        let end = layout.region_offset(victim.region) + layout.region_bytes;
        let bytes = DIRECTORY_READ_BYTES.min(layout.region_bytes);
        let mut found = self.read_extents(&[(end - bytes, usize::try_from(bytes).ok()?)]).await.pop()??;
        let trailer = Trailer::parse(&found)?;
        if trailer.round != victim.round || trailer.region != victim.region {
            return None;
        }
        let bytes = trailer.directory_bytes();
        if bytes > found.len() {
            if bytes as u64 > layout.region_bytes {
                return None;
            }
            drop(found);
            found = self.read_extents(&[(end - bytes as u64, bytes)]).await.pop()??;
        }
        trailer.records(&found)
    }

    async fn empty(self: &Rc<Self>, victim: Victim) -> Option<()> {
        let (layout, is_pinned) =
            self.with_running(|running| (running.tier.layout, running.tier.is_pinned()))?;
        match self.directory(layout, victim).await {
            Some(records) => {
                let kept = self.choose(victim, &records, is_pinned).await?;
                self.keep(victim, kept).await?;
                if !is_pinned {
                    self.evict(victim, &records).await?;
                }
            }
            None => {
                for table in 0..TABLES {
                    self.with_running(|running| running.tier.sweep(table, |region| region == victim.region))?;
                    aquifer_io::yield_now().await;
                }
            }
        }
        Some(())
    }

    /// What of a region is worth a second write, in the order it lies there.
    async fn choose(&self, victim: Victim, records: &[Record], is_pinned: bool) -> Option<Vec<Kept>> {
        let mut kept = Vec::new();
        for slice in records.chunks(SLICE) {
            self.with_running(|running| {
                for record in slice {
                    let spot = running.tier.live(victim.region, record);
                    let spot = spot.filter(|spot| is_pinned || spot.heat > 0);
                    kept.extend(spot.map(|spot| Kept { hash: record.hash, spot }));
                }
            })?;
            aquifer_io::yield_now().await;
        }
        if !is_pinned {
            let mut left = self.with_running(Running::keeps_bytes)?;
            kept.sort_by_key(|kept| Reverse((kept.spot.heat, kept.spot.sector)));
            kept.retain(|kept| {
                let fits = kept.bytes() <= left;
                left = if fits { left - kept.bytes() } else { 0 };
                fits
            });
        }
        kept.sort_by_key(Kept::begin);
        Some(kept)
    }

    /// Moves entries to the current region.
    async fn keep(self: &Rc<Self>, victim: Victim, kept: Vec<Kept>) -> Option<()> {
        let align = self.with_running(|running| running.file.align_bytes().max(SECTOR_BYTES))? as u64;
        let mut rest = kept.as_slice();
        while let Some(first) = rest.first() {
            let begin = first.begin() - first.begin() % align;
            let mut end = first.begin() + first.bytes();
            let mut together = 1;
            for next in rest.iter().skip(1) {
                let next_end = next.begin() + next.bytes();
                // The last sector of one may be the first of the next.
                if next.begin().saturating_sub(end) > GAP_BYTES_MAX || next_end - begin > EXTENT_BYTES_MAX {
                    break;
                }
                end = end.max(next_end);
                together += 1;
            }
            let (group, after) = rest.split_at_checked(together)?;
            rest = after;
            let bytes = usize::try_from((end - begin).next_multiple_of(align)).ok()?;
            let found = self.read_extents(&[(begin, bytes)]).await.pop().flatten();
            for kept in group {
                let at = usize::try_from(kept.begin() - begin).ok()?;
                let stored = found.as_deref().and_then(|found| found.get(at..)).unwrap_or_default();
                if !self.keep_one(victim, kept, stored).await? {
                    return Some(());
                }
            }
        }
        Some(())
    }

    /// `false`: there is no room for more.
    async fn keep_one(self: &Rc<Self>, victim: Victim, kept: &Kept, stored: &[u8]) -> Option<bool> {
        let entry = Entry::parse(stored).ok().filter(|entry| entry.round == victim.round);
        let entry = entry.filter(|entry| entry.key.hash64() == kept.hash);
        let Some((key, data)) = entry.and_then(|entry| Some((entry.key, entry.data().ok()?))) else {
            self.with_running(|running| running.tier.remove(kept.hash, kept.spot.sector))?;
            self.bad_entry(kept.hash);
            return Some(true);
        };
        loop {
            let seen = self.progress.now();
            if !self.with_running(|running| running.may_write(kept.bytes()))? {
                if self.with_running(|running| running.paused || !running.tier.is_pinned())? {
                    return Some(false);
                }
                aquifer_io::sleep(BUDGET_PAUSE).await;
                continue;
            }
            let outcome = self.with_running(|running| {
                // It may have been removed, or hit once more, meanwhile.
                let spot = running.tier.index.find(kept.hash)?;
                (spot.sector == kept.spot.sector).then(|| running.tier.keep(&key, data, spot))
            })?;
            match outcome {
                None => return Some(true),
                Some(Ok(())) => {
                    self.count(|io| {
                        io.kept_entries += 1;
                        io.kept_bytes += data.len() as u64;
                    });
                    return Some(true);
                }
                Some(Err(Rejection::Behind)) => {
                    self.with_running(|running| {
                        running.tier.seal();
                        self.start_writer(running);
                    })?;
                    self.progress.since(seen).await;
                }
                Some(Err(_)) => return Some(false),
            }
        }
    }

    async fn evict(&self, victim: Victim, records: &[Record]) -> Option<()> {
        for slice in records.chunks(SLICE) {
            self.with_running(|running| {
                for record in slice {
                    let Some(spot) = running.tier.live(victim.region, record) else { continue };
                    if running.tier.evict(record.hash, spot.sector).is_some() {
                        running.admission.ended(record.hash, spot.origin, spot.heat > 0);
                    }
                }
            })?;
            aquifer_io::yield_now().await;
        }
        Some(())
    }
}

impl Running {
    /// Bytes of a region that may be kept.
    fn keeps_bytes(&mut self) -> u64 {
        let bytes = self.tier.layout.region_bytes / KEPT_DIVISOR;
        let promised = self.tier.promised_bytes();
        let level = self.admission.budget.level(bytes + PAGE_BYTES as u64, promised, aquifer_io::now());
        if level >= Level::Half { bytes } else { 0 }
    }

    /// Whether the day's bytes allow one more entry.
    fn may_write(&mut self, bytes: u64) -> bool {
        let promised = self.tier.promised_bytes();
        self.admission.budget.level(bytes, promised, aquifer_io::now()) > Level::Empty
    }
}

/// Empties regions until enough are clean.
async fn empty_regions(shared: Rc<Shared>) {
    loop {
        let victim = shared.with_running(|running| {
            let wants = running.tier.wants_clean() && !running.paused;
            let victim = if wants { running.tier.victim() } else { None };
            running.emptying = victim.is_some();
            victim
        });
        let Some(Some(victim)) = victim else { break };
        if shared.empty(victim).await.is_none() {
            break;
        }
        shared.with_running(|running| {
            running.tier.emptied(victim.region);
            shared.start_writer(running);
        });
        shared.progress.notify();
    }
    shared.progress.notify();
}
