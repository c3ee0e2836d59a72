//! The bytes of the SSD file's superblock and of its entries, and nothing about files.
//!
//! ```text
//! file     | superblock 4096 | region 0 | region 1 | .. | region N-1 | index area |       regions: all of region_bytes (a multiple of 4096)
//! region   | entry | entry | .. | unused | directory |         each entry begins at a multiple of 32 bytes; see directory.rs
//! entry    | header 56 | data (data_bytes) | zeros to the next multiple of 32 |
//!
//! superblock                                     entry header
//!  at size field                                  at size field
//!   0    8 magic "aqfcache"                        0    4 magic "aqfe"
//!   8    4 version = 3                             4    2 version = 1
//!  12    4 regions                                 6    2 class: 0 Data, 1 Meta
//!  16    8 region_bytes                            8    8 life: the superblock's
//!  24    8 life: random, new with the file        16    8 generation: how often a region had been begun, this time included
//!  32    8 store: whose objects these are         24    8 object  ┐
//!  40    8 bytes of the index area                32    8 offset  ├ the CacheKey
//!  48    4 snapshot: crc32 of its header if it    40    4 bytes   ┘
//!          is the whole index (closed), else 0    44    4 data_bytes
//!  52    8 generation: of the region begun last   48    4 crc32 of the data
//!  60    4 crc32 of bytes 0..60                   52    4 crc32 of bytes 0..52
//!  64 4032 zeros
//! ```
//!
//! All integers are little-endian; crc32 is the IEEE polynomial. An entry is used only when both checksums hold and
//! life, generation and key are the ones asked for: what an older file, an older round of the region, or a misdirected write left behind is
//! a miss.

use crate::key::{CacheKey, Class};

/// Unit of reads and of addresses in the index.
pub(crate) const SECTOR_BYTES: usize = 512;
/// Unit of packing: entries share sectors.
pub(crate) const GRAIN_BYTES: usize = 32;
/// Unit of writes and of regions.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Before the first region.
pub(crate) const SUPERBLOCK_BYTES: usize = 4096;
/// In front of the data of each entry.
pub(crate) const HEADER_BYTES: usize = 56;

const FILE_MAGIC: [u8; 8] = *b"aqfcache";
const FILE_VERSION: u32 = 3;
const SUPERBLOCK_USED_BYTES: usize = 64;
const ENTRY_MAGIC: [u8; 4] = *b"aqfe";
const ENTRY_VERSION: u16 = 1;

const _: () = assert!(8 + 4 + 4 + 8 + 8 + 8 + 8 + 4 + 8 + 4 == SUPERBLOCK_USED_BYTES);
const _: () = assert!(4 + 2 + 2 + 8 + 8 + 8 + 8 + 4 + 4 + 4 + 4 == HEADER_BYTES);
const _: () =
    assert!(SUPERBLOCK_USED_BYTES <= SUPERBLOCK_BYTES && SUPERBLOCK_BYTES.is_multiple_of(PAGE_BYTES));
const _: () = assert!(HEADER_BYTES < SECTOR_BYTES && PAGE_BYTES.is_multiple_of(SECTOR_BYTES));
const _: () = assert!(SECTOR_BYTES.is_multiple_of(GRAIN_BYTES));

/// Generations stay below, so that counting on from one that a file holds never comes to the end of 64 bits. No file comes to it by itself.
pub(crate) const GENERATIONS_MAX: u64 = 1 << 62;

/// Which writing of which region an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) life: u64,
    pub(crate) generation: u64,
}

/// Why bytes are not the entry asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadEntry {
    /// No intact header.
    Header,
    /// An intact header of something else: another key, or an older round.
    Identity,
    /// The data is cut short or its checksum is wrong.
    Data,
}

/// Bytes of an entry on disk, header and padding included.
pub(crate) const fn entry_bytes(data_bytes: usize) -> usize {
    (HEADER_BYTES + data_bytes).next_multiple_of(GRAIN_BYTES)
}

/// What the first page of the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) regions: u32,
    pub(crate) region_bytes: u64,
    pub(crate) life: u64,
    /// Identity of the store whose objects are cached.
    pub(crate) store: u64,
    pub(crate) index_bytes: u64,
    /// Checksum of the header of a snapshot that is the whole index, as after a clean stop; 0 while the file is in use.
    pub(crate) snapshot: u32,
    /// Of the region begun last, when this was written.
    pub(crate) generation: u64,
}

/// Why a first page is not one to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadSuperblock {
    /// Something else, or nothing.
    NotOurs,
    /// Written by another version of this program.
    Version(u32),
    /// Its checksum does not hold.
    Damaged,
}

impl Superblock {
    /// The first page of the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SUPERBLOCK_BYTES);
        out.extend_from_slice(&FILE_MAGIC);
        out.extend_from_slice(&FILE_VERSION.to_le_bytes());
        out.extend_from_slice(&self.regions.to_le_bytes());
        out.extend_from_slice(&self.region_bytes.to_le_bytes());
        out.extend_from_slice(&self.life.to_le_bytes());
        out.extend_from_slice(&self.store.to_le_bytes());
        out.extend_from_slice(&self.index_bytes.to_le_bytes());
        out.extend_from_slice(&self.snapshot.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        debug_assert_eq!(out.len(), SUPERBLOCK_USED_BYTES);
        out.resize(SUPERBLOCK_BYTES, 0);
        out
    }

