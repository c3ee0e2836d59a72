//! What is where in the SSD file: index, regions and write buffer. Decides everything, does no I/O.
//!
//! ```text
//!             sealed chunks, oldest first        filling
//! disk ◄───── [ A ] [ B ]                        [ C ... ]      ◄── offer(), keep()
//!             └─ being written
//! region 3:   | written ............ | A | B | C  ...... unused | directory |      next: a clean region
//!
//! region      clean ──begin──> current ──full──> sealed ──victim()──> being emptied ──emptied()──> clean
//! ```
//!
//! An entry gets its final place when it is offered, and is in the index from then on; until its chunk is on disk it is read
//! from the chunk. Chunks are written one at a time in the order they were begun, so a place is never overwritten by an
//! older write.
//!
//! Invariants:
//! * Every place in the index lies in a chunk of the write buffer or in bytes that have been written in the current
//!   generation of its region: a region is begun only when it is clean (none of its entries in the index) and nobody reads from it.
//! * `pending_bytes <= layout.pending_bytes_max`.
//! * Generations only grow.

use super::chunk::{Chunk, WriteBuffer};
use super::directory::{self, Record, directory_bytes};
use super::entry::SsdEntry;
use super::format::{GRAIN_BYTES, PAGE_BYTES, Round, SECTOR_BYTES, append_entry, entry_bytes, entry_data};
use super::index::{Index, SECTORS_MAX, Spot};
use super::layout::Layout;
use super::offer::Offer;
use super::origin::Origin;
use super::region::{Region, State, Victim};
use crate::key::{CacheKey, Class};
use crate::rejection::Rejection;
use crate::stats::{SsdRejections, TierStats};
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::rc::Rc;

/// Where the answer to a lookup is.
pub(super) enum Lookup {
    Miss,
    /// In the write buffer; here is a copy, and the sector that it will be at.
    Buffered(Bytes, u32),
    OnDisk(SsdEntry),
}

/// The state of the SSD tier.
pub(super) struct Tier {
    pub(super) layout: Layout,
    pub(super) stats: TierStats,
    pub(super) rejections: SsdRejections,
    pub(super) buffer_hits: u64,
    pub(super) life: u64,
    pub(super) index: Index,
    pub(super) buffer: WriteBuffer,
    pub(super) regions: Vec<Region>,
    clean: VecDeque<u32>,
    /// Clean regions that only kept entries may begin: pinned, so that emptying a region always has somewhere to put them.
    clean_reserve: usize,
    /// The region being filled, and how far chunks have been begun in it.
    current: Option<u32>,
    cursor: u64,
    pub(super) begun: u64,
    /// Entries of the current region.
    directory: Vec<Record>,
    /// An entry found no region that can be begun.
    is_starved: bool,
}

impl Tier {
    /// An empty tier, or one over what was recovered: `regions` are clean or sealed, `index` has entries of sealed ones only.
    pub(super) fn new(
        layout: Layout,
        life: u64,
        pinned: bool,
        (mut regions, index, begun): (Vec<Region>, Index, u64),
    ) -> Self {
        regions.resize_with(layout.regions as usize, Region::default);
        let clean = (0..)
            .zip(&regions)
            .filter(|(_, region)| region.state == State::Clean)
            .map(|(at, _)| at)
            .collect();
        let mut tier = Self {
            layout,
            stats: TierStats::default(),
            rejections: SsdRejections::default(),
            buffer_hits: 0,
            life,
            index: Index::new(),
            buffer: WriteBuffer::default(),
            regions,
            clean,
            clean_reserve: usize::from(pinned),
            current: None,
            cursor: 0,
            begun,
            directory: Vec::new(),
            is_starved: false,
        };
        let most = u32::try_from(layout.region_bytes / SECTOR_BYTES as u64).unwrap_or(u32::MAX);
        tier.regions.iter_mut().for_each(|region| region.put_sectors = most);
        for table in 0..super::index::TABLES {
            index.slots_after(table, None).for_each(|(_, slot)| tier.count(slot.spot()));
        }
        tier.index = index;
        tier
    }

