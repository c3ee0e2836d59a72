//! The bytes of the index area: the index as it was at one moment, or nearly so.
//!
//! ```text
//! index area  | header 4096 | meta | slots of table 0 | slots of table 1 | .. | unused |
//! meta        | generations: 8 a region | tables: 256 times 8 | zeros to the next page |
//!
//! header                                        table (8)
//!  at size field                                 at size field
//!   0    8 magic "aqfindex"                       0    4 number of slots
//!   8    4 version = 1                            4    4 crc32 of its slots
//!  12    4 regions
//!  16    8 life                                  slot (12): see index.rs; tag u32, sector u32, extent u16, bits u16
//!  24    8 generation: of the region begun last
//!  32    4 crc32 of the meta                     generation of a region: 0 if it held nothing
//!  36    4 number of tables = 256
//!  40   20 zeros
//!  60    4 crc32 of bytes 0..60
//!  64 4032 zeros
//! ```
//!
//! The slots are written first, a table after the other while the cache goes on, then the meta, then the header. The generations are those
//! of the moment the snapshot was begun: what changed since is in directories that are newer. A torn snapshot fails a checksum
//! and is none: the directories of the regions have everything.

use super::format::{Fields, GENERATIONS_MAX, PAGE_BYTES};
use super::index::{Index, SLOT_BYTES, Slot, Spot, TABLES};

const MAGIC: [u8; 8] = *b"aqfindex";
const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = PAGE_BYTES;
const HEADER_USED_BYTES: usize = 64;
const TABLE_BYTES: usize = 8;
const GENERATION_BYTES: usize = 8;

const _: () = assert!(8 + 4 + 4 + 8 + 8 + 4 + 4 + 20 + 4 == HEADER_USED_BYTES);
const _: () = assert!(SLOT_BYTES == 4 + 4 + 2 + 2 && TABLE_BYTES == 4 + 4);

/// Number and checksum of the slots of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableSum {
    pub(crate) slots: u32,
    pub(crate) crc: u32,
}

/// What the header and the meta say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) life: u64,
    /// Of the region begun last.
    pub(crate) begun: u64,
    /// Of each region; 0 for one that held nothing.
    pub(crate) generations: Vec<u64>,
    pub(crate) tables: Vec<TableSum>,
}

/// Bytes of the meta for so many regions: whole pages.
pub(crate) const fn meta_bytes(regions: usize) -> usize {
    (regions * GENERATION_BYTES + TABLES * TABLE_BYTES).next_multiple_of(PAGE_BYTES)
}

/// Bytes of a whole snapshot, to the page.
pub(crate) const fn snapshot_bytes(regions: usize, entries: usize) -> usize {
    HEADER_BYTES + meta_bytes(regions) + (entries * SLOT_BYTES).next_multiple_of(PAGE_BYTES)
}