    pub(crate) fn decode(page: &[u8]) -> Result<Self, BadSuperblock> {
        let mut fields = Fields(page);
        let (magic, version) = (fields.take::<8>(), fields.u32());
        let version = version.filter(|_| magic == Some(FILE_MAGIC)).ok_or(BadSuperblock::NotOurs)?;
        if version != FILE_VERSION {
            return Err(BadSuperblock::Version(version));
        }
        let found = (|| {
            let regions = fields.u32()?;
            let [region_bytes, life, store, index_bytes] =
                [fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?];
            let (snapshot, generation) = (fields.u32()?, fields.u64()?);
            let crc = fields.u32()?;
            let sound = crc == crc32fast::hash(page.get(..SUPERBLOCK_USED_BYTES - 4)?)
                && generation < GENERATIONS_MAX;
            sound.then_some(Self { regions, region_bytes, life, store, index_bytes, snapshot, generation })
        })();
        found.ok_or(BadSuperblock::Damaged)
    }
}

/// Appends one entry, padded to the grain. `data` must be shorter than 4 GiB (entries are far smaller).
pub(crate) fn append_entry(out: &mut Vec<u8>, round: Round, class: Class, key: &CacheKey, data: &[u8]) {
    let begin = out.len();
    let data_bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
    debug_assert_eq!(data_bytes as usize, data.len());
    out.extend_from_slice(&ENTRY_MAGIC);
    out.extend_from_slice(&ENTRY_VERSION.to_le_bytes());
    out.extend_from_slice(&u16::from(class == Class::Meta).to_le_bytes());
    out.extend_from_slice(&round.life.to_le_bytes());
    out.extend_from_slice(&round.generation.to_le_bytes());
    out.extend_from_slice(&key.object.to_le_bytes());
    out.extend_from_slice(&key.offset.to_le_bytes());
    out.extend_from_slice(&key.bytes.to_le_bytes());
    out.extend_from_slice(&data_bytes.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
    let header_crc = crc32fast::hash(out.get(begin..).unwrap_or_default());
    out.extend_from_slice(&header_crc.to_le_bytes());
    debug_assert_eq!(out.len() - begin, HEADER_BYTES);
    out.extend_from_slice(data);
    out.resize(begin + entry_bytes(data.len()), 0);
}

/// An entry as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) round: Round,
    pub(crate) class: Class,
    pub(crate) key: CacheKey,
    pub(crate) data_bytes: u32,
    data_crc: u32,
    /// What follows the header.
    rest: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The entry that `bytes` begin with, if its header is intact.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, BadEntry> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(BadEntry::Header)?;
        let (checked, _) = header.split_at_checked(HEADER_BYTES - 4).ok_or(BadEntry::Header)?;
        let mut fields = Fields(header);
        let found = (|| {
            let (magic, version) = (fields.take::<4>()?, fields.take::<2>()?);
            let class = if fields.take::<2>()? == [0; 2] { Class::Data } else { Class::Meta };
            let round = Round { life: fields.u64()?, generation: fields.u64()? };
            let key = CacheKey { object: fields.u64()?, offset: fields.u64()?, bytes: fields.u32()? };
            let (data_bytes, data_crc, header_crc) = (fields.u32()?, fields.u32()?, fields.u32()?);
            let sound = magic == ENTRY_MAGIC
                && version == ENTRY_VERSION.to_le_bytes()
                && crc32fast::hash(checked) == header_crc;
            sound.then_some(Self { round, class, key, data_bytes, data_crc, rest })
        })();
        found.ok_or(BadEntry::Header)
    }

    /// Its data, if that is intact.
    pub(crate) fn data(&self) -> Result<&'a [u8], BadEntry> {
        let data = self.rest.get(..self.data_bytes as usize).ok_or(BadEntry::Data)?;
        if crc32fast::hash(data) == self.data_crc { Ok(data) } else { Err(BadEntry::Data) }
    }
}

/// The data of the entry that `bytes` begin with, if it is `key` as written in `round`.
pub(crate) fn entry_data<'a>(bytes: &'a [u8], round: Round, key: &CacheKey) -> Result<&'a [u8], BadEntry> {
    let entry = Entry::parse(bytes)?;
    if entry.round != round || entry.key != *key {
        return Err(BadEntry::Identity);
    }
    entry.data()
}

/// Takes little-endian fields off the front.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
mod tests {
    use super::*;

    const KEY: CacheKey = CacheKey { object: 0x0102_0304_0506_0708, offset: 4096, bytes: 700 };
    const ROUND: Round = Round { life: 11, generation: 12 };

    fn entry(data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append_entry(&mut out, ROUND, Class::Meta, &KEY, data);
        out
    }