    /// Where an entry is. Reads of the file are to be aligned to `align_bytes`.
    pub(super) fn lookup(&self, class: Class, key: &CacheKey, align_bytes: usize) -> Lookup {
        let hash = key.hash64();
        let Some(spot) = self.index.find(hash) else { return Lookup::Miss };
        for chunk in self.buffer.chunks() {
            let Some(bytes) = chunk.bytes_at(spot) else { continue };
            let found = entry_data(bytes, chunk.round, key).map(Bytes::copy_from_slice);
            return match found {
                Ok(data) => Lookup::Buffered(data, spot.sector),
                // Another key with the same 43 bits of hash.
                Err(_) => Lookup::Miss,
            };
        }
        let at = self.layout.region_of(spot.sector);
        let Some(region) = self.regions.get(at as usize) else { return Lookup::Miss };
        let round = Round { life: self.life, generation: region.generation };
        Lookup::OnDisk(SsdEntry::new(class, *key, spot, (at, round), align_bytes, Rc::clone(&region.hold)))
    }

    /// Whether what `read` was planned for has not been begun anew since.
    pub(super) fn is_current(&self, read: &SsdEntry) -> bool {
        self.regions
            .get(read.region as usize)
            .is_some_and(|region| region.generation == read.round.generation)
    }

    /// Takes an entry in if there is room for it now.
    pub(super) fn offer(&mut self, class: Class, key: &CacheKey, data: &[u8], origin: Origin) -> Offer {
        if self.index.find(key.hash64()).is_some() {
            return Offer::Present;
        }
        match self.append(key, data, Spot { sector: 0, grain: 0, sectors: 0, class, origin, heat: 0 }, false)
        {
            Ok(()) => {
                self.stats.class_mut(class).inserts += 1;
                Offer::Taken
            }
            Err(rejection) => Offer::Rejected(rejection),
        }
    }

    /// Moves an entry to the current region, out of one that is being emptied. It needs new hits to be kept again.
    pub(super) fn keep(&mut self, key: &CacheKey, data: &[u8], spot: Spot) -> Result<(), Rejection> {
        // Pinned, it only says what is still needed: see `pinned.rs`.
        let heat = if self.is_pinned() { spot.heat } else { spot.heat / 2 };
        self.append(key, data, Spot { heat, ..spot }, true)
    }

    fn append(&mut self, key: &CacheKey, data: &[u8], like: Spot, is_kept: bool) -> Result<(), Rejection> {
        let bytes = entry_bytes(data.len());
        if bytes > self.layout.entry_bytes_max {
            return Err(Rejection::TooLarge);
        }
        self.make_room(bytes, is_kept)?;
        let chunk = self.buffer.filling.as_mut().ok_or(Rejection::Behind)?;
        let offset = chunk.offset + chunk.data.len() as u64;
        let sector = u32::try_from(offset / SECTOR_BYTES as u64).map_err(|_| Rejection::TooLarge)?;
        let (grain, sectors) = grain_and_sectors(offset, bytes).ok_or(Rejection::TooLarge)?;
        append_entry(&mut chunk.data, chunk.round, like.class, key, data);
        debug_assert!(chunk.data.len() <= chunk.capacity);
        let spot = Spot { sector, grain, sectors, ..like };
        let in_region = sector - self.layout.region_sector(chunk.region);
        let hash = key.hash64();
        self.directory.push(Record::new(hash, Spot { sector: in_region, ..spot }));
        if let Some(before) = self.index.insert(hash, spot) {
            self.uncount(before);
        }
        self.count(spot);
        if let Some(region) = self.regions.get_mut(self.layout.region_of(sector) as usize) {
            region.put_sectors += u32::from(spot.own_sectors());
        }
        Ok(())
    }

    /// Takes the entry out if it is still at the place that was read. `hash` is the key's.
    pub(super) fn remove(&mut self, hash: u64, sector: u32) -> Option<Spot> {
        let removed = self.index.remove(hash, sector)?;
        self.uncount(removed);
        Some(removed)
    }

    /// Takes the entry out wherever it is, and writes that down nowhere.
    pub(super) fn remove_unwritten(&mut self, key: &CacheKey) {
        let hash = key.hash64();
        if let Some(spot) = self.index.find(hash) {
            self.remove(hash, spot.sector);
        }
    }

