//! The bytes at the end of a region: what is in it. The directories of all regions together are the journal of the index.
//!
//! ```text
//! region      | entries ............. | unused | zeros | records | trailer 64 |       the directory: whole pages at the region's end
//!
//! trailer                                       record (16)
//!  at size field                                 at size field
//!   0    4 magic "aqfd"                           0    8 hash of the key
//!   4    2 version = 1                            8    8 bits 0..20 first sector, from the region's beginning
//!   6    2 state: 1 begun, 2 sealed                      bits 20..32 sectors (0: removed), bits 32..36 grain
//!   8    8 life                                          bit 36 class, bits 37..39 origin, the rest zero
//!  16    8 generation
//!  24    4 region
//!  28    4 number of records
//!  32    4 crc32 of the records
//!  36   24 zeros
//!  60    4 crc32 of bytes 0..60
//! ```
//!
//! A region that is begun first gets a trailer that says so and has no records, over the last page of its older directory; when it is full, its
//! directory is its last write. So after a crash every region says by one read whether its directory holds, and at most one does not.

use super::format::{Fields, GENERATIONS_MAX, PAGE_BYTES, Round, SECTOR_BYTES};
use super::index::Spot;
use super::origin::Origin;
use crate::key::Class;

/// At the end of every region.
pub(crate) const TRAILER_BYTES: usize = 64;
/// Bytes of a record, on disk.
pub(crate) const RECORD_BYTES: usize = 16;

const MAGIC: [u8; 4] = *b"aqfd";
const VERSION: u16 = 1;
const BEGUN: u16 = 1;
const SEALED: u16 = 2;
const SECTOR_BITS: u32 = 20;
const LENGTH_BITS: u32 = 16;

const _: () = assert!(4 + 2 + 2 + 8 + 8 + 4 + 4 + 4 + 24 + 4 == TRAILER_BYTES && 8 + 8 == RECORD_BYTES);
const _: () = assert!((crate::options::REGION_BYTES_MAX / SECTOR_BYTES as u64) < 1 << SECTOR_BITS);

/// One entry of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) hash: u64,
    place: u64,
}

impl Record {
    /// `spot` counts sectors from the beginning of the region.
    pub(crate) fn new(hash: u64, spot: Spot) -> Self {
        let flags = u64::from(spot.class == Class::Meta) | u64::from(spot.origin.code()) << 1;
        let place = u64::from(spot.sector)
            | u64::from(spot.extent()) << SECTOR_BITS
            | flags << (SECTOR_BITS + LENGTH_BITS);
        Self { hash, place }
    }

    /// Says that an entry was removed that may stand in an older directory.
    pub(crate) const fn removed(hash: u64) -> Self {
        Self { hash, place: 0 }
    }

    /// Where the entry is, from the beginning of the region. No sectors: it was removed.
    pub(crate) fn spot(&self) -> Spot {
        let flags = self.place >> (SECTOR_BITS + LENGTH_BITS);
        let (grain, sectors) = Spot::of_extent((self.place >> SECTOR_BITS & ((1 << LENGTH_BITS) - 1)) as u16);
        Spot {
            sector: (self.place & ((1 << SECTOR_BITS) - 1)) as u32,
            grain,
            sectors,
            class: if flags & 1 == 0 { Class::Data } else { Class::Meta },
            origin: Origin::of_code((flags >> 1 & 0b11) as u8),
            heat: 0,
        }
    }
}

/// What the trailer of a region says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) round: Round,
    pub(crate) region: u32,
    /// `None`: begun and not sealed.
    records: Option<(u32, u32)>,
}

impl Trailer {
    /// Of the page or more that end with it.
    pub(crate) fn parse(end: &[u8]) -> Option<Self> {
        let at = end.len().checked_sub(TRAILER_BYTES)?;
        let trailer = end.get(at..)?;
        let mut fields = Fields(trailer);
        let magic = fields.take::<4>()?;
        let version = fields.take::<2>().map(u16::from_le_bytes)?;
        let state = fields.take::<2>().map(u16::from_le_bytes)?;
        let round = Round { life: fields.u64()?, generation: fields.u64()? };
        let (region, count, records_crc) = (fields.u32()?, fields.u32()?, fields.u32()?);
        fields.take::<24>()?;
        let crc = fields.u32()?;
        let sound = magic == MAGIC
            && version == VERSION
            && (state == BEGUN || state == SEALED)
            && round.generation < GENERATIONS_MAX
            && crc == crc32fast::hash(trailer.get(..TRAILER_BYTES - 4)?);
        sound.then_some(Self { round, region, records: (state == SEALED).then_some((count, records_crc)) })
    }

    /// Whether the directory is there.
    pub(crate) fn is_sealed(&self) -> bool {
        self.records.is_some()
    }

    /// Bytes of the whole directory.
    pub(crate) fn directory_bytes(&self) -> usize {
        directory_bytes(self.records.map_or(0, |(count, _)| count as usize))
    }

    /// The records, given what the region ends with: at least the whole directory.
    pub(crate) fn records(&self, end: &[u8]) -> Option<Vec<Record>> {
        let (count, crc) = self.records?;
        let bytes = (count as usize).checked_mul(RECORD_BYTES)?;
        let from = end.len().checked_sub(TRAILER_BYTES)?.checked_sub(bytes)?;
        let stored = end.get(from..from + bytes)?;
        if crc32fast::hash(stored) != crc {
            return None;
        }
        let (records, _) = stored.as_chunks::<RECORD_BYTES>();
        let record = |bytes: &[u8; RECORD_BYTES]| {
            let mut fields = Fields(bytes);
            Some(Record { hash: fields.u64()?, place: fields.u64()? })
        };
        records.iter().map(record).collect()
    }
}

