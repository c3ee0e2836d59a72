//! The index from the disk: the snapshot, and the directories of regions that are newer.
//!
//! ```text
//! closed in peace   snapshot                                   nothing else is looked at
//! else              trailers of all regions
//!                   snapshot, of regions that are as they were
//!                   directories of the others, oldest first
//!                   the region that was being filled: its entries, one by one; its directory is written now
//! ```
//!
//! What cannot be proved is dropped: a snapshot or a directory with a wrong checksum, a region of another generation, an entry
//! beyond its region. What is taken in wrongly all the same (an entry removed since, bytes that never reached the disk) costs a read that
//! finds no such entry, never a wrong answer.

use super::directory::{Record, Trailer};
use super::format::{
    Entry, GRAIN_BYTES, HEADER_BYTES, PAGE_BYTES, Round, SECTOR_BYTES, Superblock, entry_bytes,
};
use super::index::{Index, Spot};
use super::layout::Layout;
use super::origin::Origin;
use super::region::{Region, State};
use super::snapshot::Head;
use super::tier::grain_and_sectors;
use aquifer_io::{Buffer, File};
use std::path::Path;

/// Trailers and directories that are read at once.
const READS_AT_ONCE: usize = 64;
/// What is read at once of a region that was being filled.
const SCAN_BYTES: usize = 256 << 10;

/// What an earlier process left.
pub(super) struct Recovered {
    pub(super) regions: Vec<Region>,
    pub(super) index: Index,
    /// Of the region begun last.
    pub(super) begun: u64,
    /// Regions that were being filled, and what is in them: their directories are still to be written.
    pub(super) unsealed: Vec<(u32, Vec<Record>)>,
}

/// A file that is gone on with.
pub(super) struct Earlier<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a File,
    pub(super) layout: Layout,
    pub(super) superblock: Superblock,
    /// Most records that a directory may have.
    pub(super) records_max: usize,
}