    /// Takes the entry out wherever it is.
    pub(super) fn remove_key(&mut self, key: &CacheKey) -> bool {
        let hash = key.hash64();
        let removed = self.index.find(hash).is_some_and(|spot| self.remove(hash, spot.sector).is_some());
        // Written down where there is room for it, so that it does not come back with an older directory.
        let filled = self.buffer.filling.as_ref().map_or(0, |chunk| chunk.capacity) as u64;
        let records = self.directory.len() + 1;
        let end = self.cursor + filled + directory_bytes(records) as u64;
        if removed
            && self.current.is_some()
            && records <= self.layout.records_max
            && end <= self.layout.region_bytes
        {
            self.directory.push(Record::removed(hash));
        }
        removed
    }

    /// Whether every region has been filled before: from here on taking one in pushes another out.
    pub(super) fn is_full(&self) -> bool {
        !self
            .clean
            .iter()
            .any(|&at| self.regions.get(at as usize).is_some_and(|region| region.generation == 0))
    }

    pub(super) fn index_bytes(&self) -> usize {
        self.index.memory_bytes()
            + self.directory.capacity() * size_of::<Record>()
            + self.regions.capacity() * size_of::<Region>()
    }

    /// Makes the chunk being filled one that has `bytes` free, or says why that cannot be done now.
    fn make_room(&mut self, bytes: usize, is_kept: bool) -> Result<(), Rejection> {
        let region_bytes = self.layout.region_bytes;
        let directory = directory_bytes(self.directory.len() + 1) as u64;
        let has_record = self.directory.len() < self.layout.records_max;
        let filled = self.buffer.filling.as_ref().map_or(0, |chunk| chunk.data.len());
        let end = self.cursor + (filled + bytes).next_multiple_of(PAGE_BYTES) as u64 + directory;
        let free = self.buffer.filling.as_ref().map_or(0, |chunk| chunk.capacity - filled);
        if has_record && free >= bytes && end <= region_bytes {
            return Ok(());
        }
        let cursor = self.cursor + filled.next_multiple_of(PAGE_BYTES) as u64;
        let left = region_bytes.saturating_sub(cursor + directory);
        let entry = bytes.next_multiple_of(PAGE_BYTES) as u64;
        let stays = self.current.is_some() && has_record && entry <= left;
        // A region change writes the directory of the one and the trailer of the other.
        let sealing = self.current.map_or(0, |_| directory_bytes(self.directory.len()) as u64);
        let (left, more) =
            if stays { (left, 0) } else { (region_bytes - PAGE_BYTES as u64, sealing + PAGE_BYTES as u64) };
        let capacity = entry.max(self.layout.chunk_bytes.min(left));
        if self.buffer.pending_bytes() + more + capacity > self.layout.pending_bytes_max {
            return Err(Rejection::Behind);
        }
        let capacity = usize::try_from(capacity).map_err(|_| Rejection::TooLarge)?;
        if stays {
            self.seal();
        } else {
            let next = self.clean_region(is_kept);
            self.is_starved = next.is_none();
            let next = next.ok_or(Rejection::NoRegion)?;
            self.seal_region();
            self.begin_region(next);
        }
        let region = self.current.ok_or(Rejection::NoRegion)?;
        let data = self.buffer.memory(capacity);
        self.buffer.filling = Some(Chunk {
            region,
            round: self.round(region),
            offset: self.layout.region_offset(region) + self.cursor,
            capacity,
            data,
        });
        Ok(())
    }

    fn round(&self, region: u32) -> Round {
        let generation = self.regions.get(region as usize).map_or(0, |region| region.generation);
        Round { life: self.life, generation }
    }

    /// Ends the chunk being filled: it can be written as it is.
    pub(super) fn seal(&mut self) {
        self.cursor += self.buffer.seal() as u64;
    }

    /// Ends the current region: what it holds is written down at its end.
    pub(super) fn seal_region(&mut self) {
        self.seal();
        let Some(region) = self.current.take() else { return };
        let records = std::mem::take(&mut self.directory);
        self.push_directory(region, &records);
        self.directory = records;
        self.directory.clear();
        self.cursor = 0;
        self.set_state(region, State::Sealed);
    }

