//! A block: the unit that is checksummed and compressed.
//!
//! ```text
//! offset  bytes  field
//!      0      4  magic, the letters "AqBk"
//!      4      1  kind: 1 data, 2 partition meta, 3 head, 4 dictionary
//!      5      1  format version: 2, or 3 of a data block of more than 80 MiB: one key's chain that is longer than a value may be
//!      6      1  compression of the payload: 0 none, 1 zstd, 2 zstd with the segment's dictionary
//!      7      1  zero
//!      8      4  payload bytes as stored
//!     12      4  payload bytes after decompression
//!     16      4  CRC-32 of the stored payload
//!     20      4  CRC-32 of bytes 0 to 20: the block's checksum, which its parent keeps too
//!     24      -  payload
//! ```
//! The parent's checksum covers the header, the header's covers the payload: both are verified before any length is trusted or anything
//! is decompressed. Nothing in a block says which segment it is of, so that a merge can copy it into another one as it is; a block that
//! is sound but of another place shows by the parent's checksum.

use super::place::SegmentPlace;
use crate::codec::{Reader, stored_u32};
use crate::compression_options::Compression;
use crate::error::{Error, Result};
use crate::limits::{BLOCK_BYTES_MAX, LONG_BLOCK_BYTES_MAX};
use bytes::Bytes;
use std::cell::RefCell;

pub(crate) const HEADER_BYTES: usize = 24;
const MAGIC: [u8; 4] = *b"AqBk";
const VERSION: u8 = 2;
/// Of a data block with more raw bytes than [`BLOCK_BYTES_MAX`].
const VERSION_LONG: u8 = 3;
const HEADER_CRC_AT: usize = 20;

const _: () = assert!(4 + 1 + 1 + 1 + 1 + 4 + 4 + 4 == HEADER_CRC_AT);
const _: () = assert!(HEADER_CRC_AT + 4 == HEADER_BYTES);

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Data = 1,
    Partition = 2,
    Head = 3,
    Dictionary = 4,
}

/// How a payload is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Packing {
    Raw = 0,
    Zstd = 1,
    ZstdDictionary = 2,
}

/// A dictionary that the data blocks of a segment are compressed with.
#[derive(Clone, Debug)]
pub(crate) struct Dictionary {
    bytes: Bytes,
    /// Tells dictionaries of one thread apart.
    hash: u64,
}

impl Dictionary {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_64(&bytes);
        Self { bytes, hash }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Compresses and frames payloads; keeps its zstd context from block to block.
pub(crate) struct Encoder {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    level: i32,
    packing: Packing,
}

/// Length and checksum of a block that was written: what its parent keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: u32,
    pub(crate) crc: u32,
}

impl Encoder {
    pub(crate) fn new(compression: Compression) -> Result<Self> {
        let (zstd, level) = match compression {
            Compression::None => (None, 0),
            Compression::Zstd { level } => {
                let zstd = zstd::bulk::Compressor::new(level).map_err(|error| impossible(level, &error))?;
                (Some(zstd), level)
            }
        };
        Ok(Self { zstd, level, packing: Packing::Zstd })
    }

    /// From now on data blocks are compressed with `dictionary`. Without compression it changes nothing.
    pub(crate) fn use_dictionary(&mut self, dictionary: &Dictionary) -> Result<()> {
        if let Some(zstd) = &mut self.zstd {
            zstd.set_dictionary(self.level, dictionary.bytes())
                .map_err(|error| impossible(self.level, &error))?;
            self.packing = Packing::ZstdDictionary;
        }
        Ok(())
    }

    pub(crate) fn compresses(&self) -> bool {
        self.zstd.is_some()
    }

