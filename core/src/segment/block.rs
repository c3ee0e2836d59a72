//! A block: the unit that is checksummed, compressed and cached.
//!
//! ```text
//! offset  bytes  field
//!      0      4  magic, the letters "AqBk"
//!      4      1  kind: 1 data, 2 index, 3 filter, 4 properties
//!      5      1  format version: 1
//!      6      1  compression of the payload: 0 none, 1 zstd
//!      7      1  zero
//!      8      4  payload bytes as stored
//!     12      4  payload bytes after decompression
//!     16      4  CRC-32 of the stored payload
//!     20      8  tag of the segment, a random number that the manifest names too
//!     28      4  CRC-32 of bytes 0 to 28
//!     32      -  payload
//! ```
//! The header's checksum is verified before any length of it is trusted, the payload's before it is decompressed.

use super::Place;
use crate::codec::{Reader, stored_u32};
use crate::error::Result;
use crate::limits::BLOCK_BYTES_MAX;
use crate::options::Compression;
use bytes::Bytes;
use std::cell::RefCell;

pub(crate) const HEADER_BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"AqBk";
const VERSION: u8 = 1;
const HEADER_CRC_AT: usize = 28;

const _: () = assert!(4 + 1 + 1 + 1 + 1 + 4 + 4 + 4 + 8 == HEADER_CRC_AT);
const _: () = assert!(HEADER_CRC_AT + 4 == HEADER_BYTES);

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Data = 1,
    Index = 2,
    Filter = 3,
    Properties = 4,
}

/// Compresses and frames payloads; keeps its zstd context from block to block.
pub(crate) struct Encoder {
    tag: u64,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

/// Length and payload checksum of a block that was written: what its parent keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: u32,
    pub(crate) crc: u32,
}

impl Encoder {
    pub(crate) fn new(tag: u64, compression: Compression) -> Result<Self> {
        let zstd = match compression {
            Compression::None => None,
            Compression::Zstd { level } => Some(zstd::bulk::Compressor::new(level).map_err(|error| {
                crate::Error::invalid(format!("zstd level {level} is not possible: {error}"))
            })?),
        };
        Ok(Self { tag, zstd })
    }

    /// Appends the block to `out`. A payload that zstd does not shrink by an eighth is stored as it is.
    pub(crate) fn encode(&mut self, kind: Kind, raw: &[u8], out: &mut Vec<u8>) -> Written {
        let packed = match (&mut self.zstd, kind) {
            (Some(zstd), Kind::Data) => {
                zstd.compress(raw).ok().filter(|packed| packed.len() <= raw.len() - raw.len() / 8)
            }
            _ => None,
        };
        let payload = packed.as_deref().unwrap_or(raw);
        let crc = crc32fast::hash(payload);
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[kind as u8, VERSION, u8::from(packed.is_some()), 0]);
        out.extend_from_slice(&stored_u32(payload.len()).to_le_bytes());
        out.extend_from_slice(&stored_u32(raw.len()).to_le_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.tag.to_le_bytes());
        let header_crc = crc32fast::hash(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&header_crc.to_le_bytes());
        out.extend_from_slice(payload);
        Written { bytes: stored_u32(HEADER_BYTES + payload.len()), crc }
    }
}

/// What the parent says about a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) kind: Kind,
    pub(crate) tag: u64,
    pub(crate) crc: u32,
}

