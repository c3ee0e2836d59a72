//! The bytes of a manifest.
//!
//! ```text
//! offset  bytes  field
//!      0      8  magic, the letters "AqManift"
//!      8      4  format version: 2, 3 with a hot list, 4 with what openings agree on as well
//!     12      4  zero
//!     16      8  number of this manifest
//!     24      8  epoch of its writer
//!     32      8  attempt: random, tells this very PUT from every other
//!     40      8  checkpoint: number of the manifest that last committed one; 0 before the first
//!     48      8  sequence that the next segment gets
//!     56      2  key groups of the store
//!     58      2  first key group of the partition
//!     60      2  its end, exclusive
//!     62      2  zero
//!     64      4  number of objects
//!     68      4  number of segments
//!     72      4  bytes of the checkpoint's metadata
//!     76      4  bytes of the body
//!     80      4  CRC-32 of the body
//!     84      4  bytes of the hot list; 0 in version 2
//!     88      4  bytes of what openings agree on; 0 before version 4
//!     92      4  CRC-32 of bytes 0 to 92
//!     96      -  body: objects, segments, metadata, hot list (see hot.rs), what openings agree on (see agreed.rs)
//!
//! object:   2 bytes length, name
//! segment:  offset  bytes  field
//!                0      4  position of its object in the list above
//!                4      4  its bytes
//!                8      8  its offset in the object
//!               16      4  bytes of its tail: dictionary, head, footer
//!               20      4  CRC-32 of its footer
//!               24      8  tag
//!               32      8  sequence: higher is newer
//!               40      2  first key group that it counts for here
//!               42      2  end of these, exclusive
//!               44      1  level: 0 for a tier, 1 for the leveled bottom; up to 15 can be stored
//!               45      3  zero
//!               48     56  counts of its entries, of the segment as a whole (see segment/counts.rs)
//!              104      4  range deletions
//!              108      4  zero
//!              112      4  bytes of its smallest key, then of its largest
//!              120      -  smallest key, largest key (engine keys, range deletions included, of the segment as a whole)
//! ```
//! Segments stand newest first: tiers by falling sequence, then the bottom level. Segments of level 0 with one sequence are one sorted
//! run, cut into pieces, and so are all segments of level 1, whatever their sequences: the keys of one run's segments do not overlap.

use super::agreed::{self, Agreed};
use super::hot::{self, HotSegments};
use crate::codec::{Reader, stored_u32};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{
    BORDER_BYTES_MAX, CHECKPOINT_METADATA_BYTES_MAX, EPOCHS_MAX, HOT_LIST_BYTES_MAX, MANIFEST_BYTES_MAX,
    MANIFEST_COUNTERS_MAX, MANIFEST_LEVELS_MAX, MANIFEST_SEGMENTS_MAX,
};
use crate::segment::SegmentEntry;
use crate::segment::counts::{COUNTS_BYTES, Counts};
use crate::segment::footer::FOOTER_BYTES;
use aquifer_remote::ObjectName;
use std::collections::HashMap;
use std::ops::Range;

const MAGIC: [u8; 8] = *b"AqManift";
/// Of a manifest without a hot list: any reader of version 2 takes it.
const VERSION: u32 = 2;
/// Of one with a hot list.
const VERSION_HOT: u32 = 3;
/// Of one that says what openings agree on.
const VERSION_AGREED: u32 = 4;
const HEADER_CRC_AT: usize = 92;
pub(crate) const HEADER_BYTES: usize = 96;
const SEGMENT_BYTES: usize = 120;
const _: () = assert!(8 + 4 + 4 + 5 * 8 + 4 * 2 + 6 * 4 + 4 == HEADER_CRC_AT);
const _: () = assert!(HEADER_CRC_AT + 4 == HEADER_BYTES);
const _: () =
    assert!(2 * 4 + 8 + 2 * 4 + 2 * 8 + 2 * 2 + 1 + 3 + COUNTS_BYTES + 4 + 4 + 2 * 4 == SEGMENT_BYTES);