    /// Has the directory of a region written.
    pub(super) fn push_directory(&mut self, region: u32, records: &[Record]) {
        let round = self.round(region);
        let mut data = Vec::new();
        directory::sealed(&mut data, region, round, records);
        let end = self.layout.region_offset(region) + self.layout.region_bytes;
        let (offset, capacity) = (end - data.len() as u64, data.len());
        self.buffer.push(Chunk { region, round, offset, capacity, data });
    }

    fn begin_region(&mut self, at: u32) {
        self.clean.retain(|&clean| clean != at);
        self.begun += 1;
        self.current = Some(at);
        self.cursor = 0;
        self.directory.clear();
        if let Some(region) = self.regions.get_mut(at as usize) {
            debug_assert!(region.live_entries == 0 && !region.is_held());
            (region.generation, region.state) = (self.begun, State::Current);
            region.put_sectors = 0;
        }
        let round = self.round(at);
        let mut data = Vec::with_capacity(PAGE_BYTES);
        directory::begun(&mut data, at, round);
        let offset = self.layout.region_offset(at) + self.layout.region_bytes - PAGE_BYTES as u64;
        self.buffer.push(Chunk { region: at, round, offset, capacity: PAGE_BYTES, data });
    }

    /// A region that may be begun now.
    fn clean_region(&self, is_kept: bool) -> Option<u32> {
        if !is_kept && self.clean.len() <= self.clean_reserve {
            return None;
        }
        let is_free = |at: &&u32| self.regions.get(**at as usize).is_some_and(|region| !region.is_held());
        self.clean.iter().find(is_free).copied()
    }

    /// Whether it is time to empty a region.
    pub(super) fn wants_clean(&self) -> bool {
        let filled = self.buffer.filling.as_ref().map_or(0, |chunk| chunk.data.len()) as u64;
        let is_half = self.current.is_none() || self.cursor + filled >= self.layout.region_bytes / 2;
        self.clean.len() <= self.clean_reserve && (is_half || self.is_starved || self.is_pinned())
    }

    /// Whether entries are kept until they are removed.
    pub(super) fn is_pinned(&self) -> bool {
        self.clean_reserve > 0
    }

    /// What is taken in and not written yet, with all that follows from it.
    pub(super) fn promised_bytes(&self) -> u64 {
        let waiting = self.buffer.chunks().map(|chunk| chunk.write_bytes() as u64).sum::<u64>();
        waiting + directory_bytes(self.directory.len() + 1) as u64 + 2 * PAGE_BYTES as u64
    }

    /// Whether there is a region that may be emptied now.
    pub(super) fn has_victim(&self) -> bool {
        self.choose_victim().is_some()
    }

    /// The region to be emptied next: the oldest; pinned, the one with the most dead in it, if that is worth it.
    pub(super) fn victim(&mut self) -> Option<Victim> {
        let region = self.choose_victim()?;
        self.set_state(region, State::Emptying);
        Some(Victim { region, round: self.round(region) })
    }

    fn choose_victim(&self) -> Option<u32> {
        let sealed = (0..).zip(&self.regions).filter(|(_, region)| region.state == State::Sealed);
        let (at, region): (u32, _) = if self.is_pinned() {
            sealed.max_by_key(|(_, region)| (region.dead_sectors(), Reverse(region.generation)))?
        } else {
            sealed.min_by_key(|(_, region)| region.generation)?
        };
        // To move everything for nothing would never end.
        let pays = !self.is_pinned() || region.dead_sectors() > region.put_sectors / 16;
        // What waits to be written there must be written first.
        (pays && !self.buffer.holds(at)).then_some(at)
    }

    /// The entry of a record, if it is still in the index at that very place.
    pub(super) fn live(&self, region: u32, record: &Record) -> Option<Spot> {
        let sector = self.layout.region_sector(region).checked_add(record.spot().sector)?;
        self.index.find(record.hash).filter(|spot| spot.sector == sector)
    }