/// Bytes of a directory of so many records: whole pages.
pub(crate) const fn directory_bytes(records: usize) -> usize {
    (TRAILER_BYTES + records * RECORD_BYTES).next_multiple_of(PAGE_BYTES)
}

/// The last page of a region that is begun.
pub(crate) fn begun(out: &mut Vec<u8>, region: u32, round: Round) {
    out.resize(out.len() + PAGE_BYTES - TRAILER_BYTES, 0);
    trailer(out, region, round, BEGUN, &[]);
}

/// The directory of a region that is full.
pub(crate) fn sealed(out: &mut Vec<u8>, region: u32, round: Round, records: &[Record]) {
    let bytes = directory_bytes(records.len());
    let zeros = bytes - TRAILER_BYTES - records.len() * RECORD_BYTES;
    out.reserve_exact(bytes);
    out.resize(out.len() + zeros, 0);
    let from = out.len();
    for record in records {
        out.extend_from_slice(&record.hash.to_le_bytes());
        out.extend_from_slice(&record.place.to_le_bytes());
    }
    trailer(out, region, round, SEALED, &[from]);
}

/// Appends the trailer; `records`, if there may be any, begin at the place given.
fn trailer(out: &mut Vec<u8>, region: u32, round: Round, state: u16, records: &[usize]) {
    let stored = records.first().and_then(|&from| out.get(from..)).unwrap_or_default();
    let count = u32::try_from(stored.len() / RECORD_BYTES).unwrap_or(u32::MAX);
    let records_crc = crc32fast::hash(stored);
    let begin = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&state.to_le_bytes());
    out.extend_from_slice(&round.life.to_le_bytes());
    out.extend_from_slice(&round.generation.to_le_bytes());
    out.extend_from_slice(&region.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&records_crc.to_le_bytes());
    out.extend_from_slice(&[0; 24]);
    let crc = crc32fast::hash(out.get(begin..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    debug_assert_eq!(out.len() - begin, TRAILER_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Round = Round { life: 3, generation: 9 };

    fn records(count: u32) -> Vec<Record> {
        let spot = |n: u32| Spot {
            sector: n * 2,
            grain: 4,
            sectors: 2 + u16::try_from(n % 7).unwrap(),
            class: if n.is_multiple_of(2) { Class::Meta } else { Class::Data },
            origin: Origin::of_code(n.to_le_bytes()[0]),
            heat: 0,
        };
        let made: Vec<Record> = (0..count)
            .map(|n| Record::new(u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15), spot(n)))
            .collect();
        assert!((0..).zip(&made).all(|(n, record)| record.spot() == spot(n)));
        made
    }

    #[test]
    fn a_directory_reads_back_and_fills_whole_pages() {
        for count in [0, 1, 251, 252, 253, 5_000] {
            let records = records(count);
            let mut bytes = Vec::new();
            sealed(&mut bytes, 5, ROUND, &records);
            assert_eq!(bytes.len(), directory_bytes(records.len()));
            assert_eq!(bytes.len() % PAGE_BYTES, 0);
            let trailer = Trailer::parse(&bytes[bytes.len() - PAGE_BYTES..]).unwrap();
            assert!(trailer.is_sealed() && trailer.round == ROUND && trailer.region == 5);
            assert_eq!(trailer.directory_bytes(), bytes.len());
            assert_eq!(trailer.records(&bytes), Some(records));
        }
        assert_eq!((directory_bytes(252), directory_bytes(253)), (4096, 8192));
    }

    #[test]
    fn the_layout_is_the_pictured_one() {
        let mut page = Vec::new();
        begun(&mut page, 5, ROUND);
        assert_eq!(page.len(), PAGE_BYTES);
        let trailer = &page[PAGE_BYTES - TRAILER_BYTES..];
        assert_eq!(&trailer[..8], b"aqfd\x01\0\x01\0");
        assert_eq!(trailer[8..16], 3u64.to_le_bytes());
        assert_eq!(trailer[16..24], 9u64.to_le_bytes());
        assert_eq!(trailer[24..28], 5u32.to_le_bytes());
        assert_eq!(trailer[60..64], crc32fast::hash(&trailer[..60]).to_le_bytes());
        let parsed = Trailer::parse(&page).unwrap();
        assert!(!parsed.is_sealed());
        assert_eq!(parsed.records(&page), None);
    }

    /// The tier counts on from the newest generation that it finds: one at the end of 64 bits, with the right checksum, went on at 0.
    #[test]
    fn a_generation_that_has_none_after_it_is_not_ours() {
        for (generation, is_ours) in
            [(u64::MAX, false), (GENERATIONS_MAX, false), (GENERATIONS_MAX - 1, true)]
        {
            let mut page = Vec::new();
            begun(&mut page, 5, Round { generation, ..ROUND });
            assert_eq!(Trailer::parse(&page).is_some(), is_ours, "{generation}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let mut bytes = Vec::new();
        sealed(&mut bytes, 5, ROUND, &records(3));
        let used = TRAILER_BYTES + 3 * RECORD_BYTES;
        for bit in (bytes.len() - used) * 8..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Trailer::parse(&bad).and_then(|trailer| trailer.records(&bad)), None, "bit {bit}");
        }
        for cut in 0..TRAILER_BYTES {
            assert_eq!(Trailer::parse(&bytes[bytes.len() - cut..]), None);
        }
        let trailer = Trailer::parse(&bytes).unwrap();
        assert_eq!(trailer.records(&bytes[bytes.len() - used + 1..]), None, "cut short");
    }
}