/// A decoded manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) attempt: u64,
    pub(crate) checkpoint: u64,
    pub(crate) sequence_next: u64,
    pub(crate) key_groups: u16,
    pub(crate) groups: Range<u16>,
    /// Newest first.
    pub(crate) segments: Vec<SegmentEntry>,
    pub(crate) metadata: Vec<u8>,
    /// The hot list as it is stored, of whatever version: advice, that is looked at by who takes it ([`super::hot`]). Empty if there is none.
    pub(crate) hot: Vec<u8>,
    /// What openings agree on; nothing in manifests of stores that are older than this record.
    pub(crate) agreed: Agreed,
}

impl Manifest {
    /// What a store has before its first manifest.
    pub(crate) fn empty(key_groups: u16) -> Self {
        Self {
            number: 0,
            epoch: 0,
            attempt: 0,
            checkpoint: 0,
            sequence_next: 1,
            key_groups,
            groups: 0..key_groups,
            segments: Vec::new(),
            metadata: Vec::new(),
            hot: Vec::new(),
            agreed: Agreed::default(),
        }
    }

    /// The number that the next manifest gets.
    ///
    /// # Errors
    /// `Corrupt` at the last one possible: no store comes to it by itself.
    pub(crate) fn number_after(&self) -> Result<u64> {
        self.after("number", self.number, MANIFEST_COUNTERS_MAX)
    }

    /// The epoch of whoever opens next. Errors as [`Self::number_after`].
    pub(crate) fn epoch_after(&self) -> Result<u64> {
        self.after("epoch", self.epoch, EPOCHS_MAX)
    }

