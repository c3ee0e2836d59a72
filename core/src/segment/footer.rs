//! The footer: the last 64 bytes of a segment, from which the rest of its tail is found and verified.
//!
//! ```text
//! offset  bytes  field
//!      0      8  magic, the letters "AqSegmnt"
//!      8      4  format version: 2
//!     12      4  zero
//!     16      8  tag of the segment: random, also in the manifest
//!     24      4  bytes of the partitions = offset of the tail in the segment
//!     28      4  bytes of the dictionary block, which begins the tail; 0 without one
//!     32      4  its checksum
//!     36      4  bytes of the head block, which follows
//!     40      4  its checksum
//!     44     16  zero
//!     60      4  CRC-32 of bytes 0 to 60; the manifest keeps it too
//! ```

use super::block::Written;
use super::place::SegmentPlace;
use crate::codec::Reader;
use crate::error::Result;

pub(crate) const FOOTER_BYTES: usize = 64;
const MAGIC: [u8; 8] = *b"AqSegmnt";
const VERSION: u32 = 2;
const CRC_AT: usize = 60;
const _: () = assert!(8 + 4 + 4 + 8 + 4 + 2 * 4 + 2 * 4 + 16 == CRC_AT);
const _: () = assert!(CRC_AT + 4 == FOOTER_BYTES);

/// Where the parts of a segment's tail lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) tag: u64,
    pub(crate) partitions_bytes: u32,
    pub(crate) dictionary: Option<Written>,
    pub(crate) head: Written,
}

impl Footer {
    /// The footer's bytes, and its checksum for the manifest.
    pub(crate) fn encode(&self) -> ([u8; FOOTER_BYTES], u32) {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.tag.to_le_bytes());
        out.extend_from_slice(&self.partitions_bytes.to_le_bytes());
        for part in [self.dictionary.unwrap_or_default(), self.head] {
            out.extend_from_slice(&part.bytes.to_le_bytes());
            out.extend_from_slice(&part.crc.to_le_bytes());
        }
        out.extend_from_slice(&[0; 16]);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        let mut bytes = [0; FOOTER_BYTES];
        bytes.copy_from_slice(&out);
        (bytes, crc)
    }

    /// Verifies a footer read from `place` against the manifest's checksum and tag.
    pub(crate) fn decode(
        bytes: &[u8; FOOTER_BYTES],
        tag: u64,
        crc: u32,
        place: &SegmentPlace,
    ) -> Result<Self> {
        let computed = crc32fast::hash(bytes.split_at(CRC_AT).0);
        let mut fields = Reader::new(bytes);
        let parsed = (|| {
            let magic: [u8; 8] = fields.array()?;
            let version = fields.u32()?;
            fields.bytes(4)?;
            let found_tag = fields.u64()?;
            let partitions_bytes = fields.u32()?;
            let mut part = || Some(Written { bytes: fields.u32()?, crc: fields.u32()? });
            let (dictionary, head) = (part()?, part()?);
            fields.bytes(16)?;
            let dictionary = (dictionary.bytes > 0).then_some(dictionary);
            Some((magic, version, Self { tag: found_tag, partitions_bytes, dictionary, head }, fields.u32()?))
        })();
        match parsed {
            Some((MAGIC, VERSION, footer, stored))
                if stored == computed && stored == crc && footer.tag == tag =>
            {
                Ok(footer)
            }
            _ => Err(place.corrupt(
                format!("the footer, version {VERSION}, of segment {tag:016x} with checksum {crc:08x}"),
                format!("checksum {computed:08x}"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_remote::ObjectName;

    #[test]
    fn round_trips_and_refuses_every_flipped_bit() {
        let place = SegmentPlace { object: ObjectName::new("pack/test").unwrap(), offset: 0 };
        let part = |bytes| Written { bytes, crc: bytes * 3 };
        for dictionary in [None, Some(part(1))] {
            let footer = Footer { tag: 5, partitions_bytes: 900, dictionary, head: part(2) };
            let (bytes, crc) = footer.encode();
            assert_eq!(Footer::decode(&bytes, 5, crc, &place).unwrap(), footer);
            assert!(Footer::decode(&bytes, 6, crc, &place).is_err());
            assert!(Footer::decode(&bytes, 5, crc ^ 1, &place).is_err());
            for bit in 0..FOOTER_BYTES * 8 {
                let mut bad = bytes;
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(Footer::decode(&bad, 5, crc, &place).is_err(), "bit {bit}");
            }
        }
    }
}
