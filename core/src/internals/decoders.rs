//! Every decoder of bytes that come from a disk or the network, under one kind of call: any bytes may go in, no panic may come out.
//!
//! Checksums would hide what is behind them from a fuzzer, so payloads are also decoded as if theirs had held.

use crate::compact::offer::{Offer, decode_result};
use crate::descriptor::Descriptor;
use crate::manifest::format::{HEADER_BYTES, Manifest};
use crate::manifest::{hot, invariants};
use crate::segment::block::{self, Dictionary, Expected, Kind};
use crate::segment::counts::Counts;
use crate::segment::cursor::Cursor;
use crate::segment::data::{Access, DataBlock};
use crate::segment::filter::{self, Filter};
use crate::segment::footer::{FOOTER_BYTES, Footer};
use crate::segment::head::SegmentHead;
use crate::segment::partition::PartitionMeta;
use crate::segment::{SegmentEntry, SegmentPlace};
use crate::version::Version;
use aquifer_remote::ObjectName;
use bytes::Bytes;
use std::rc::Rc;

/// A decoder's name, and the decoder: `true` if it took the bytes.
pub type Decoder = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub const DECODERS: [Decoder; 10] = [
    ("block", block),
    ("data_block", data_block),
    ("partition_meta", partition_meta),
    ("filter", filter),
    ("head", head),
    ("tail", tail),
    ("manifest", manifest),
    ("hot_list", hot_list),
    ("job", job),
    ("descriptor", descriptor),
];

fn place() -> Option<SegmentPlace> {
    ObjectName::new("pack/any").ok().map(|object| SegmentPlace { object, offset: 0 })
}

/// A block of any kind, with and without a dictionary, as if its parent expected the checksum that it has.
pub fn block(bytes: &[u8]) -> bool {
    let Some(place) = place() else { return false };
    let crc = bytes.get(20..24).and_then(|crc| crc.try_into().ok()).map_or(0, u32::from_le_bytes);
    let dictionary = Dictionary::new(Bytes::from_static(b"words of a dictionary, words"));
    let stored = Bytes::copy_from_slice(bytes);
    [Kind::Data, Kind::Partition, Kind::Head, Kind::Dictionary].into_iter().any(|kind| {
        let plain = block::decode(&stored, Expected { kind, crc, dictionary: None }, &place);
        let with = Expected { kind, crc, dictionary: Some(&dictionary) };
        plain.or_else(|_| block::decode(&stored, with, &place)).is_ok()
    })
}

/// The payload of a data block: what is taken is walked both ways and searched for each of its keys.
pub fn data_block(bytes: &[u8]) -> bool {
    let Some(place) = place() else { return false };
    let Ok(decoded) = DataBlock::decode(bytes, Access::Points, &place) else {
        return false;
    };
    let decoded = Rc::new(decoded);
    let mut forward = Cursor::first(Rc::clone(&decoded));
    let mut entries = 0;
    while let Some((key, entry)) = forward.current() {
        assert_eq!(
            decoded.find(key, filter::hash(key)).map(|(_, found)| found),
            Some(entry),
            "a key that a walk meets is found"
        );
        entries += 1;
        forward.advance();
    }
    let mut backward = Cursor::last(decoded);
    while backward.is_valid() {
        entries -= 1;
        backward.retreat();
    }
    assert_eq!(entries, 0, "both ways meet as many entries");
    true
}

/// The payload of a partition's meta.
pub fn partition_meta(bytes: &[u8]) -> bool {
    let Some(place) = place() else { return false };
    // The bytes of data that its rows claim, so that what lies behind that check is reached too.
    let blocks = bytes.first_chunk::<4>().map_or(0, |blocks| u32::from_le_bytes(*blocks) as usize);
    let claimed = blocks.checked_mul(12).and_then(|rows| rows.checked_add(72 - 12));
    let claimed =
        claimed.and_then(|at| bytes.get(at..)?.first_chunk::<4>()).map_or(0, |end| u32::from_le_bytes(*end));
    let Ok(meta) = PartitionMeta::decode(Bytes::copy_from_slice(bytes), claimed, &place) else {
        return false;
    };
    for key in [meta.smallest(), meta.largest(), b"", &[0xff; 9]] {
        let block = meta.seek(key).and_then(|block| meta.block(block, 7));
        let _ = (block, meta.may_contain(filter::hash(key)));
    }
    true
}