    fn after(&self, what: &str, counter: u64, end: u64) -> Result<u64> {
        counter.checked_add(1).filter(|&next| next < end).ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                format!(
                    "manifest {} has {what} {counter}, after which none is possible: it is damaged or made up, restore a copy of the store",
                    self.number
                ),
            )
        })
    }

    /// What is wrong with a counter: where it lies, what is expected and what is found.
    fn impossible_counter(&self) -> Option<(usize, String, String)> {
        let counters = [
            (16, "a number", self.number, MANIFEST_COUNTERS_MAX),
            (24, "an epoch", self.epoch, EPOCHS_MAX),
            (40, "a checkpoint", self.checkpoint, MANIFEST_COUNTERS_MAX),
            (48, "a next sequence", self.sequence_next, MANIFEST_COUNTERS_MAX),
        ];
        if let Some((offset, what, found, end)) =
            counters.into_iter().find(|&(_, _, found, end)| found >= end)
        {
            return Some((offset, format!("{what} below {end}"), found.to_string()));
        }
        (self.checkpoint > self.number).then(|| {
            (40, format!("a checkpoint up to manifest {}", self.number), self.checkpoint.to_string())
        })
    }

    /// Whether entries with a time to live are in it.
    pub(crate) fn has_expiring(&self) -> bool {
        self.segments.iter().any(|segment| segment.counts.expiring > 0)
    }

    /// The hot list, or what is wrong with it.
    pub(crate) fn hot_list(&self) -> std::result::Result<HotSegments<u32>, String> {
        hot::decode(&self.hot, self.segments.len())
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        if let Some((_, expected, found)) = self.impossible_counter() {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("manifest {} was not written: expected {expected}, found {found}", self.number),
            ));
        }
        if self.segments.len() > MANIFEST_SEGMENTS_MAX {
            return Err(Error::invalid(format!(
                "{} segments; a manifest names {MANIFEST_SEGMENTS_MAX}",
                self.segments.len()
            )));
        }
        if self.metadata.len() > CHECKPOINT_METADATA_BYTES_MAX {
            return Err(Error::invalid(format!(
                "checkpoint metadata of {} bytes; at most {CHECKPOINT_METADATA_BYTES_MAX} are possible",
                self.metadata.len()
            )));
        }
        if self.hot.len() > HOT_LIST_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a hot list of {} bytes; a manifest takes {HOT_LIST_BYTES_MAX}",
                self.hot.len()
            )));
        }
        let borders = self.segments.iter().map(|segment| segment.smallest.len().max(segment.largest.len()));
        if let Some(bytes) = borders.max().filter(|&bytes| bytes > BORDER_BYTES_MAX) {
            return Err(Error::invalid(format!(
                "a segment's border of {bytes} bytes; a manifest takes {BORDER_BYTES_MAX}"
            )));
        }
        let agreed = agreed::encoded(&self.agreed)?;
        let version = match (agreed.is_empty(), self.hot.is_empty()) {
            (true, true) => VERSION,
            (true, false) => VERSION_HOT,
            (false, _) => VERSION_AGREED,
        };
        let (mut body, objects) = self.encode_body();
        body.extend_from_slice(&agreed);
        let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for field in [self.number, self.epoch, self.attempt, self.checkpoint, self.sequence_next] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        for field in [self.key_groups, self.groups.start, self.groups.end, 0] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        let counts = [objects, self.segments.len(), self.metadata.len(), body.len()];
        counts.into_iter().for_each(|count| out.extend_from_slice(&stored_u32(count).to_le_bytes()));
        out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        out.extend_from_slice(&stored_u32(self.hot.len()).to_le_bytes());
        out.extend_from_slice(&stored_u32(agreed.len()).to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&body);
        if out.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a manifest of {} bytes for {} segments; its readers take {MANIFEST_BYTES_MAX}: let compaction make fewer of them",
                out.len(),
                self.segments.len()
            )));
        }
        Ok(out)
    }

    fn encode_body(&self) -> (Vec<u8>, usize) {
        let mut positions = HashMap::new();
        let mut body = Vec::new();
        for segment in &self.segments {
            let next = positions.len();
            positions.entry(segment.object.as_str()).or_insert_with(|| {
                // Names have at most 900 bytes.
                let length = u16::try_from(segment.object.as_str().len()).unwrap_or(u16::MAX);
                body.extend_from_slice(&length.to_le_bytes());
                body.extend_from_slice(segment.object.as_str().as_bytes());
                next
            });
        }
        for segment in &self.segments {
            let object = positions.get(segment.object.as_str()).copied().unwrap_or_default();
            body.extend_from_slice(&stored_u32(object).to_le_bytes());
            body.extend_from_slice(&segment.bytes.to_le_bytes());
            body.extend_from_slice(&segment.offset.to_le_bytes());
            body.extend_from_slice(&segment.tail_bytes.to_le_bytes());
            body.extend_from_slice(&segment.footer_crc.to_le_bytes());
            body.extend_from_slice(&segment.tag.to_le_bytes());
            body.extend_from_slice(&segment.sequence.to_le_bytes());
            body.extend_from_slice(&segment.groups.start.to_le_bytes());
            body.extend_from_slice(&segment.groups.end.to_le_bytes());
            body.extend_from_slice(&[segment.level, 0, 0, 0]);
            segment.counts.encode(&mut body);
            body.extend_from_slice(&segment.range_deletes.to_le_bytes());
            body.extend_from_slice(&[0; 4]);
            body.extend_from_slice(&stored_u32(segment.smallest.len()).to_le_bytes());
            body.extend_from_slice(&stored_u32(segment.largest.len()).to_le_bytes());
            body.extend_from_slice(&segment.smallest);
            body.extend_from_slice(&segment.largest);
        }
        body.extend_from_slice(&self.metadata);
        body.extend_from_slice(&self.hot);
        (body, positions.len())
    }

    /// Verifies and decodes the bytes of the object `name`.
    pub(crate) fn decode(bytes: &[u8], name: &ObjectName) -> Result<Self> {
        let corrupt = |offset: usize, expected: &str, found: String| {
            Error::corrupt(name.as_str(), offset as u64, expected, found)
        };
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(corrupt(bytes.len(), "a manifest header of 96 bytes", "its end".to_owned()));
        };
        let computed = crc32fast::hash(header.split_at(HEADER_CRC_AT).0);
        let (mut manifest, tail) =
            decode_header(header).ok_or_else(|| corrupt(0, "a manifest header", "a cut one".to_owned()))?;
        if tail.header_crc != computed {
            return Err(corrupt(
                HEADER_CRC_AT,
                &format!("header checksum {:08x}", tail.header_crc),
                format!("{computed:08x}"),
            ));
        }
        if tail.magic != MAGIC || !(VERSION..=VERSION_AGREED).contains(&tail.version) {
            return Err(corrupt(
                0,
                &format!("a manifest of version {VERSION} to {VERSION_AGREED}"),
                format!("{:02x?}, version {}", tail.magic, tail.version),
            ));
        }
        if let Some((offset, expected, found)) = manifest.impossible_counter() {
            return Err(corrupt(offset, &expected, found));
        }
        if body.len() != tail.body_bytes as usize {
            return Err(corrupt(
                HEADER_BYTES,
                &format!("a body of {} bytes", tail.body_bytes),
                format!("{} bytes", body.len()),
            ));
        }
        let computed = crc32fast::hash(body);
        if computed != tail.body_crc {
            return Err(corrupt(
                HEADER_BYTES,
                &format!("body checksum {:08x}", tail.body_crc),
                format!("{computed:08x}"),
            ));
        }
        let mut fields = Reader::new(body);
        if decode_body(&mut fields, &tail, &mut manifest).is_none() || fields.remaining() > 0 {
            return Err(corrupt(
                HEADER_BYTES + fields.at(),
                "the objects and segments counted",
                "other bytes".to_owned(),
            ));
        }
        Ok(manifest)
    }
}