impl Head {
    /// The header's page and the meta.
    pub(crate) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let mut meta = Vec::with_capacity(meta_bytes(self.generations.len()));
        self.generations.iter().for_each(|generation| meta.extend_from_slice(&generation.to_le_bytes()));
        for table in &self.tables {
            meta.extend_from_slice(&table.slots.to_le_bytes());
            meta.extend_from_slice(&table.crc.to_le_bytes());
        }
        meta.resize(meta_bytes(self.generations.len()), 0);
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&u32::try_from(self.generations.len()).unwrap_or(u32::MAX).to_le_bytes());
        header.extend_from_slice(&self.life.to_le_bytes());
        header.extend_from_slice(&self.begun.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&meta).to_le_bytes());
        header.extend_from_slice(&u32::try_from(TABLES).unwrap_or(u32::MAX).to_le_bytes());
        header.extend_from_slice(&[0; 20]);
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        debug_assert_eq!(header.len(), HEADER_USED_BYTES);
        header.resize(HEADER_BYTES, 0);
        (header, meta)
    }

    /// Of the whole index area; `None` if it holds no intact snapshot of so many regions.
    pub(crate) fn decode(area: &[u8], life: u64, regions: u32) -> Option<Self> {
        let mut fields = Fields(area);
        let (magic, version) = (fields.take::<8>()?, fields.u32()?);
        let (found_regions, found_life, begun) = (fields.u32()?, fields.u64()?, fields.u64()?);
        let (meta_crc, tables) = (fields.u32()?, fields.u32()?);
        fields.take::<20>()?;
        let crc = fields.u32()?;
        let sound = magic == MAGIC
            && version == VERSION
            && crc == crc32fast::hash(area.get(..HEADER_USED_BYTES - 4)?)
            && (found_life, found_regions, tables as usize) == (life, regions, TABLES);
        let meta = area.get(HEADER_BYTES..HEADER_BYTES + meta_bytes(regions as usize))?;
        if !sound || crc32fast::hash(meta) != meta_crc || begun >= GENERATIONS_MAX {
            return None;
        }
        let mut fields = Fields(meta);
        let generation = |_| fields.u64().filter(|&generation| generation < GENERATIONS_MAX);
        let generations = (0..regions).map(generation).collect::<Option<_>>()?;
        let tables = (0..TABLES).map(|_| Some(TableSum { slots: fields.u32()?, crc: fields.u32()? }));
        Some(Self { life, begun, generations, tables: tables.collect::<Option<_>>()? })
    }

    /// The index of an index area, without what `is_kept` does not want; `None` if a checksum does not hold.
    pub(crate) fn index(&self, area: &[u8], is_kept: impl Fn(Spot) -> bool) -> Option<Index> {
        let mut index = Index::new();
        let mut rest = area.get(HEADER_BYTES + meta_bytes(self.generations.len())..)?;
        for (table, sum) in self.tables.iter().enumerate() {
            let (stored, after) = rest.split_at_checked((sum.slots as usize).checked_mul(SLOT_BYTES)?)?;
            if crc32fast::hash(stored) != sum.crc {
                return None;
            }
            let (slots, _) = stored.as_chunks::<SLOT_BYTES>();
            let slots = slots.iter().map(Slot::decode).filter(|slot| is_kept(slot.spot()));
            index.load(table, sum.slots as usize, slots);
            rest = after;
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::origin::Origin;
    use super::*;
    use crate::key::Class;

    fn index(entries: u64) -> (Index, Vec<u64>) {
        let mut index = Index::new();
        let hash = |n: u64| crate::CacheKey { object: n, offset: 3, bytes: 9 }.hash64();
        for n in 0..entries {
            let sector = u32::try_from(n).unwrap();
            let spot =
                Spot { sector, grain: 3, sectors: 1, class: Class::Data, origin: Origin::Read, heat: 1 };
            index.insert(hash(n), spot);
        }
        (index, (0..entries).map(hash).collect())
    }

    fn area(index: &Index) -> (Head, Vec<u8>) {
        let mut slots = Vec::new();
        let mut tables = Vec::new();
        for table in 0..TABLES {
            let from = slots.len();
            index.slots_after(table, None).for_each(|(_, slot)| slots.extend_from_slice(&slot.encode()));
            let stored = &slots[from..];
            let count = u32::try_from(stored.len() / SLOT_BYTES).unwrap();
            tables.push(TableSum { slots: count, crc: crc32fast::hash(stored) });
        }
        let head = Head { life: 7, begun: 12, generations: vec![4, 0, 12], tables };
        let (header, meta) = head.encode();
        let mut area = [header, meta, slots].concat();
        area.resize(area.len().next_multiple_of(PAGE_BYTES), 0);
        (head, area)
    }

    #[test]
    fn a_snapshot_reads_back() {
        let (index, hashes) = index(3_000);
        let (head, area) = area(&index);
        assert_eq!(area.len(), snapshot_bytes(3, index.entries()));
        assert_eq!(&area[..16], b"aqfindex\x01\0\0\0\x03\0\0\0");
        assert_eq!(Head::decode(&area, 7, 3), Some(head.clone()));
        let read = head.index(&area, |spot| spot.sector != 5).unwrap();
        for (n, &hash) in hashes.iter().enumerate() {
            assert_eq!(read.find(hash), index.find(hash).filter(|_| n != 5));
        }
        assert_eq!(Head::decode(&area, 8, 3), None, "of another file");
        assert_eq!(Head::decode(&area, 7, 4), None, "of another size");
    }

    #[test]
    fn a_flipped_bit_anywhere_or_a_cut_makes_it_none() {
        let (index, _) = index(300);
        let (head, area) = area(&index);
        let used = HEADER_BYTES + meta_bytes(3) + 300 * SLOT_BYTES;
        for bit in (0..used * 8).step_by(3).filter(|bit| !(64 * 8..HEADER_BYTES * 8).contains(bit)) {
            let mut bad = area.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let read = Head::decode(&bad, 7, 3).and_then(|head| head.index(&bad, |_| true));
            assert!(read.is_none(), "bit {bit}");
        }
        for cut in (0..used).step_by(61) {
            let read = Head::decode(&area[..cut], 7, 3).and_then(|head| head.index(&area[..cut], |_| true));
            assert!(read.is_none(), "cut at {cut}");
        }
        drop(head);
    }
}
