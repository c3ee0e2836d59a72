//! The hot list of a manifest: which extents were in use when its checkpoint was taken, so that a restore elsewhere can fetch them before
//! they are asked for.
//!
//! ```text
//! list       version, 1 byte: 1 | varint number of segments | segments
//! segment    varint positions skipped in the manifest's list of segments | varint number of partitions | partitions
//! partition  varint positions skipped in the segment * 8 + rank * 2 + 1 if blocks are named | varint blocks, if they are
//! blocks     bit n: the data block at position n of the partition
//! ```
//! Segments and partitions ascend: "skipped" counts what lies between one and the one before. A segment is named with its head, a partition
//! with its meta; a segment without partitions stands for its head alone, a partition without blocks for its meta alone. Varints are LEB128 of at
//! most 32 bits. Most partitions take two to four bytes.
//!
//! The list is advice: it is under the checksum of the manifest's body, and one that makes no sense is left aside, not an error of
//! the manifest.

use crate::codec::{Reader, put_varint, stored_u32};
use crate::limits::{BLOCK_RAW_BYTES_RANGE, HOT_LIST_BYTES_MAX, PARTITION_RAW_BYTES};

const VERSION: u8 = 1;
/// The hottest.
pub(crate) const RANK_MAX: u8 = 3;
/// Blocks of a partition that can be named.
pub(crate) const BLOCKS_MAX: usize = u32::BITS as usize;
/// Bits of a partition's first number below the skipped positions.
const POSITION_SHIFT: u32 = 3;
const POSITION_MAX: u32 = u32::MAX >> POSITION_SHIFT;
const _: () = assert!(PARTITION_RAW_BYTES / BLOCK_RAW_BYTES_RANGE.0 + 2 <= BLOCKS_MAX);
const _: () = assert!(2 * (RANK_MAX as u32) + 1 < 1 << POSITION_SHIFT);

/// A partition of which something was in use: its meta, and these blocks. One extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HotPartition {
    pub(crate) position: u32,
    /// 0 to [`RANK_MAX`].
    pub(crate) rank: u8,
    /// Bit n: the block at position n.
    pub(crate) blocks: u32,
}

/// A segment of which something was in use: its head, and these partitions, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HotSegment<Id> {
    pub(crate) segment: Id,
    pub(crate) partitions: Vec<HotPartition>,
}

/// Extents in use by segment.
pub(crate) type HotSegments<Id> = Vec<HotSegment<Id>>;

/// Number of extents in a list.
pub(crate) fn extents<Id>(list: &[HotSegment<Id>]) -> u64 {
    list.iter().map(|segment| segment.partitions.len() as u64).sum()
}

/// The bytes of a list whose segments are positions in a manifest, ascending. Nothing for an empty one.
pub(crate) fn encode(list: &[HotSegment<u32>]) -> Vec<u8> {
    if list.is_empty() {
        return Vec::new();
    }
    let mut out = vec![VERSION];
    put_varint(&mut out, stored_u32(list.len()));
    let mut next_segment = 0;
    for HotSegment { segment, partitions } in list {
        put_varint(&mut out, segment.saturating_sub(next_segment));
        next_segment = segment.saturating_add(1);
        put_varint(&mut out, stored_u32(partitions.len()));
        let mut next = 0;
        for partition in partitions {
            let (first, blocks) = partition_fields(partition, next);
            put_varint(&mut out, first);
            if let Some(blocks) = blocks {
                put_varint(&mut out, blocks);
            }
            next = partition.position.saturating_add(1);
        }
    }
    out
}

/// What is stored of a partition that follows others up to `next`.
fn partition_fields(partition: &HotPartition, next: u32) -> (u32, Option<u32>) {
    let skipped = partition.position.saturating_sub(next).min(POSITION_MAX);
    let blocks = Some(partition.blocks).filter(|&blocks| blocks > 0);
    let rank = u32::from(partition.rank.min(RANK_MAX));
    (skipped << POSITION_SHIFT | rank << 1 | u32::from(blocks.is_some()), blocks)
}