    /// Appends the block to `out`. A payload that zstd does not shrink by an eighth is stored as it is; only data blocks are compressed.
    ///
    /// # Errors
    /// `Invalid` for more bytes than its readers take; nothing is appended then.
    pub(crate) fn encode(&mut self, kind: Kind, raw: &[u8], out: &mut Vec<u8>) -> Result<Written> {
        let version = version_of(kind, raw.len())?;
        let packed = match (&mut self.zstd, kind) {
            (Some(zstd), Kind::Data) => {
                zstd.compress(raw).ok().filter(|packed| packed.len() <= raw.len() - raw.len() / 8)
            }
            _ => None,
        };
        let payload = packed.as_deref().unwrap_or(raw);
        let packing = if packed.is_some() { self.packing } else { Packing::Raw };
        let start = out.len();
        out.reserve(HEADER_BYTES + payload.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[kind as u8, version, packing as u8, 0]);
        out.extend_from_slice(&stored_u32(payload.len()).to_le_bytes());
        out.extend_from_slice(&stored_u32(raw.len()).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(payload);
        Ok(Written { bytes: stored_u32(HEADER_BYTES + payload.len()), crc })
    }
}

/// The format version of a block, by what it holds.
fn version_of(kind: Kind, raw_bytes: usize) -> Result<u8> {
    if raw_bytes <= BLOCK_BYTES_MAX as usize {
        return Ok(VERSION);
    }
    if kind == Kind::Data && raw_bytes <= LONG_BLOCK_BYTES_MAX as usize {
        return Ok(VERSION_LONG);
    }
    let most = if kind == Kind::Data { LONG_BLOCK_BYTES_MAX } else { BLOCK_BYTES_MAX };
    Err(Error::invalid(format!(
        "a {kind:?} block of {raw_bytes} bytes, of which its readers take {most}: nothing was written"
    )))
}

fn impossible(level: i32, error: &std::io::Error) -> Error {
    Error::invalid(format!("zstd level {level} is not possible: {error}"))
}

/// What the parent says about a block, and what it needs to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) kind: Kind,
    pub(crate) crc: u32,
    pub(crate) dictionary: Option<&'a Dictionary>,
}

/// A verified header.
struct Header {
    packing: u8,
    raw_bytes: u32,
}

/// Verifies `stored`, the whole block as read from `place`, against itself and its parent, without decompressing it.
pub(crate) fn verify(stored: &[u8], expected: Expected<'_>, place: &SegmentPlace) -> Result<()> {
    verified(stored, expected, place).map(drop)
}

/// Verifies `stored`, the whole block as read from `place`, against itself and its parent, and returns its raw payload.
pub(crate) fn decode(stored: &Bytes, expected: Expected<'_>, place: &SegmentPlace) -> Result<Bytes> {
    let header = verified(stored, expected, place)?;
    let payload = stored.slice(HEADER_BYTES..);
    if header.packing == Packing::Raw as u8 && header.raw_bytes as usize == payload.len() {
        return Ok(payload);
    }
    if header.packing == Packing::Zstd as u8 {
        return decompress(&payload, header.raw_bytes, None, place);
    }
    if header.packing == Packing::ZstdDictionary as u8 && expected.dictionary.is_some() {
        return decompress(&payload, header.raw_bytes, expected.dictionary, place);
    }
    Err(place.corrupt(
        "compression 0, 1 or, with a dictionary, 2, and lengths that agree",
        format!("compression {}", header.packing),
    ))
}

