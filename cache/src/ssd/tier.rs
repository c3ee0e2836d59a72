//! What is where in the SSD file: index, regions and write buffer. Decides everything, does no I/O.
//!
//! ```text
//!             sealed chunks, oldest first        filling
//! disk ◄───── [ A ] [ B ]                        [ C ... ]      ◄── offer()
//!             └─ being written
//! region 3:   | written ............ | A | B | C  ...... unused |      next: region 4, the oldest
//! ```
//!
//! An entry gets its final place when it is offered, and is in the index from then on; until its chunk is on disk it is read
//! from the chunk. Chunks are written one at a time in the order they were begun, so a place is never overwritten by an
//! older write.
//!
//! Invariants:
//! * Every place in the index lies in a chunk of the write buffer or in bytes that have been written in the current
//!   generation of its region: beginning a region takes all its entries out of the index first.
//! * `pending_bytes <= layout.pending_bytes_max`.
//! * Generations only grow; a read that began in an older generation of its region is not believed.

use super::format::{PAGE_BYTES, Round, SECTOR_BYTES, append_entry, entry_bytes, entry_data};
use super::index::{Index, Spot, tag};
use super::layout::Layout;
use super::place::Place;
use crate::key::{CacheKey, Class};
use crate::stats::TierStats;
use bytes::Bytes;
use std::collections::VecDeque;
use std::rc::Rc;

/// One region of the file.
#[derive(Default)]
struct Region {
    /// 0: never begun.
    generation: u64,
    /// Tags of the entries put here in this generation; some may have left the index since.
    tags: Vec<u32>,
    /// Clones of it are the places that are being read: the region is not begun anew until they are gone.
    hold: Rc<()>,
}

/// Neighbouring entries that are written at once.
pub(super) struct Chunk {
    region: u32,
    round: Round,
    /// Where it begins in the file; a multiple of 4096.
    pub(super) offset: u64,
    capacity: usize,
    data: Vec<u8>,
}

impl Chunk {
    /// Bytes to write: whole pages.
    pub(super) fn write_bytes(&self) -> usize {
        self.data.len().next_multiple_of(PAGE_BYTES)
    }

    /// Copies the chunk into `buffer`, zeros after it.
    pub(super) fn copy_to(&self, buffer: &mut [u8]) {
        let (data, padding) = buffer.split_at_mut(self.data.len().min(buffer.len()));
        data.copy_from_slice(self.data.get(..data.len()).unwrap_or_default());
        padding.fill(0);
    }

    fn bytes_at(&self, place: Spot) -> Option<&[u8]> {
        let offset = u64::from(place.sector) * SECTOR_BYTES as u64;
        let begin = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        self.data.get(begin..begin + usize::from(place.sectors) * SECTOR_BYTES)
    }
}

/// Where the answer to a lookup is.
pub(super) enum Lookup {
    Miss,
    /// In the write buffer; here is a copy.
    Buffered(Bytes),
    OnDisk(Place),
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Taken,
    /// It is there already.
    Present,
    /// Too large, or the writer is behind.
    Rejected,
}

/// The state of the SSD tier.
pub(super) struct Tier {
    pub(super) layout: Layout,
    pub(super) stats: TierStats,
    pub(super) buffer_hits: u64,
    life: u64,
    index: Index,
    regions: Vec<Region>,
    /// Room for tags in all regions together.
    tags_capacity: usize,
    /// The region being filled, and how far chunks have been begun in it.
    current: u32,
    cursor: u64,
    begun: u64,
    filling: Option<Chunk>,
    sealed: VecDeque<Chunk>,
    sealed_bytes: u64,
    /// Memory of the last chunk written, for the next one: fresh pages are dear.
    spare: Vec<u8>,
}

impl Tier {
    pub(super) fn new(layout: Layout, life: u64) -> Self {
        let mut regions = Vec::new();
        regions.resize_with(layout.regions as usize, Region::default);
        let mut tier = Self {
            layout,
            stats: TierStats::default(),
            buffer_hits: 0,
            life,
            index: Index::new(),
            regions,
            tags_capacity: 0,
            current: 0,
            cursor: 0,
            begun: 0,
            filling: None,
            sealed: VecDeque::new(),
            sealed_bytes: 0,
            spare: Vec::new(),
        };
        tier.begin_region(0);
        tier
    }