/// The list of a manifest that names `segments` segments, or what is wrong with it. No bytes are no list.
pub(crate) fn decode(bytes: &[u8], segments: usize) -> Result<HotSegments<u32>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    if bytes.len() > HOT_LIST_BYTES_MAX {
        return Err(format!("{} bytes; at most {HOT_LIST_BYTES_MAX} are taken", bytes.len()));
    }
    let mut fields = Reader::new(bytes);
    match fields.array() {
        Some([VERSION]) => {}
        found => return Err(format!("version {:?}; this build knows {VERSION}", found.unwrap_or_default())),
    }
    let list = decode_segments(&mut fields, segments);
    let at = fields.at();
    list.filter(|_| fields.remaining() == 0).ok_or_else(|| format!("no list of extents at its byte {at}"))
}

fn decode_segments(fields: &mut Reader<'_>, segments: usize) -> Option<HotSegments<u32>> {
    let count = fields.varint()? as usize;
    if count > segments || count > fields.remaining() {
        return None;
    }
    let mut list = Vec::with_capacity(count);
    let mut next = 0u32;
    for _ in 0..count {
        let segment = next.checked_add(fields.varint()?)?;
        next = segment.checked_add(1)?;
        if segment as usize >= segments {
            return None;
        }
        list.push(HotSegment { segment, partitions: decode_partitions(fields)? });
    }
    Some(list)
}

fn decode_partitions(fields: &mut Reader<'_>) -> Option<Vec<HotPartition>> {
    let count = fields.varint()? as usize;
    if count > fields.remaining() {
        return None;
    }
    let mut partitions = Vec::with_capacity(count);
    let mut next = 0u32;
    for _ in 0..count {
        let first = fields.varint()?;
        let position = next.checked_add(first >> POSITION_SHIFT)?;
        next = position.checked_add(1)?;
        let blocks = if first & 1 == 1 { Some(fields.varint()?).filter(|&blocks| blocks > 0)? } else { 0 };
        let rank = u8::try_from(first >> 1 & u32::from(RANK_MAX)).ok()?;
        partitions.push(HotPartition { position, rank, blocks });
    }
    Some(partitions)
}

/// Drops the coldest partitions until the list takes no more than `bytes_max`; of those that are as hot as the last one kept, the ones that
/// come first stay. Segments that lose all of theirs go.
pub(crate) fn cut<Id>(list: &mut HotSegments<Id>, bytes_max: usize) {
    if bytes_of(list, |_| true) <= bytes_max {
        return;
    }
    // All of the ranks above `rank` fit, not all of `rank`.
    let mut rank = RANK_MAX;
    while rank > 0 && bytes_of(list, |partition| partition.rank >= rank) <= bytes_max {
        rank -= 1;
    }
    let above = bytes_of(list, |partition| partition.rank > rank);
    let with = bytes_of(list, |partition| partition.rank >= rank);
    let of_rank = list.iter().flat_map(|segment| &segment.partitions).filter(|p| p.rank == rank).count();
    let part = bytes_max.saturating_sub(above) as u128 * of_rank as u128
        / (with.saturating_sub(above)).max(1) as u128;
    let mut keep = usize::try_from(part).unwrap_or(of_rank).min(of_rank);
    loop {
        let mut left = keep;
        let bytes = bytes_of(list, |partition| is_kept(partition, rank, &mut left));
        if bytes <= bytes_max || keep == 0 {
            break;
        }
        keep = keep * 7 / 8;
    }
    let mut left = keep;
    list.iter_mut().for_each(|segment| segment.partitions.retain(|p| is_kept(p, rank, &mut left)));
    list.retain(|segment| !segment.partitions.is_empty());
}

/// Whether a partition is hotter than `rank`, or is one of the `left` first ones of that rank.
fn is_kept(partition: &HotPartition, rank: u8, left: &mut usize) -> bool {
    if partition.rank == rank && *left > 0 {
        *left -= 1;
        return true;
    }
    partition.rank > rank
}

/// Bytes of what is left of a list, at most: where its segments stand is not known yet.
fn bytes_of<Id>(list: &[HotSegment<Id>], mut keeps: impl FnMut(&HotPartition) -> bool) -> usize {
    const SEGMENT_BYTES_MAX: usize = 3 + 3;
    let mut bytes = 1 + 5;
    for HotSegment { partitions, .. } in list {
        let (mut next, before) = (0, bytes);
        for partition in partitions.iter().filter(|partition| keeps(partition)) {
            let (first, blocks) = partition_fields(partition, next);
            bytes += varint_bytes(first) + blocks.map_or(0, varint_bytes);
            next = partition.position.saturating_add(1);
        }
        if bytes > before || partitions.is_empty() {
            bytes += SEGMENT_BYTES_MAX;
        }
    }
    bytes
}