impl Earlier<'_> {
    pub(super) async fn recover(&self) -> Recovered {
        let is_closed = self.superblock.snapshot != 0;
        if is_closed && let Some((head, index)) = self.snapshot(None).await {
            return self.closed(&head, index);
        }
        let trailers = self.trailers().await;
        let generations: Vec<u64> = trailers
            .iter()
            .map(|trailer| trailer.filter(Trailer::is_sealed).map_or(0, |trailer| trailer.round.generation))
            .collect();
        let snapshot = if is_closed { None } else { self.snapshot(Some(generations)).await };
        let (head, mut index) =
            snapshot.map_or_else(|| (None, Index::new()), |(head, index)| (Some(head), index));
        let mut found = self.regions_of(&trailers);
        let mut newer: Vec<Trailer> = trailers.into_iter().flatten().collect();
        newer.retain(|trailer| {
            let known = head.as_ref().and_then(|head| head.generations.get(trailer.region as usize));
            !trailer.is_sealed() || known != Some(&trailer.round.generation)
        });
        newer.sort_by_key(|trailer| trailer.round.generation);
        let mut unsealed = Vec::new();
        for batch in newer.chunks(READS_AT_ONCE) {
            let directories = self.directories(batch).await;
            for (trailer, directory) in batch.iter().zip(directories) {
                let records = match directory {
                    Some(records) => records,
                    None if trailer.is_sealed() => {
                        // Its directory does not hold: nothing of it is known.
                        if let Some(region) = found.get_mut(trailer.region as usize) {
                            *region = Region::default();
                        }
                        continue;
                    }
                    None => {
                        let records = self.scan(trailer).await;
                        unsealed.push((trailer.region, records.clone()));
                        records
                    }
                };
                self.replay(&mut index, &found, trailer, &records);
            }
        }
        let begun = found.iter().map(|region| region.generation).max().unwrap_or(0);
        let begun = begun.max(self.superblock.generation).max(head.map_or(0, |head| head.begun));
        Recovered { regions: found, index, begun, unsealed }
    }

    fn closed(&self, head: &Head, index: Index) -> Recovered {
        let region = |&generation: &u64| match generation {
            0 => Region::default(),
            generation => Region::of(generation, State::Sealed),
        };
        let regions = head.generations.iter().map(region).collect();
        let begun = head.begun.max(self.superblock.generation);
        Recovered { regions, index, begun, unsealed: Vec::new() }
    }

    fn regions_of(&self, trailers: &[Option<Trailer>]) -> Vec<Region> {
        let region = |trailer: &Option<Trailer>| match trailer {
            None => Region::default(),
            Some(trailer) => Region::of(trailer.round.generation, State::Sealed),
        };
        trailers.iter().map(region).collect()
    }

    /// The snapshot. With generations: without the entries of regions that have others now.
    async fn snapshot(&self, generations: Option<Vec<u64>>) -> Option<(Head, Index)> {
        let layout = self.layout;
        let Superblock { life, snapshot, regions, .. } = self.superblock;
        let range = layout.index_offset()..layout.file_bytes();
        if range.is_empty() {
            return None;
        }
        let job = move |area: &[u8]| {
            let head = Head::decode(area, life, regions)?;
            if generations.is_none() && header_crc(area) != Some(snapshot) {
                return None;
            }
            let is_kept = |spot: Spot| {
                let region = layout.region_of(spot.sector);
                let of_snapshot = head.generations.get(region as usize).copied().unwrap_or(0);
                let now = generations.as_ref().map(|now| now.get(region as usize).copied().unwrap_or(0));
                of_snapshot != 0
                    && now.is_none_or(|now| now == of_snapshot)
                    && is_inside(&layout, region, spot)
            };
            let index = head.index(area, is_kept)?;
            Some((head, index))
        };
        aquifer_io::with_mapped(self.path, range, job).await.ok().flatten()
    }

    /// What each region says of itself; `None` if that is nothing that can be relied on.
    async fn trailers(&self) -> Vec<Option<Trailer>> {
        let mut found = Vec::with_capacity(self.layout.regions as usize);
        let all: Vec<u32> = (0..self.layout.regions).collect();
        for regions in all.chunks(READS_AT_ONCE) {
            let extents: Vec<(u64, usize)> =
                regions.iter().map(|&region| (self.end(region) - PAGE_BYTES as u64, PAGE_BYTES)).collect();
            let read = self.read(&extents).await;
            found.extend(regions.iter().zip(read).map(|(&region, page)| {
                Trailer::parse(&page?)
                    .filter(|found| found.region == region && found.round.life == self.superblock.life)
            }));
        }
        found
    }

    async fn directories(&self, trailers: &[Trailer]) -> Vec<Option<Vec<Record>>> {
        let fits = |trailer: &Trailer| {
            trailer.is_sealed() && trailer.directory_bytes() as u64 <= self.layout.region_bytes
        };
        let wanted: Vec<&Trailer> = trailers.iter().filter(|trailer| fits(trailer)).collect();
        let extents: Vec<(u64, usize)> = wanted
            .iter()
            .map(|trailer| {
                let bytes = trailer.directory_bytes();
                (self.end(trailer.region) - bytes as u64, bytes)
            })
            .collect();
        let mut read = self.read(&extents).await.into_iter();
        let directory = |trailer: &Trailer| {
            if fits(trailer) { trailer.records(&read.next()??) } else { None }
        };
        trailers.iter().map(directory).collect()
    }

    fn end(&self, region: u32) -> u64 {
        self.layout.region_offset(region) + self.layout.region_bytes
    }

    /// The entries of a region that was being filled: those that are whole.
    async fn scan(&self, trailer: &Trailer) -> Vec<Record> {
        let begin = self.layout.region_offset(trailer.region);
        let end = self.end(trailer.region) - PAGE_BYTES as u64;
        let align = self.file.align_bytes() as u64;
        let mut records = Vec::new();
        let mut at = begin;
        while at + (HEADER_BYTES as u64) < end && records.len() < self.records_max {
            let from = at - at % align;
            let bytes = usize::try_from(end - from).unwrap_or(SCAN_BYTES).min(SCAN_BYTES);
            let Some(piece) = self.read(&[(from, bytes)]).await.pop().flatten() else { break };
            let skip = usize::try_from(at - from).unwrap_or_default();
            at += scan_piece(piece.get(skip..).unwrap_or_default(), trailer.round, &mut |offset, entry| {
                let within = at - begin + offset;
                let extent = grain_and_sectors(within, entry_bytes(entry.data_bytes as usize));
                let sector = u32::try_from(within / SECTOR_BYTES as u64);
                let (Ok(sector), Some((grain, sectors))) = (sector, extent) else { return };
                let spot = Spot { sector, grain, sectors, class: entry.class, origin: Origin::Read, heat: 0 };
                records.push(Record::new(entry.key.hash64(), spot));
            });
        }
        records.truncate(self.records_max);
        records
    }

    /// Takes in the records of a region, but for keys of which something newer is known.
    fn replay(&self, index: &mut Index, regions: &[Region], trailer: &Trailer, records: &[Record]) {
        let first = self.layout.region_sector(trailer.region);
        for record in records {
            let Some(sector) = first.checked_add(record.spot().sector) else { continue };
            let spot = Spot { sector, ..record.spot() };
            let is_newer = |found: &Spot| {
                let region = regions.get(self.layout.region_of(found.sector) as usize);
                region.is_some_and(|region| region.generation > trailer.round.generation)
            };
            let found = index.find(record.hash);
            if found.as_ref().is_some_and(is_newer) {
                continue;
            }
            if spot.sectors == 0 {
                found.map(|found| index.remove(record.hash, found.sector));
            } else if is_inside(&self.layout, trailer.region, spot) {
                index.insert(record.hash, spot);
            }
        }
    }

    /// Many extents, as many at once as buffers allow; `None` for what cannot be read.
    async fn read(&self, extents: &[(u64, usize)]) -> Vec<Option<Buffer>> {
        let mut read = Vec::with_capacity(extents.len());
        let mut rest = extents;
        while let Some(((offset, bytes), more)) = rest.split_first() {
            let Ok(first) = aquifer_io::acquire_buffer(*bytes).await else { break };
            let mut batch = vec![(*offset, first)];
            rest = more;
            while let Some(((offset, bytes), more)) = rest.split_first()
                && let Ok(buffer) = aquifer_io::try_acquire_buffer(*bytes)
            {
                batch.push((*offset, buffer));
                rest = more;
            }
            let (outcome, batch) = self.file.read_vectored_at(batch).await;
            for (offset, buffer) in batch {
                if outcome.is_ok() {
                    read.push(Some(buffer));
                } else {
                    let (outcome, buffer) = self.file.read_at(offset, buffer).await;
                    read.push(outcome.is_ok().then_some(buffer));
                }
            }
        }
        read.resize_with(extents.len(), || None);
        read
    }
}