    /// Where an entry is. Reads of the file are to be aligned to `align_bytes`.
    pub(super) fn lookup(&mut self, class: Class, key: &CacheKey, align_bytes: usize) -> Lookup {
        let hash = key.hash64();
        let Some(spot) = self.index.find(hash) else { return Lookup::Miss };
        // Newest first: when the file is very small, a region may be begun again while a chunk of its last round waits.
        let chunks = self.filling.iter().chain(self.sealed.iter().rev());
        for chunk in chunks {
            let Some(bytes) = chunk.bytes_at(spot) else { continue };
            let found = entry_data(bytes, chunk.round, key).map(Bytes::copy_from_slice);
            return match found {
                Ok(data) => {
                    self.buffer_hits += 1;
                    Lookup::Buffered(data)
                }
                // Another key with the same 47 bits of hash.
                Err(_) => Lookup::Miss,
            };
        }
        let at = self.layout.region_of(spot.sector);
        let Some(region) = self.regions.get(at as usize) else { return Lookup::Miss };
        let round = Round { life: self.life, generation: region.generation };
        Lookup::OnDisk(Place::new(class, *key, spot, (at, round), align_bytes, Rc::clone(&region.hold)))
    }

    /// Whether what `read` was planned for has not been begun anew since.
    pub(super) fn is_current(&self, read: &Place) -> bool {
        self.generation(read.region) == read.round.generation
    }

    /// Takes an entry in if there is room for it now.
    pub(super) fn offer(&mut self, class: Class, key: &CacheKey, data: &[u8]) -> Offer {
        let hash = key.hash64();
        if self.index.find(hash).is_some() {
            return Offer::Present;
        }
        let bytes = entry_bytes(data.len());
        if bytes > self.layout.entry_bytes_max || !self.make_room(bytes) {
            self.stats.class_mut(class).rejections += 1;
            return Offer::Rejected;
        }
        let Some(chunk) = &mut self.filling else { return Offer::Rejected };
        let offset = chunk.offset + chunk.data.len() as u64;
        let sector = u32::try_from(offset / SECTOR_BYTES as u64);
        let sectors = u16::try_from(bytes / SECTOR_BYTES);
        let (Ok(sector), Ok(sectors)) = (sector, sectors) else { return Offer::Rejected };
        append_entry(&mut chunk.data, chunk.round, class, key, data);
        debug_assert!(chunk.data.len() <= chunk.capacity);
        if let Some(region) = self.regions.get_mut(chunk.region as usize) {
            let before = region.tags.capacity();
            region.tags.push(tag(hash));
            self.tags_capacity += region.tags.capacity() - before;
        }
        self.index.insert(hash, Spot { sector, sectors, class });
        let stats = self.stats.class_mut(class);
        stats.inserts += 1;
        stats.entries += 1;
        stats.bytes += bytes as u64;
        Offer::Taken
    }

    /// Takes the entry out if it is still at the place that was read. `hash` is the key's.
    pub(super) fn remove(&mut self, hash: u64, sector: u32) -> bool {
        let removed = self.index.remove(hash, sector);
        if let Some(place) = removed {
            self.uncount(place);
        }
        removed.is_some()
    }

    /// Takes the entry out wherever it is.
    pub(super) fn remove_key(&mut self, key: &CacheKey) -> bool {
        let hash = key.hash64();
        self.index.find(hash).is_some_and(|place| self.remove(hash, place.sector))
    }

    /// The chunk to write next. It stays here, and is read from, until [`Tier::written`].
    pub(super) fn next_chunk(&mut self) -> Option<&Chunk> {
        // A chunk whose region has been begun anew holds nothing that the index still names.
        while self.sealed.front().is_some_and(|chunk| self.generation(chunk.region) != chunk.round.generation)
        {
            self.drop_oldest();
        }
        self.sealed.front()
    }