/// A filter.
pub fn filter(bytes: &[u8]) -> bool {
    let Some(place) = place() else { return false };
    let Ok(filter) = Filter::decode(&Bytes::copy_from_slice(bytes), &place) else { return false };
    for n in 0..64u64 {
        let _ = filter.may_contain(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    true
}

/// The hot list of a manifest of a few segments: what is taken comes out again as it is.
pub fn hot_list(bytes: &[u8]) -> bool {
    let Ok(mut list) = hot::decode(bytes, 9) else { return false };
    assert_eq!(hot::decode(&hot::encode(&list), 9).as_ref(), Ok(&list), "what is taken can be written");
    hot::cut(&mut list, bytes.len() / 2);
    true
}

/// The payload of a segment's head.
pub fn head(bytes: &[u8]) -> bool {
    let Some(place) = place() else { return false };
    // Where its last partition claims to end.
    let field = |at: usize| bytes.get(at..)?.first_chunk::<4>().map(|field| u32::from_le_bytes(*field));
    let partitions = field(56).unwrap_or(0) as usize;
    let claimed =
        partitions.checked_mul(16).and_then(|rows| field(rows.checked_add(80 - 16 + 4)?)).unwrap_or(0);
    let claimed = if partitions == 0 { 0 } else { claimed };
    let Ok(head) = SegmentHead::decode_payload(Bytes::copy_from_slice(bytes), claimed, None, &place) else {
        return false;
    };
    for key in [head.smallest(), head.largest(), b"", &[0xff; 9]] {
        let _ =
            (head.seek(key).and_then(|position| head.partition(position)), head.range_deletes().covers(key));
    }
    let _ = (head.groups().count(), head.bytes_of(&(0..u16::MAX)), head.memory_bytes());
    true
}

/// The tail of a segment, under an entry of the manifest that fits its footer.
pub fn tail(bytes: &[u8]) -> bool {
    let (Some(place), Some(footer)) = (place(), bytes.last_chunk::<FOOTER_BYTES>()) else { return false };
    let field = |at: usize| footer.get(at..).and_then(|rest| rest.first_chunk::<4>());
    let crc = field(60).map_or(0, |crc| u32::from_le_bytes(*crc));
    let partitions = field(24).map_or(0, |end| u32::from_le_bytes(*end));
    let tag =
        footer.get(16..).and_then(|rest| rest.first_chunk::<8>()).map_or(0, |tag| u64::from_le_bytes(*tag));
    let Ok(tail_bytes) = u32::try_from(bytes.len()) else { return false };
    let _ = Footer::decode(footer, tag, crc, &place);
    let entry = SegmentEntry {
        object: place.object.clone(),
        offset: 0,
        bytes: partitions.saturating_add(tail_bytes),
        tail_bytes,
        footer_crc: crc,
        tag,
        sequence: 1,
        level: 0,
        groups: 0..1,
        counts: Counts::default(),
        range_deletes: 0,
        smallest: Box::default(),
        largest: Box::default(),
    };
    match SegmentHead::decode(&Bytes::copy_from_slice(bytes), &entry, &place) {
        Ok(_) => true,
        // Counts and borders of a real segment are not those of this entry: all before that held.
        Err(error) => error.to_string().contains("in the manifest's key range"),
    }
}

/// A manifest, as it is and with its checksums and its length made to hold; what is taken is looked at as an opening does.
pub fn manifest(bytes: &[u8]) -> bool {
    let Some(place) = place() else { return false };
    let decoded = Manifest::decode(bytes, &place.object);
    let Ok(manifest) = decoded.or_else(|_| Manifest::decode(&with_manifest_checksums(bytes), &place.object))
    else {
        return false;
    };
    let _ = (manifest.number_after(), manifest.epoch_after(), manifest.hot_list());
    let _ = invariants::check(&manifest, None);
    let version = Version::restored(manifest.segments.clone());
    let _ = version.depth(&manifest.groups);
    for segment in version.segments() {
        let _ = (
            segment.live_bytes(),
            segment.tail_offset(),
            version.runs.iter().filter_map(|run| run.find(&segment.from)).count(),
        );
    }
    // What was taken can be written again, byte by byte the same where nothing is left over.
    manifest.encode().is_ok()
}

/// A compaction job, which is a manifest with more to say in its metadata: what another process takes from the DFS to work on.
pub fn job(bytes: &[u8]) -> bool {
    let Some(place) = place() else { return false };
    let decoded = Offer::decode(bytes, &place.object);
    let Ok(offer) = decoded.or_else(|_| Offer::decode(&with_manifest_checksums(bytes), &place.object)) else {
        return false;
    };
    let _ = (offer.job.cuts(), offer.job.input_bytes(), offer.job.is_merge());
    let _ = decode_result(&with_manifest_checksums(bytes), &place.object, &offer.job);
    offer.encode().is_ok()
}

/// The bytes of a manifest with length and checksums that hold.
fn with_manifest_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut repaired = bytes.to_vec();
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    put_u32(&mut repaired, 76, u32::try_from(body.len()).unwrap_or(u32::MAX));
    put_u32(&mut repaired, 80, crc32fast::hash(body));
    put_crc(&mut repaired, HEADER_BYTES - 4);
    repaired
}

fn put_u32(bytes: &mut [u8], at: usize, field: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *place = field.to_le_bytes();
    }
}

/// The checksum of all before it.
fn put_crc(bytes: &mut [u8], at: usize) {
    let crc = crc32fast::hash(bytes.get(..at).unwrap_or_default());
    put_u32(bytes, at, crc);
}

/// A store descriptor, as it is and with its checksum made to hold.
pub fn descriptor(bytes: &[u8]) -> bool {
    let Some(place) = place() else { return false };
    let mut repaired = bytes.to_vec();
    put_crc(&mut repaired, 28);
    Descriptor::decode(bytes, &place.object).or_else(|_| Descriptor::decode(&repaired, &place.object)).is_ok()
}
