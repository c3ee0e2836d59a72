//! The footer: the last 64 bytes of a segment, from which the rest of it is found and verified.
//!
//! ```text
//! offset  bytes  field
//!      0      8  magic, the letters "AqSegmnt"
//!      8      4  format version: 1
//!     12      4  zero
//!     16      8  tag of the segment, also in its blocks and in the manifest
//!     24      4  offset of the filter block in the segment = end of the data blocks
//!     28      4  its bytes
//!     32      4  its payload's CRC-32
//!     36      4  bytes of the index block, which follows the filter block
//!     40      4  its payload's CRC-32
//!     44      4  bytes of the properties block, which follows the index block
//!     48      4  its payload's CRC-32
//!     52      8  zero
//!     60      4  CRC-32 of bytes 0 to 60; the manifest keeps it too
//! ```

use super::Place;
use super::block::Written;
use crate::codec::Reader;
use crate::error::Result;

pub(crate) const FOOTER_BYTES: usize = 64;
const MAGIC: [u8; 8] = *b"AqSegmnt";
const VERSION: u32 = 1;
const CRC_AT: usize = 60;
const _: () = assert!(8 + 4 + 4 + 8 + 3 * 4 + 2 * 4 + 2 * 4 + 8 == CRC_AT);
const _: () = assert!(CRC_AT + 4 == FOOTER_BYTES);

/// Where the parts of a segment's tail lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) tag: u64,
    pub(crate) filter_offset: u32,
    pub(crate) filter: Written,
    pub(crate) index: Written,
    pub(crate) properties: Written,
}

impl Footer {
    /// The footer's bytes, and its checksum for the manifest.
    pub(crate) fn encode(&self) -> ([u8; FOOTER_BYTES], u32) {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.tag.to_le_bytes());
        out.extend_from_slice(&self.filter_offset.to_le_bytes());
        for part in [self.filter, self.index, self.properties] {
            out.extend_from_slice(&part.bytes.to_le_bytes());
            out.extend_from_slice(&part.crc.to_le_bytes());
        }
        out.extend_from_slice(&[0; 8]);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        let mut bytes = [0; FOOTER_BYTES];
        bytes.copy_from_slice(&out);
        (bytes, crc)
    }

    /// Verifies a footer read from `place` against the manifest's checksum and tag.
    pub(crate) fn decode(bytes: &[u8; FOOTER_BYTES], tag: u64, crc: u32, place: &Place) -> Result<Self> {
        let computed = crc32fast::hash(bytes.split_at(CRC_AT).0);
        let mut fields = Reader::new(bytes);
        let parsed = (|| {
            let magic: [u8; 8] = fields.array()?;
            let version = fields.u32()?;
            fields.bytes(4)?;
            let found_tag = fields.u64()?;
            let filter_offset = fields.u32()?;
            let mut part = || Some(Written { bytes: fields.u32()?, crc: fields.u32()? });
            let footer =
                Self { tag: found_tag, filter_offset, filter: part()?, index: part()?, properties: part()? };
            fields.bytes(8)?;
            Some((magic, version, footer, fields.u32()?))
        })();
        match parsed {
            Some((MAGIC, VERSION, footer, stored))
                if stored == computed && stored == crc && footer.tag == tag =>
            {
                Ok(footer)
            }
            _ => Err(place.corrupt(
                format!("the footer of segment {tag:016x} with checksum {crc:08x}"),
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
        let place = Place { object: ObjectName::new("pack/test").unwrap(), offset: 0 };
        let part = |bytes| Written { bytes, crc: bytes * 3 };
        let footer =
            Footer { tag: 5, filter_offset: 900, filter: part(1), index: part(2), properties: part(3) };
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