/// Bytes of a number as LEB128.
fn varint_bytes(value: u32) -> usize {
    (u32::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_list(seed: u64, segments: u32) -> HotSegments<u32> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut list = Vec::new();
        for segment in (0..segments).filter(|_| random.bool()).collect::<Vec<_>>() {
            let wide = [1, 3, 1_000_000][random.usize(..3)];
            let mut position = 0;
            let partitions = (0..random.usize(..40)).map(|_| {
                position += 1 + random.u32(..wide);
                let blocks = [0, 1, u32::MAX, random.u32(..)][random.usize(..4)];
                HotPartition { position, rank: random.u8(..=RANK_MAX), blocks }
            });
            list.push(HotSegment { segment, partitions: partitions.collect() });
        }
        list
    }

    #[test]
    fn round_trips() {
        for seed in 0..200 {
            let list = random_list(seed, 50);
            let bytes = encode(&list);
            assert_eq!(decode(&bytes, 50), Ok(list.clone()), "seed {seed}");
            assert!(bytes.len() <= bytes_of(&list, |_| true), "seed {seed}");
            let names = list.last().map_or(0, |last| last.segment as usize + 1);
            assert!(names == 0 || decode(&bytes, names - 1).is_err(), "a segment that is not there");
        }
        assert_eq!(decode(&[], 0), Ok(Vec::new()));
        assert!(encode(&[]).is_empty());
    }

    #[test]
    fn a_cut_list_fits_and_what_went_was_no_hotter_than_what_stayed() {
        for seed in 0..200 {
            let list = random_list(seed, 60);
            let all = bytes_of(&list, |_| true);
            for bytes_max in [0, 20, 100, all / 2, all * 9 / 10, all] {
                let mut kept = list.clone();
                cut(&mut kept, bytes_max);
                assert!(kept.is_empty() || encode(&kept).len() <= bytes_max, "seed {seed}: {bytes_max}");
                let ranks = |list: &HotSegments<u32>| {
                    let mut ranks = [0u64; 4];
                    list.iter().flat_map(|s| &s.partitions).for_each(|p| ranks[usize::from(p.rank)] += 1);
                    ranks
                };
                let (before, after) = (ranks(&list), ranks(&kept));
                let coldest = after.iter().position(|&count| count > 0).unwrap_or(4);
                assert_eq!(before.get(coldest + 1..), after.get(coldest + 1..), "seed {seed}: {bytes_max}");
                if bytes_max >= 100 && bytes_max >= all / 2 {
                    let used = bytes_of(&kept, |_| true);
                    assert!(used * 2 >= bytes_max, "seed {seed}: {used} of {bytes_max} are used");
                }
            }
        }
    }

    #[test]
    fn hostile_bytes_are_refused() {
        for (bytes, what) in [
            (&[2, 0][..], "another version"),
            (&[1], "cut"),
            (&[1, 1, 5, 0], "a segment that is not there"),
            (&[1, 9], "more segments than there are"),
            (&[1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f], "more partitions than bytes"),
            (&[1, 1, 0, 1, 0x01, 0], "blocks that are none"),
            (&[1, 1, 0, 0, 7], "bytes behind it"),
            (&[1, 2, 0, 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f], "cut"),
        ] {
            assert!(decode(bytes, 3).is_err(), "{what}");
        }
        assert!(decode(&vec![1; HOT_LIST_BYTES_MAX + 1], 3).is_err(), "too long");
        // Positions stay within their width, whatever is skipped.
        let wide = [1, 1, 0, 3, 0xf8, 0xff, 0xff, 0xff, 0x0f, 0xf8, 0xff, 0xff, 0xff, 0x0f, 0];
        let positions =
            decode(&wide, 3).unwrap()[0].partitions.iter().map(|p| p.position).collect::<Vec<_>>();
        assert_eq!(positions, [POSITION_MAX, 2 * POSITION_MAX + 1, 2 * POSITION_MAX + 2]);
    }
}