/// Header fields that only the decoder needs.
struct HeaderTail {
    magic: [u8; 8],
    version: u32,
    objects: u32,
    segments: u32,
    metadata_bytes: u32,
    body_bytes: u32,
    body_crc: u32,
    hot_bytes: u32,
    agreed_bytes: u32,
    header_crc: u32,
}

fn decode_header(header: &[u8; HEADER_BYTES]) -> Option<(Manifest, HeaderTail)> {
    let mut fields = Reader::new(header);
    let (magic, version) = (fields.array()?, fields.u32()?);
    fields.bytes(4)?;
    let (number, epoch, attempt) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let (checkpoint, sequence_next) = (fields.u64()?, fields.u64()?);
    let (key_groups, start, end) = (fields.u16()?, fields.u16()?, fields.u16()?);
    fields.bytes(2)?;
    let (objects, segments, metadata_bytes) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (body_bytes, body_crc) = (fields.u32()?, fields.u32()?);
    // In earlier versions these bytes had no meaning yet.
    let hot_bytes = fields.u32().map(|bytes| if version >= VERSION_HOT { bytes } else { 0 })?;
    let agreed_bytes = fields.u32().map(|bytes| if version >= VERSION_AGREED { bytes } else { 0 })?;
    let header_crc = fields.u32()?;
    let tail = HeaderTail {
        magic,
        version,
        objects,
        segments,
        metadata_bytes,
        body_bytes,
        body_crc,
        hot_bytes,
        agreed_bytes,
        header_crc,
    };
    let manifest = Manifest {
        number,
        epoch,
        attempt,
        checkpoint,
        sequence_next,
        key_groups,
        groups: start..end,
        segments: Vec::new(),
        metadata: Vec::new(),
        hot: Vec::new(),
        agreed: Agreed::default(),
    };
    Some((manifest, tail))
}