/// Hands every whole entry of the round in `piece` to `found`, with its offset; how far the next piece begins behind this one: not 0 if
/// a header fits the piece.
fn scan_piece(piece: &[u8], round: Round, found: &mut dyn FnMut(u64, &Entry<'_>)) -> u64 {
    let mut at = 0;
    while let Some(rest) = piece.get(at..).filter(|rest| rest.len() >= HEADER_BYTES) {
        let Some(entry) = Entry::parse(rest).ok().filter(|entry| entry.round == round) else {
            at += GRAIN_BYTES;
            continue;
        };
        let bytes = entry_bytes(entry.data_bytes as usize);
        if bytes > rest.len() && at > 0 {
            // Once more, from its beginning.
            break;
        }
        if bytes > rest.len() || entry.data().is_ok() {
            // One longer than a piece is proved when it is read.
            found(at as u64, &entry);
        }
        at += bytes;
    }
    at as u64
}

/// Whether an entry lies between the beginning of its region and the last page.
fn is_inside(layout: &Layout, region: u32, spot: Spot) -> bool {
    let begin = u64::from(spot.sector) * SECTOR_BYTES as u64;
    let end = begin + u64::from(spot.sectors) * SECTOR_BYTES as u64;
    region < layout.regions
        && begin >= layout.region_offset(region)
        && end <= layout.region_offset(region) + layout.region_bytes - PAGE_BYTES as u64
}

/// The checksum of a snapshot's header, which the superblock names.
pub(super) fn header_crc(area: &[u8]) -> Option<u32> {
    area.get(60..64)?.try_into().ok().map(u32::from_le_bytes)
}
