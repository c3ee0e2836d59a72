//! The bytes of the SSD file, and nothing about files.
//!
//! ```text
//! file     | superblock 4096 | region 0 | region 1 | .. | region N-1 |        all of region_bytes (a multiple of 4096)
//! region   | entry | entry | .. | unused |                                     each entry begins on a 512-byte sector
//! entry    | header 56 | data (data_bytes) | zeros to the next sector |
//!
//! superblock                                   entry header
//!  at size field                                at size field
//!   0    8 magic "aqfcache"                      0    4 magic "aqfe"
//!   8    4 version = 1                           4    2 version = 1
//!  12    4 regions                               6    2 class: 0 Data, 1 Meta
//!  16    8 region_bytes                          8    8 life: the superblock's
//!  24    8 life: random, new at each open       16    8 generation: how often a region had been begun, this time included
//!  32    4 crc32 of bytes 0..32                 24    8 object  ┐
//!  36 4060 zeros                                32    8 offset  ├ the CacheKey
//!                                               40    4 bytes   ┘
//!                                               44    4 data_bytes
//!                                               48    4 crc32 of the data
//!                                               52    4 crc32 of bytes 0..52
//! ```
//!
//! All integers are little-endian; crc32 is the IEEE polynomial. An entry is used only when both checksums hold and
//! life, generation and key are the ones asked for: what an older file, an older round of the region, or a misdirected write left behind is
//! a miss.

use crate::key::{CacheKey, Class};

/// Unit of packing and of addresses in the index.
pub(crate) const SECTOR_BYTES: usize = 512;
/// Unit of writes and of regions.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Before the first region.
pub(crate) const SUPERBLOCK_BYTES: usize = 4096;
/// In front of the data of each entry.
pub(crate) const HEADER_BYTES: usize = 56;

const FILE_MAGIC: [u8; 8] = *b"aqfcache";
const FILE_VERSION: u32 = 1;
const SUPERBLOCK_USED_BYTES: usize = 36;
const ENTRY_MAGIC: [u8; 4] = *b"aqfe";
const ENTRY_VERSION: u16 = 1;

const _: () = assert!(8 + 4 + 4 + 8 + 8 + 4 == SUPERBLOCK_USED_BYTES);
const _: () = assert!(4 + 2 + 2 + 8 + 8 + 8 + 8 + 4 + 4 + 4 + 4 == HEADER_BYTES);
const _: () =
    assert!(SUPERBLOCK_USED_BYTES <= SUPERBLOCK_BYTES && SUPERBLOCK_BYTES.is_multiple_of(PAGE_BYTES));
const _: () = assert!(HEADER_BYTES < SECTOR_BYTES && PAGE_BYTES.is_multiple_of(SECTOR_BYTES));

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
    (HEADER_BYTES + data_bytes).next_multiple_of(SECTOR_BYTES)
}

/// The first page of the file.
pub(crate) fn superblock(regions: u32, region_bytes: u64, life: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(SUPERBLOCK_BYTES);
    out.extend_from_slice(&FILE_MAGIC);
    out.extend_from_slice(&FILE_VERSION.to_le_bytes());
    out.extend_from_slice(&regions.to_le_bytes());
    out.extend_from_slice(&region_bytes.to_le_bytes());
    out.extend_from_slice(&life.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    debug_assert_eq!(out.len(), SUPERBLOCK_USED_BYTES);
    out.resize(SUPERBLOCK_BYTES, 0);
    out
}

/// Appends one entry, padded to the sector. `data` must be shorter than 4 GiB (entries are far smaller).
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

/// The data of the entry that `bytes` begin with, if it is `key` as written in `round`.
pub(crate) fn entry_data<'a>(bytes: &'a [u8], round: Round, key: &CacheKey) -> Result<&'a [u8], BadEntry> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(BadEntry::Header)?;
    let (checked, _) = header.split_at_checked(HEADER_BYTES - 4).ok_or(BadEntry::Header)?;
    let mut fields = Fields(header);
    let (Some(magic), Some(version), Some(_class)) =
        (fields.take::<4>(), fields.take::<2>(), fields.take::<2>())
    else {
        return Err(BadEntry::Header);
    };
    let found = (|| {
        let round = Round { life: fields.u64()?, generation: fields.u64()? };
        let key = CacheKey { object: fields.u64()?, offset: fields.u64()?, bytes: fields.u32()? };
        Some((round, key, fields.u32()?, fields.u32()?, fields.u32()?))
    })();
    let (found_round, found_key, data_bytes, data_crc, header_crc) = found.ok_or(BadEntry::Header)?;
    if magic != ENTRY_MAGIC
        || version != ENTRY_VERSION.to_le_bytes()
        || crc32fast::hash(checked) != header_crc
    {
        return Err(BadEntry::Header);
    }
    if found_round != round || found_key != *key {
        return Err(BadEntry::Identity);
    }
    let data = rest.get(..data_bytes as usize).ok_or(BadEntry::Data)?;
    if crc32fast::hash(data) == data_crc { Ok(data) } else { Err(BadEntry::Data) }
}

/// Takes little-endian fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
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
    fn an_entry_reads_back_and_fills_whole_sectors() {
        for length in [0, 1, 455, 456, 457, 700, 4096] {
            let data: Vec<u8> = (0..length).map(|n: usize| (n % 251) as u8).collect();
            let bytes = entry(&data);
            assert_eq!(bytes.len() % SECTOR_BYTES, 0);
            assert_eq!(bytes.len(), entry_bytes(length));
            assert_eq!(entry_data(&bytes, ROUND, &KEY), Ok(&data[..]));
        }
        assert_eq!(entry_bytes(456), 512);
        assert_eq!(entry_bytes(457), 1024);
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

        let block = superblock(9, 1 << 20, 77);
        assert_eq!(block.len(), SUPERBLOCK_BYTES);
        assert_eq!(&block[..16], b"aqfcache\x01\0\0\0\x09\0\0\0");
        assert_eq!(block[16..24], (1u64 << 20).to_le_bytes());
        assert_eq!(block[24..32], 77u64.to_le_bytes());
        assert_eq!(block[32..36], crc32fast::hash(&block[..32]).to_le_bytes());
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