    /// The chunk being written.
    pub(super) fn oldest_chunk(&self) -> Option<&Chunk> {
        self.sealed.front()
    }

    /// The oldest chunk is on disk.
    pub(super) fn written(&mut self) {
        self.drop_oldest();
    }

    pub(super) fn index_bytes(&self) -> usize {
        self.index.memory_bytes()
            + self.tags_capacity * size_of::<u32>()
            + self.regions.capacity() * size_of::<Region>()
    }

    pub(super) fn pending_bytes(&self) -> u64 {
        self.sealed_bytes + self.filling.as_ref().map_or(0, |chunk| chunk.capacity as u64)
    }

    pub(super) fn queued_bytes(&self) -> u64 {
        self.sealed_bytes
    }

    /// Makes `filling` a chunk that has `bytes` free, or says that it cannot be done now.
    fn make_room(&mut self, bytes: usize) -> bool {
        let mut cursor = self.cursor;
        if let Some(chunk) = &self.filling {
            if chunk.capacity - chunk.data.len() >= bytes {
                return true;
            }
            cursor += chunk.write_bytes() as u64;
        }
        let remaining = self.layout.region_bytes - cursor;
        let entry = bytes.next_multiple_of(PAGE_BYTES) as u64;
        let next_region = entry > remaining;
        let remaining = if next_region { self.layout.region_bytes } else { remaining };
        let capacity = entry.max(self.layout.chunk_bytes.min(remaining));
        if next_region && self.is_held((self.current + 1) % self.layout.regions) {
            return false;
        }
        let pending = self.pending_bytes() + capacity;
        let Ok(capacity) = usize::try_from(capacity) else { return false };
        if pending > self.layout.pending_bytes_max {
            return false;
        }
        self.seal();
        if next_region {
            self.begin_region((self.current + 1) % self.layout.regions);
        }
        let mut data = std::mem::take(&mut self.spare);
        data.reserve_exact(capacity);
        self.filling = Some(Chunk {
            region: self.current,
            round: Round { life: self.life, generation: self.generation(self.current) },
            offset: self.layout.region_offset(self.current) + self.cursor,
            capacity,
            data,
        });
        true
    }

    /// Whether entries of the region are being read.
    fn is_held(&self, region: u32) -> bool {
        self.regions.get(region as usize).is_some_and(|region| Rc::strong_count(&region.hold) > 1)
    }

    fn generation(&self, region: u32) -> u64 {
        self.regions.get(region as usize).map_or(0, |region| region.generation)
    }

    /// Ends the chunk being filled: it can be written as it is.
    pub(super) fn seal(&mut self) {
        if let Some(chunk) = self.filling.take() {
            self.cursor += chunk.write_bytes() as u64;
            self.sealed_bytes += chunk.capacity as u64;
            self.sealed.push_back(chunk);
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(mut chunk) = self.sealed.pop_front() {
            self.sealed_bytes -= chunk.capacity as u64;
            if chunk.capacity as u64 <= self.layout.chunk_bytes {
                chunk.data.clear();
                self.spare = chunk.data;
            }
        }
    }

    /// Forgets everything in the region and starts to fill it from its beginning.
    fn begin_region(&mut self, at: u32) {
        self.begun += 1;
        self.current = at;
        self.cursor = 0;
        let Some(region) = self.regions.get_mut(at as usize) else { return };
        region.generation = self.begun;
        let tags = std::mem::take(&mut region.tags);
        let layout = self.layout;
        for &tag in &tags {
            let removed = self.index.remove_tag(tag, |sector| layout.region_of(sector) == at);
            if let Some(place) = removed {
                self.uncount(place);
                self.stats.class_mut(place.class).evictions += 1;
            }
        }
        if let Some(region) = self.regions.get_mut(at as usize) {
            // About as many entries will follow: keep the memory.
            region.tags = tags;
            region.tags.clear();
        }
    }

    fn uncount(&mut self, place: Spot) {
        let stats = self.stats.class_mut(place.class);
        stats.entries -= 1;
        stats.bytes -= u64::from(place.sectors) * SECTOR_BYTES as u64;
    }
}