fn verified(stored: &[u8], expected: Expected<'_>, place: &SegmentPlace) -> Result<Header> {
    let too_short = || place.corrupt("a block header of 24 bytes", format!("{} bytes", stored.len()));
    let (header, payload) = stored.split_first_chunk::<HEADER_BYTES>().ok_or_else(too_short)?;
    let mut fields = Reader::new(header);
    let fixed: [u8; 8] = fields.array().ok_or_else(too_short)?;
    let payload_bytes = fields.u32().ok_or_else(too_short)?;
    let raw_bytes = fields.u32().ok_or_else(too_short)?;
    let payload_crc = fields.u32().ok_or_else(too_short)?;
    let crc = fields.u32().ok_or_else(too_short)?;
    let computed = crc32fast::hash(header.split_at(HEADER_CRC_AT).0);
    if computed != crc || crc != expected.crc {
        return Err(place.corrupt(
            format!("a block with checksum {:08x}", expected.crc),
            format!("{crc:08x}, computed {computed:08x}"),
        ));
    }
    let [m0, m1, m2, m3, kind, version, packing, _] = fixed;
    if [m0, m1, m2, m3] != MAGIC || !(VERSION..=VERSION_LONG).contains(&version) {
        return Err(place.corrupt(
            format!("a block of version {VERSION} or {VERSION_LONG}"),
            format!("{:02x?}, version {version}", [m0, m1, m2, m3]),
        ));
    }
    if kind != expected.kind as u8 {
        return Err(place.corrupt(format!("a {:?} block", expected.kind), format!("kind {kind}")));
    }
    if payload.len() != payload_bytes as usize {
        return Err(
            place.corrupt(format!("{payload_bytes} payload bytes"), format!("{} bytes", payload.len()))
        );
    }
    if version_of(expected.kind, raw_bytes as usize).ok() != Some(version) {
        let most = if version == VERSION { BLOCK_BYTES_MAX } else { LONG_BLOCK_BYTES_MAX };
        return Err(
            place.corrupt(format!("at most {most} raw bytes in a block of version {version}"), raw_bytes)
        );
    }
    let computed = crc32fast::hash(payload);
    if computed != payload_crc {
        return Err(place.corrupt(format!("payload checksum {payload_crc:08x}"), format!("{computed:08x}")));
    }
    Ok(Header { packing, raw_bytes })
}

type Decompressor = zstd::bulk::Decompressor<'static>;

thread_local! {
    /// One zstd context a thread: a fresh one for each block would cost more than the block.
    static PLAIN: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
    /// One more that holds the dictionary used last, by its hash.
    static WITH_DICTIONARY: RefCell<Option<(u64, Decompressor)>> = const { RefCell::new(None) };
}