    #[test]
    fn an_entry_reads_back_and_fills_whole_grains() {
        for length in [0, 1, 39, 40, 41, 700, 4096] {
            let data: Vec<u8> = (0..length).map(|n: usize| (n % 251) as u8).collect();
            let bytes = entry(&data);
            assert_eq!(bytes.len() % GRAIN_BYTES, 0);
            assert_eq!(bytes.len(), entry_bytes(length));
            assert_eq!(entry_data(&bytes, ROUND, &KEY), Ok(&data[..]));
        }
        assert_eq!(entry_bytes(40), 96);
        assert_eq!(entry_bytes(41), 128);
    }

    #[test]
    fn the_layout_is_the_pictured_one() {
        let bytes = entry(b"data");
        assert_eq!(&bytes[..8], b"aqfe\x01\x00\x01\x00");
        assert_eq!(bytes[8..16], 11u64.to_le_bytes());
        assert_eq!(bytes[16..24], 12u64.to_le_bytes());
        assert_eq!(bytes[24..32], KEY.object.to_le_bytes());
        assert_eq!(bytes[32..40], KEY.offset.to_le_bytes());
        assert_eq!(bytes[40..44], KEY.bytes.to_le_bytes());
        assert_eq!(bytes[44..48], 4u32.to_le_bytes());
        assert_eq!(bytes[48..52], crc32fast::hash(b"data").to_le_bytes());
        assert_eq!(bytes[52..56], crc32fast::hash(&bytes[..52]).to_le_bytes());
        assert_eq!(&bytes[56..60], b"data");
        assert!(bytes[60..].iter().all(|&b| b == 0));

        let block = SUPERBLOCK.encode();
        assert_eq!(block.len(), SUPERBLOCK_BYTES);
        assert_eq!(&block[..16], b"aqfcache\x03\0\0\0\x09\0\0\0");
        assert_eq!(block[16..24], (1u64 << 20).to_le_bytes());
        assert_eq!(block[24..32], 77u64.to_le_bytes());
        assert_eq!(block[32..40], 78u64.to_le_bytes());
        assert_eq!(block[40..48], 8192u64.to_le_bytes());
        assert_eq!(block[48..52], 5u32.to_le_bytes());
        assert_eq!(block[52..60], 6u64.to_le_bytes());
        assert_eq!(block[60..64], crc32fast::hash(&block[..60]).to_le_bytes());
    }

    const SUPERBLOCK: Superblock = Superblock {
        regions: 9,
        region_bytes: 1 << 20,
        life: 77,
        store: 78,
        index_bytes: 8192,
        snapshot: 5,
        generation: 6,
    };

    #[test]
    fn a_superblock_whose_generation_has_none_after_it_is_damaged() {
        for (generation, is_ours) in
            [(u64::MAX, false), (GENERATIONS_MAX, false), (GENERATIONS_MAX - 1, true)]
        {
            let page = Superblock { generation, ..SUPERBLOCK }.encode();
            assert_eq!(Superblock::decode(&page).is_ok(), is_ours, "{generation}");
        }
    }

    #[test]
    fn a_superblock_reads_back_and_nothing_else_does() {
        let block = SUPERBLOCK.encode();
        assert_eq!(Superblock::decode(&block), Ok(SUPERBLOCK));
        for bit in 0..64 * 8 {
            let mut bad = block.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&bad).is_err(), "bit {bit}");
        }
        for cut in 0..64 {
            assert!(Superblock::decode(&block[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(Superblock::decode(&[0; 4096]), Err(BadSuperblock::NotOurs));
        let mut newer = block;
        newer[8] = 4;
        assert_eq!(Superblock::decode(&newer), Err(BadSuperblock::Version(4)));
    }

    #[test]
    fn every_flipped_bit_of_header_and_data_is_found() {
        let bytes = entry(b"some data of an entry");
        for bit in 0..(HEADER_BYTES + 21) * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(entry_data(&bad, ROUND, &KEY).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn something_else_is_not_the_entry() {
        let bytes = entry(b"data");
        for key in [
            CacheKey { object: 1, ..KEY },
            CacheKey { offset: KEY.offset + 1, ..KEY },
            CacheKey { bytes: 701, ..KEY },
        ] {
            assert_eq!(entry_data(&bytes, ROUND, &key), Err(BadEntry::Identity));
        }
        for round in [Round { life: 10, ..ROUND }, Round { generation: 13, ..ROUND }] {
            assert_eq!(entry_data(&bytes, round, &KEY), Err(BadEntry::Identity));
        }
    }

    #[test]
    fn every_cut_is_found_and_nothing_panics() {
        let bytes = entry(b"data");
        for cut in 0..HEADER_BYTES + 4 {
            assert!(entry_data(&bytes[..cut], ROUND, &KEY).is_err(), "cut at {cut}");
        }
        assert_eq!(entry_data(&[0; 512], ROUND, &KEY), Err(BadEntry::Header));
        assert_eq!(entry_data(&[0xff; 512], ROUND, &KEY), Err(BadEntry::Header));
    }
}