    /// Pushes an entry out to make room; what it was.
    pub(super) fn evict(&mut self, hash: u64, sector: u32) -> Option<Spot> {
        let spot = self.remove(hash, sector)?;
        self.stats.class_mut(spot.class).evictions += 1;
        Some(spot)
    }

    /// Takes all entries of some regions out of one table of the index: for a region whose directory is lost, or that is given up.
    pub(super) fn sweep(&mut self, table: usize, is_swept: impl Fn(u32) -> bool) {
        let layout = self.layout;
        self.sweep_spots(table, |spot| is_swept(layout.region_of(spot.sector)));
    }

    /// Takes all entries that nobody hit out of one table of the index.
    pub(super) fn sweep_cold(&mut self, table: usize) {
        self.sweep_spots(table, |spot| spot.heat == 0);
    }

    fn sweep_spots(&mut self, table: usize, is_swept: impl Fn(Spot) -> bool) {
        let mut gone = Vec::new();
        self.index.retain(table, |spot| !is_swept(spot), |spot| gone.push(spot));
        for spot in gone {
            self.uncount(spot);
            self.stats.class_mut(spot.class).evictions += 1;
        }
    }

    /// A region that was to be emptied has nothing left in the index, or goes on as it is.
    pub(super) fn emptied(&mut self, region: u32) {
        let Some(state) = self.regions.get_mut(region as usize).filter(|at| at.state == State::Emptying)
        else {
            return;
        };
        if state.live_entries == 0 {
            state.state = State::Clean;
            self.clean.push_back(region);
        } else {
            state.state = State::Sealed;
        }
    }

    /// Goes on with other regions: more are clean, what is beyond the new end is forgotten. The caller sweeps the index, and waits until
    /// nobody holds the regions that are handed back.
    pub(super) fn resize(&mut self, layout: Layout) -> Vec<Region> {
        if self.current.is_some_and(|current| current >= layout.regions) {
            self.seal();
            self.current = None;
            self.directory.clear();
            self.cursor = 0;
        }
        let kept = (layout.regions as usize).min(self.regions.len());
        let given_up = self.regions.split_off(kept);
        self.clean.retain(|&at| at < layout.regions);
        let added = u32::try_from(kept).unwrap_or(u32::MAX)..layout.regions;
        self.clean.extend(added);
        self.regions.resize_with(layout.regions as usize, Region::default);
        self.layout = layout;
        given_up
    }

    fn set_state(&mut self, region: u32, state: State) {
        if let Some(region) = self.regions.get_mut(region as usize) {
            region.state = state;
        }
    }

    fn count(&mut self, spot: Spot) {
        let stats = self.stats.class_mut(spot.class);
        stats.entries += 1;
        stats.bytes += u64::from(spot.own_sectors()) * SECTOR_BYTES as u64;
        let region = self.layout.region_of(spot.sector);
        if let Some(region) = self.regions.get_mut(region as usize) {
            region.live_sectors += u32::from(spot.own_sectors());
            region.live_entries += 1;
        }
    }

    fn uncount(&mut self, spot: Spot) {
        let stats = self.stats.class_mut(spot.class);
        stats.entries = stats.entries.saturating_sub(1);
        stats.bytes = stats.bytes.saturating_sub(u64::from(spot.own_sectors()) * SECTOR_BYTES as u64);
        let region = self.layout.region_of(spot.sector);
        if let Some(region) = self.regions.get_mut(region as usize) {
            region.live_sectors = region.live_sectors.saturating_sub(u32::from(spot.own_sectors()));
            region.live_entries = region.live_entries.saturating_sub(1);
        }
    }
}

/// Where in its sector an entry begins that lies at `offset`, and how many sectors hold a part of it; `None` if those are too many.
pub(super) fn grain_and_sectors(offset: u64, bytes: usize) -> Option<(u8, u16)> {
    let within = usize::try_from(offset % SECTOR_BYTES as u64).ok()?;
    let sectors = u16::try_from((within + bytes).div_ceil(SECTOR_BYTES)).ok()?;
    let grain = u8::try_from(within / GRAIN_BYTES).ok()?;
    (sectors <= SECTORS_MAX).then_some((grain, sectors))
}