fn decompress(
    payload: &[u8],
    raw_bytes: u32,
    dictionary: Option<&Dictionary>,
    place: &SegmentPlace,
) -> Result<Bytes> {
    let capacity = raw_bytes as usize;
    let decompressed = match dictionary {
        None => PLAIN.with_borrow_mut(|kept| {
            let zstd = match kept {
                Some(zstd) => zstd,
                None => kept.insert(Decompressor::new()?),
            };
            zstd.decompress(payload, capacity)
        }),
        Some(dictionary) => WITH_DICTIONARY.with_borrow_mut(|kept| {
            let zstd = match kept {
                Some((hash, zstd)) if *hash == dictionary.hash => zstd,
                _ => &mut kept.insert((dictionary.hash, Decompressor::with_dictionary(&dictionary.bytes)?)).1,
            };
            zstd.decompress(payload, capacity)
        }),
    };
    let raw = decompressed.map_err(|error| place.corrupt("a zstd frame", error))?;
    if raw.len() != capacity {
        return Err(place.corrupt(format!("{raw_bytes} raw bytes"), format!("{} bytes", raw.len())));
    }
    Ok(Bytes::from(raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_remote::ObjectName;

    fn place() -> SegmentPlace {
        SegmentPlace { object: ObjectName::new("pack/test").unwrap(), offset: 4096 }
    }

    fn encoded(compression: Compression, raw: &[u8]) -> (Bytes, Expected<'static>) {
        let mut out = Vec::new();
        let written = Encoder::new(compression).unwrap().encode(Kind::Data, raw, &mut out).unwrap();
        assert_eq!(written.bytes as usize, out.len());
        (Bytes::from(out), Expected { kind: Kind::Data, crc: written.crc, dictionary: None })
    }

    #[test]
    fn round_trips_with_and_without_compression() {
        let dull = vec![b'a'; 4096];
        let wild: Vec<u8> = (0..4096u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
        for compression in [Compression::None, Compression::Zstd { level: 1 }] {
            for raw in [&dull[..], &wild[..], &[][..]] {
                let (stored, expected) = encoded(compression, raw);
                assert_eq!(decode(&stored, expected, &place()).unwrap(), raw);
            }
        }
        let (small, _) = encoded(Compression::Zstd { level: 1 }, &dull);
        assert!(small.len() < 100, "dull bytes shrink: {}", small.len());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_an_error_that_names_the_place() {
        for compression in [Compression::None, Compression::Zstd { level: 1 }] {
            let (stored, expected) =
                encoded(compression, b"some payload, some payload, some payload, some payload");
            for at in 0..stored.len() {
                for bit in 0..8 {
                    let mut bytes = stored.to_vec();
                    bytes[at] ^= 1 << bit;
                    let error = decode(&Bytes::from(bytes), expected, &place()).unwrap_err();
                    assert!(error.to_string().contains("pack/test at offset 4096"), "{error}");
                }
                assert!(decode(&stored.slice(..at), expected, &place()).is_err());
                assert!(verify(&stored[..at], expected, &place()).is_err());
            }
        }
    }

    /// Merged values of 96 MiB were written as blocks that no reader took: what is written is read, to the last byte.
    #[test]
    fn no_block_is_written_that_is_not_read() {
        let mut encoder = Encoder::new(Compression::Zstd { level: 1 }).unwrap();
        let usual = BLOCK_BYTES_MAX as usize;
        let raw = vec![7; usual + 1];
        for (kind, bytes, version) in
            [(Kind::Data, usual, 2), (Kind::Data, usual + 1, 3), (Kind::Head, usual, 2)]
        {
            let mut out = Vec::new();
            let written = encoder.encode(kind, &raw[..bytes], &mut out).unwrap();
            assert_eq!(out[5], version);
            let expected = Expected { kind, crc: written.crc, dictionary: None };
            assert!(
                decode(&Bytes::from(out), expected, &place()).unwrap().len() == bytes,
                "{kind:?} of {bytes}"
            );
        }
        let mut out = Vec::new();
        let error = encoder.encode(Kind::Partition, &raw, &mut out).unwrap_err();
        assert!(out.is_empty() && error.to_string().contains("nothing was written"), "{error}");
        // The same function says for writer and reader which lengths there are.
        let long = LONG_BLOCK_BYTES_MAX as usize;
        assert_eq!(version_of(Kind::Data, long).ok(), Some(3));
        for (kind, bytes) in [(Kind::Data, long + 1), (Kind::Head, usual + 1), (Kind::Dictionary, usual + 1)]
        {
            assert!(version_of(kind, bytes).is_err(), "{kind:?} of {bytes}");
        }
    }

    #[test]
    fn a_sound_block_of_another_place_is_refused() {
        let (stored, expected) = encoded(Compression::None, b"payload");
        assert!(
            decode(&stored, Expected { kind: Kind::Head, ..expected }, &place()).is_err(),
            "of another kind"
        );
        assert!(decode(&stored, Expected { crc: 1, ..expected }, &place()).is_err(), "of another position");
    }

    #[test]
    fn a_dictionary_shrinks_small_blocks_and_is_needed_to_read_them() {
        let row =
            |n: u32| format!("{{\"customer\":\"c-{n:06}\",\"state\":\"waiting\",\"amount\":{}}}", n * 37);
        let dictionary = Dictionary::new(Bytes::from((0..20).map(row).collect::<String>()));
        let raw = row(77);
        let mut encoder = Encoder::new(Compression::Zstd { level: 3 }).unwrap();
        let mut plain = Vec::new();
        encoder.encode(Kind::Data, raw.as_bytes(), &mut plain).unwrap();
        encoder.use_dictionary(&dictionary).unwrap();
        let mut out = Vec::new();
        let written = encoder.encode(Kind::Data, raw.as_bytes(), &mut out).unwrap();
        assert!(out.len() < plain.len() * 3 / 4, "{} of {}", out.len(), plain.len());
        let stored = Bytes::from(out);
        let with = Expected { kind: Kind::Data, crc: written.crc, dictionary: Some(&dictionary) };
        for _ in 0..2 {
            assert_eq!(decode(&stored, with, &place()).unwrap(), raw.as_bytes());
        }
        assert!(decode(&stored, Expected { dictionary: None, ..with }, &place()).is_err());
        let other = Dictionary::new(Bytes::from_static(b"something else altogether"));
        assert_ne!(other.bytes(), dictionary.bytes());
        let wrong = decode(&stored, Expected { dictionary: Some(&other), ..with }, &place());
        assert_ne!(wrong.ok().as_deref(), Some(raw.as_bytes()));
        assert_eq!(decode(&stored, with, &place()).unwrap(), raw.as_bytes());
    }
}