/// `None` where the body does not hold what the header counts, or a name or range in it is not possible.
fn decode_body(fields: &mut Reader<'_>, tail: &HeaderTail, manifest: &mut Manifest) -> Option<()> {
    let mut objects = Vec::new();
    for _ in 0..tail.objects {
        let length = fields.u16()? as usize;
        let name = std::str::from_utf8(fields.bytes(length)?).ok()?;
        objects.push(ObjectName::new(name).ok()?);
    }
    for _ in 0..tail.segments {
        let segment = decode_segment(fields, &objects)?;
        let inside =
            segment.groups.start >= manifest.groups.start && segment.groups.end <= manifest.groups.end;
        if segment.groups.is_empty() || !inside {
            return None;
        }
        manifest.segments.push(segment);
    }
    manifest.metadata = fields.bytes(tail.metadata_bytes as usize)?.to_vec();
    manifest.hot = fields.bytes(tail.hot_bytes as usize)?.to_vec();
    if tail.version >= VERSION_AGREED {
        manifest.agreed = Agreed::decode(fields.bytes(tail.agreed_bytes as usize)?)?;
    }
    Some(())
}

fn decode_segment(fields: &mut Reader<'_>, objects: &[ObjectName]) -> Option<SegmentEntry> {
    let object = objects.get(fields.u32()? as usize)?.clone();
    let bytes = fields.u32()?;
    let offset = fields.u64()?;
    let (tail_bytes, footer_crc) = (fields.u32()?, fields.u32()?);
    let (tag, sequence) = (fields.u64()?, fields.u64()?);
    let groups = fields.u16()?..fields.u16()?;
    let [level, ..]: [u8; 4] = fields.array()?;
    let counts = Counts::decode(fields)?;
    let range_deletes = fields.u32()?;
    fields.bytes(4)?;
    let (smallest, largest) = (fields.u32()? as usize, fields.u32()? as usize);
    let keys_fit = smallest.max(largest) <= BORDER_BYTES_MAX;
    let (smallest, largest) = (Box::from(fields.bytes(smallest)?), Box::from(fields.bytes(largest)?));
    let sound = tail_bytes as usize >= FOOTER_BYTES && tail_bytes <= bytes && smallest <= largest && keys_fit;
    offset.checked_add(u64::from(bytes)).filter(|_| sound && level < MANIFEST_LEVELS_MAX)?;
    Some(SegmentEntry {
        object,
        offset,
        bytes,
        tail_bytes,
        footer_crc,
        tag,
        sequence,
        level,
        groups,
        counts,
        range_deletes,
        smallest,
        largest,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::manifest::hot::{HotPartition, HotSegment};
    use crate::options::Domain;

    pub(crate) fn manifest(number: u64) -> Manifest {
        let segment = |n: u64| SegmentEntry {
            object: ObjectName::new(format!("pack/{}", n / 2)).unwrap(),
            offset: n * 1000,
            bytes: 1000,
            tail_bytes: 200,
            footer_crc: 7,
            tag: n,
            sequence: 10 - n,
            level: 0,
            groups: 0..64,
            counts: Counts { entries: 12, tombstones: 1, raw_bytes: 700, ..Counts::default() },
            range_deletes: 2,
            smallest: Box::from([0, 0, b'a'].as_slice()),
            largest: Box::from([0, 63, b'z'].as_slice()),
        };
        Manifest {
            number,
            epoch: 3,
            attempt: 99,
            checkpoint: 5,
            sequence_next: 11,
            key_groups: 128,
            groups: 0..128,
            segments: (0..5).map(segment).collect(),
            metadata: b"position 17".to_vec(),
            hot: Vec::new(),
            agreed: Agreed::default(),
        }
    }

    /// The same with a hot list.
    pub(crate) fn hot_manifest(number: u64) -> Manifest {
        let partition = |position, rank, blocks| HotPartition { position, rank, blocks };
        let list = [
            HotSegment { segment: 0, partitions: vec![partition(3, 2, 0b101), partition(9, 0, 0)] },
            HotSegment { segment: 4, partitions: Vec::new() },
        ];
        Manifest { hot: hot::encode(&list), ..manifest(number) }
    }

    /// One that says what openings agree on.
    pub(crate) fn agreed_manifest(number: u64) -> Manifest {
        let operators = [("sum".to_owned(), 2), ("top".to_owned(), 1)].into_iter().collect();
        let agreed = Agreed { time: Some(Domain::Event), event_time_ms: 77, operators };
        Manifest { agreed, ..hot_manifest(number) }
    }

    #[test]
    fn round_trips() {
        let name = ObjectName::new("manifest").unwrap();
        for segments in [0, 1, 5] {
            let mut manifest = manifest(8);
            manifest.segments.truncate(segments);
            let bytes = manifest.encode().unwrap();
            assert_eq!(Manifest::decode(&bytes, &name).unwrap(), manifest);
            assert_eq!(bytes[8], 2, "one without a hot list is as it was before there were any");
        }
        let manifest = hot_manifest(8);
        let bytes = manifest.encode().unwrap();
        assert_eq!(bytes[8], 3);
        let decoded = Manifest::decode(&bytes, &name).unwrap();
        assert_eq!(hot::extents(&decoded.hot_list().unwrap()), 2);
        assert_eq!(decoded, manifest);
        for hot in [hot_manifest(8).hot, Vec::new()] {
            let manifest = Manifest { hot, ..agreed_manifest(8) };
            let bytes = manifest.encode().unwrap();
            assert_eq!(bytes[8], 4);
            assert_eq!(Manifest::decode(&bytes, &name).unwrap(), manifest);
        }
    }

    /// Metadata, hot list and borders of keys as long as they may be, and one byte more.
    #[test]
    fn what_is_written_at_its_bounds_is_read_and_what_is_beyond_them_is_not_written() {
        let name = ObjectName::new("manifest").unwrap();
        type Change = fn(&mut Manifest, usize);
        let bounds: [(usize, Change); 3] = [
            (CHECKPOINT_METADATA_BYTES_MAX, |m, bytes| m.metadata = vec![1; bytes]),
            (HOT_LIST_BYTES_MAX, |m, bytes| m.hot = vec![1; bytes]),
            (BORDER_BYTES_MAX, |m, bytes| m.segments[0].largest = vec![0xff; bytes].into()),
        ];
        for (most, change) in bounds {
            let mut manifest = agreed_manifest(8);
            change(&mut manifest, most);
            assert_eq!(Manifest::decode(&manifest.encode().unwrap(), &name).unwrap(), manifest);
            change(&mut manifest, most + 1);
            assert!(manifest.encode().is_err(), "{most}");
        }
    }

    /// A list of a later version, or one that makes no sense, is advice that nobody understands: the manifest is sound.
    #[test]
    fn a_hot_list_that_makes_no_sense_does_not_keep_a_manifest_from_opening() {
        let name = ObjectName::new("manifest").unwrap();
        for hot in [b"\x09 a later version".to_vec(), vec![1, 200, 1, 1]] {
            let manifest = Manifest { hot, ..manifest(8) };
            let decoded = Manifest::decode(&manifest.encode().unwrap(), &name).unwrap();
            assert!(decoded.hot_list().is_err());
            assert_eq!(decoded, manifest);
        }
        let long = Manifest { hot: vec![1; HOT_LIST_BYTES_MAX + 1], ..manifest(8) };
        assert!(long.encode().is_err());
    }

    #[test]
    fn every_flipped_byte_and_every_truncation_is_an_error_that_names_the_object() {
        let name = ObjectName::new("partition/m").unwrap();
        let good = agreed_manifest(8).encode().unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let error = Manifest::decode(&bad, &name).unwrap_err();
            assert!(error.to_string().contains("partition/m at offset"), "{error}");
            assert!(Manifest::decode(&good[..at], &name).is_err());
        }
        let mut longer = good;
        longer.push(0);
        assert!(Manifest::decode(&longer, &name).is_err());
    }

    #[test]
    fn too_much_metadata_is_refused_before_it_is_written() {
        let mut manifest = manifest(8);
        manifest.metadata = vec![0; CHECKPOINT_METADATA_BYTES_MAX + 1];
        assert!(manifest.encode().is_err());
    }
}
