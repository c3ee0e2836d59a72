//! The bytes of one simulated file, sector by sector, and the changes that lead from what is durable to what is live.
//!
//! Invariant: no stored sector has a byte other than zero past the length, so that growing shows zeroes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::direct_io::SECTOR_BYTES;

/// A sector's length as files count.
pub(super) const SECTOR: u64 = SECTOR_BYTES as u64;

/// One sector. Shared between the live bytes, the changes and the images that hold it; replaced, never written to.
pub(super) type Sector = Arc<[u8; SECTOR_BYTES]>;

/// Sparse bytes with a length: sectors that are not there are zeroes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    sectors: BTreeMap<u64, Sector>,
    bytes: u64,
}

/// One step from durable to live.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// These sectors, from this index on; the file is at least that long after it.
    Write { first: u64, sectors: Vec<Sector> },
    /// This sector, as far as the file reaches; the length stays.
    Replace(u64, Sector),
    /// The file has this length.
    SetBytes(u64),
    /// The file is at least this long.
    Grow(u64),
    /// These sectors are zeroes; the length stays.
    Punch(Range<u64>),
}

impl Change {
    /// A write of whole sectors at an offset that is a multiple of a sector; a rest that fills no sector is left out.
    pub(super) fn write(offset: u64, bytes: &[u8]) -> Self {
        let sectors = bytes.as_chunks::<SECTOR_BYTES>().0.iter().map(|sector| Arc::new(*sector)).collect();
        Self::Write { first: offset / SECTOR, sectors }
    }
}

impl Content {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        for (index, chunk) in (0..).zip(bytes.chunks(SECTOR_BYTES)) {
            let mut sector = [0; SECTOR_BYTES];
            for (to, from) in sector.iter_mut().zip(chunk) {
                *to = *from;
            }
            content.put(index, Arc::new(sector));
        }
        content.set_bytes(bytes.len() as u64);
        content
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn sectors_stored(&self) -> u64 {
        self.sectors.len() as u64
    }

    pub(super) fn sector(&self, index: u64) -> Option<&Sector> {
        self.sectors.get(&index)
    }

    /// Copies the bytes at a sector's border into `out`; how many there are before the end of the file.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let moved = left.min(out.len());
        let out = out.get_mut(..moved).unwrap_or_default();
        for (index, chunk) in (offset / SECTOR..).zip(out.chunks_mut(SECTOR_BYTES)) {
            match self.sectors.get(&index).and_then(|sector| sector.get(..chunk.len())) {
                Some(sector) => chunk.copy_from_slice(sector),
                None => chunk.fill(0),
            }
        }
        moved
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { first, sectors } => {
                for (index, sector) in (*first..).zip(sectors) {
                    self.put(index, Arc::clone(sector));
                }
            }
            Change::Replace(index, sector) => {
                if index.saturating_mul(SECTOR) < self.bytes {
                    self.sectors.insert(*index, Arc::clone(sector));
                    self.zero_tail(self.bytes);
                }
            }
            Change::SetBytes(bytes) => self.set_bytes(*bytes),
            Change::Grow(bytes) => self.bytes = self.bytes.max(*bytes),
            Change::Punch(sectors) => {
                let holes: Vec<u64> = self.sectors.range(sectors.clone()).map(|(index, _)| *index).collect();
                for index in holes {
                    self.sectors.remove(&index);
                }
            }
        }
    }

    /// Applies a part of a change that a crash may leave of it: any of its sectors, or the whole step.
    pub(super) fn apply_torn(&mut self, change: &Change, chance: &mut fastrand::Rng) {
        match chance.u8(..4) {
            0 => {}
            1 => self.apply(change),
            cut => match change {
                Change::Write { first, sectors } => {
                    let border = chance.usize(..=sectors.len());
                    for (place, (index, sector)) in (*first..).zip(sectors).enumerate() {
                        let kept = if cut == 2 { place < border } else { chance.bool() };
                        if kept {
                            self.put(index, Arc::clone(sector));
                        }
                    }
                }
                Change::Punch(sectors) => {
                    for index in sectors.clone() {
                        if chance.bool() {
                            self.sectors.remove(&index);
                        }
                    }
                }
                Change::Replace(_, _) | Change::SetBytes(_) | Change::Grow(_) => {
                    if chance.bool() {
                        self.apply(change);
                    }
                }
            },
        }
    }

    /// Flips one bit of a byte, if the file has it.
    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        if offset >= self.bytes {
            return;
        }
        let sector = self.sectors.entry(offset / SECTOR).or_insert_with(|| Arc::new([0; SECTOR_BYTES]));
        let place = usize::try_from(offset % SECTOR).unwrap_or_default();
        if let Some(byte) = Arc::make_mut(sector).get_mut(place) {
            *byte ^= 1 << (bit % 8);
        }
    }

    fn put(&mut self, index: u64, sector: Sector) {
        self.sectors.insert(index, sector);
        self.bytes = self.bytes.max(index.saturating_add(1).saturating_mul(SECTOR));
    }

    fn set_bytes(&mut self, bytes: u64) {
        if bytes < self.bytes {
            drop(self.sectors.split_off(&bytes.div_ceil(SECTOR)));
            self.zero_tail(bytes);
        }
        self.bytes = bytes;
    }

    /// Makes zeroes of what the sector of the last byte holds past it.
    fn zero_tail(&mut self, bytes: u64) {
        let kept = usize::try_from(bytes % SECTOR).unwrap_or_default();
        if kept > 0
            && let Some(sector) = self.sectors.get_mut(&(bytes / SECTOR))
            && let Some(tail) = Arc::make_mut(sector).get_mut(kept..)
        {
            tail.fill(0);
        }
    }
}