/// Verifies `stored`, the whole block as read from `place`, against itself and its parent, and returns its raw payload.
pub(crate) fn decode(stored: &Bytes, expected: Expected, place: &Place) -> Result<Bytes> {
    let too_short = || place.corrupt("a block header of 32 bytes", format!("{} bytes", stored.len()));
    let header = stored.first_chunk::<HEADER_BYTES>().ok_or_else(too_short)?;
    let mut fields = Reader::new(header);
    let fixed: [u8; 8] = fields.array().ok_or_else(too_short)?;
    let payload_bytes = fields.u32().ok_or_else(too_short)?;
    let raw_bytes = fields.u32().ok_or_else(too_short)?;
    let crc = fields.u32().ok_or_else(too_short)?;
    let tag = fields.u64().ok_or_else(too_short)?;
    let header_crc = fields.u32().ok_or_else(too_short)?;
    let computed = crc32fast::hash(header.split_at(HEADER_CRC_AT).0);
    if computed != header_crc {
        return Err(place.corrupt(format!("header checksum {header_crc:08x}"), format!("{computed:08x}")));
    }
    let [m0, m1, m2, m3, kind, version, compression, _] = fixed;
    if [m0, m1, m2, m3] != MAGIC || version != VERSION {
        return Err(place.corrupt(
            format!("a block of version {VERSION}"),
            format!("{:02x?}, version {version}", [m0, m1, m2, m3]),
        ));
    }
    if kind != expected.kind as u8 {
        return Err(place.corrupt(format!("a {:?} block", expected.kind), format!("kind {kind}")));
    }
    if tag != expected.tag {
        return Err(place.corrupt(format!("segment {:016x}", expected.tag), format!("segment {tag:016x}")));
    }
    let payload = stored.slice(HEADER_BYTES..);
    if payload.len() != payload_bytes as usize {
        return Err(
            place.corrupt(format!("{payload_bytes} payload bytes"), format!("{} bytes", payload.len()))
        );
    }
    if raw_bytes > BLOCK_BYTES_MAX {
        return Err(place.corrupt(format!("at most {BLOCK_BYTES_MAX} raw bytes"), raw_bytes));
    }
    let computed = crc32fast::hash(&payload);
    if computed != crc || crc != expected.crc {
        return Err(place.corrupt(format!("checksum {:08x}", expected.crc), format!("{computed:08x}")));
    }
    match compression {
        0 if raw_bytes == payload_bytes => Ok(payload),
        1 => decompress(&payload, raw_bytes, place),
        other => {
            Err(place.corrupt("compression 0 or 1 and lengths that agree", format!("compression {other}")))
        }
    }
}

thread_local! {
    /// One zstd context a thread: a fresh one for each block would cost more than the block.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(payload: &[u8], raw_bytes: u32, place: &Place) -> Result<Bytes> {
    let decompressed = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(decompressor) => decompressor,
            None => decompressor.insert(zstd::bulk::Decompressor::new()?),
        };
        decompressor.decompress(payload, raw_bytes as usize)
    });
    let raw = decompressed.map_err(|error| place.corrupt("a zstd frame", error))?;
    if raw.len() != raw_bytes as usize {
        return Err(place.corrupt(format!("{raw_bytes} raw bytes"), format!("{} bytes", raw.len())));
    }
    Ok(Bytes::from(raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_remote::ObjectName;

    fn place() -> Place {
        Place { object: ObjectName::new("pack/test").unwrap(), offset: 4096 }
    }

    fn encoded(compression: Compression, raw: &[u8]) -> (Bytes, Expected) {
        let mut out = Vec::new();
        let written = Encoder::new(7, compression).unwrap().encode(Kind::Data, raw, &mut out);
        assert_eq!(written.bytes as usize, out.len());
        (Bytes::from(out), Expected { kind: Kind::Data, tag: 7, crc: written.crc })
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
            }
        }
    }

    #[test]
    fn a_sound_block_of_another_place_is_refused() {
        let (stored, expected) = encoded(Compression::None, b"payload");
        assert!(decode(&stored, Expected { tag: 8, ..expected }, &place()).is_err(), "of another segment");
        assert!(
            decode(&stored, Expected { kind: Kind::Index, ..expected }, &place()).is_err(),
            "of another kind"
        );
        assert!(decode(&stored, Expected { crc: 1, ..expected }, &place()).is_err(), "of another position");
    }
}
