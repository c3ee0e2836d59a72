//! Files of every format version that was ever released are opened for ever; and what they become under mutations is never a panic.
//!
//! A new format version adds its files beside these: raise the version in the names below, run
//! `AQUIFER_CREATE_FIXTURES=1 cargo test -p aquifer --lib create_fixtures` and commit what it wrote. It never overwrites a file.

use super::decoders::DECODERS;
use crate::compact::job::{Job, JobKind};
use crate::compact::offer::Offer;
use crate::compression_options::{BlockFormat, Compression};
use crate::descriptor::Descriptor;
use crate::entry::{Entry, Op, encode_chain};
use crate::key::{engine_key, group_of};
use crate::manifest::agreed::Agreed;
use crate::manifest::format::Manifest;
use crate::manifest::hot::{self, HotPartition, HotSegment};
use crate::options::Domain;
use crate::segment::block::{self, Expected, Kind};
use crate::segment::cursor::Cursor;
use crate::segment::data::{Access, DataBlock};
use crate::segment::head::SegmentHead;
use crate::segment::partition::PartitionMeta;
use crate::segment::writer::{SegmentWriter, WriterOptions};
use crate::segment::{SegmentEntry, SegmentPlace, filter};
use crate::version::Version;
use aquifer_remote::ObjectName;
use bytes::Bytes;
use std::rc::Rc;

const SEGMENT_V2: &str = "segment-v2.bin";
const MANIFEST_V2: &str = "manifest-v2.bin";
const MANIFEST_V3: &str = "manifest-v3.bin";
const MANIFEST_V4: &str = "manifest-v4.bin";
const DESCRIPTOR_V1: &str = "descriptor-v1.bin";

fn path(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn fixture(name: &str) -> Bytes {
    Bytes::from(std::fs::read(path(name)).unwrap())
}

fn name() -> ObjectName {
    ObjectName::new("pack/fixture").unwrap()
}

/// The entries of the fixture, by number, in order: puts, deletions, merges, chains, some that expire.
fn visit(mut each: impl FnMut(&[u8], Entry<'_>)) {
    for n in 0..200u32 {
        let key = engine_key(if n < 120 { 3 } else { 9 }, format!("key-{n:05}").as_bytes()).unwrap();
        let value = format!("value {n} of the fixture, value {}", n % 7);
        let chain = encode_chain([
            Entry { op: Op::Merge { operator: 5, operand: b"b", written_ms: 6 }, expires_ms: u64::MAX },
            Entry::put(b"a"),
        ]);
        let op = match n % 10 {
            3 => Op::Delete,
            5 => Op::Merge { operator: 0x1234_5678, operand: value.as_bytes(), written_ms: u64::from(n) },
            7 => Op::Chain(&chain),
            _ => Op::Put(value.as_bytes()),
        };
        let expires = n % 4 == 1 && op != Op::Delete;
        each(&key, Entry { op, expires_ms: if expires { 1_000 + u64::from(n) } else { u64::MAX } });
    }
}

/// The hot list of the fixture.
fn hot_list() -> [HotSegment<u32>; 1] {
    let partition = |position, rank, blocks| HotPartition { position, rank, blocks };
    [HotSegment { segment: 0, partitions: vec![partition(0, 3, 0b1), partition(2, 1, 0)] }]
}

/// What openings agree on in the fixture.
fn agreed() -> Agreed {
    let operators = [("sum".to_owned(), 2), ("top".to_owned(), 1)].into_iter().collect();
    Agreed { time: Some(Domain::Event), event_time_ms: 1_234_567, operators }
}

#[test]
fn create_fixtures() {
    if std::env::var_os("AQUIFER_CREATE_FIXTURES").is_none() {
        return;
    }
    let options = WriterOptions {
        compression: Compression::Zstd { level: 3 },
        partition_raw_bytes: 2_000,
        ..WriterOptions::default()
    };
    let mut writer = SegmentWriter::new(0x0123_4567_89ab_cdef, options).unwrap();
    visit(|key, entry| writer.push(key, &entry).unwrap());
    writer.push_range_delete(&engine_key(4, b"from").unwrap(), &engine_key(4, b"to").unwrap());
    let encoded = writer.finish().unwrap();
    let mut entry = encoded.entry(41).unwrap();
    entry.object = name();
    entry.level = 2;
    let manifest = Manifest {
        number: 12,
        epoch: 3,
        attempt: 99,
        checkpoint: 11,
        sequence_next: 42,
        key_groups: 16,
        groups: 0..16,
        segments: vec![entry],
        metadata: b"position 17".to_vec(),
        hot: Vec::new(),
        agreed: Agreed::default(),
    };
    let hot = Manifest { hot: hot::encode(&hot_list()), ..manifest.clone() };
    let agreed = Manifest { agreed: agreed(), ..hot.clone() };
    let descriptor = Descriptor { key_groups: 16, identity: 0xfeed };
    for (file, content) in [
        (SEGMENT_V2, encoded.chunks.concat()),
        (MANIFEST_V2, manifest.encode().unwrap()),
        (MANIFEST_V3, hot.encode().unwrap()),
        (MANIFEST_V4, agreed.encode().unwrap()),
        (DESCRIPTOR_V1, descriptor.encode()),
    ] {
        if !path(file).exists() {
            std::fs::write(path(file), content).unwrap();
        }
    }
}

struct Opened {
    segment: Bytes,
    head: SegmentHead,
    manifest: Manifest,
}

fn open() -> Opened {
    let segment = fixture(SEGMENT_V2);
    let manifest = Manifest::decode(&fixture(MANIFEST_V2), &name()).unwrap();
    let entry = &manifest.segments[0];
    let tail_at = segment.len() - entry.tail_bytes as usize;
    let place = SegmentPlace { object: name(), offset: tail_at as u64 };
    let head = SegmentHead::decode(&segment.slice(tail_at..), entry, &place).unwrap();
    Opened { segment, head, manifest }
}

impl Opened {
    fn payload(&self, kind: Kind, offset: u32, bytes: u32, crc: u32) -> Bytes {
        let stored = self.segment.slice(offset as usize..(offset + bytes) as usize);
        let place = SegmentPlace { object: name(), offset: u64::from(offset) };
        block::decode(&stored, Expected { kind, crc, dictionary: None }, &place).unwrap()
    }

    fn metas(&self) -> Vec<(u32, Bytes, PartitionMeta)> {
        let place = SegmentPlace { object: name(), offset: 0 };
        let handles = (0..self.head.partitions()).map(|position| self.head.partition(position).unwrap());
        let metas = handles.map(|handle| {
            let payload =
                self.payload(Kind::Partition, handle.meta_offset(), handle.meta_bytes, handle.meta_crc);
            let meta = PartitionMeta::decode(payload.clone(), handle.data_bytes, &place).unwrap();
            (handle.offset, payload, meta)
        });
        metas.collect()
    }

    fn blocks(&self) -> Vec<Bytes> {
        let metas = self.metas();
        let handles = metas.iter().flat_map(|(offset, _, meta)| {
            (0..meta.blocks()).map(move |block| meta.block(block, *offset).unwrap())
        });
        handles.map(|handle| self.payload(Kind::Data, handle.offset, handle.bytes, handle.crc)).collect()
    }
}

#[test]
fn a_descriptor_of_version_1_opens() {
    let descriptor = Descriptor::decode(&fixture(DESCRIPTOR_V1), &name()).unwrap();
    assert_eq!(descriptor, Descriptor { key_groups: 16, identity: 0xfeed });
}

#[test]
fn a_manifest_of_version_2_opens() {
    let manifest = open().manifest;
    assert_eq!(
        (manifest.number, manifest.epoch, manifest.checkpoint, manifest.sequence_next),
        (12, 3, 11, 42)
    );
    assert_eq!(
        (manifest.key_groups, manifest.groups, manifest.metadata),
        (16, 0..16, b"position 17".to_vec())
    );
    let entry = &manifest.segments[0];
    assert_eq!((entry.level, entry.sequence, entry.groups.clone(), entry.range_deletes), (2, 41, 3..10, 1));
    assert_eq!((entry.counts.entries, entry.counts.tombstones, entry.counts.merges), (200, 20, 40));
    assert_eq!((entry.counts.expiry_ms_min, entry.counts.expiry_ms_max), (1_001, 1_197));
}

#[test]
fn a_manifest_of_version_3_is_one_of_version_2_with_a_hot_list() {
    let manifest = Manifest::decode(&fixture(MANIFEST_V3), &name()).unwrap();
    assert_eq!(manifest.hot_list().unwrap(), hot_list());
    let attempt = manifest.attempt;
    assert_eq!(Manifest { hot: Vec::new(), ..manifest }, Manifest { attempt, ..open().manifest });
}

#[test]
fn a_manifest_of_version_4_says_what_openings_agree_on() {
    let manifest = Manifest::decode(&fixture(MANIFEST_V4), &name()).unwrap();
    assert_eq!(manifest.agreed, agreed());
    assert_eq!(manifest.encode().unwrap(), fixture(MANIFEST_V4), "what is written is what was written then");
    let earlier = Manifest::decode(&fixture(MANIFEST_V3), &name()).unwrap();
    assert_eq!(Manifest { agreed: Agreed::default(), ..manifest }.hot, earlier.hot);
    assert!(earlier.agreed.is_empty());
}

#[test]
fn a_segment_of_version_2_answers_everything_that_was_written() {
    let opened = open();
    let place = SegmentPlace { object: name(), offset: 0 };
    let mut cursors = opened
        .blocks()
        .into_iter()
        .map(|payload| Cursor::first(Rc::new(DataBlock::decode(&payload, Access::Points, &place).unwrap())));
    let mut cursor = cursors.next().unwrap();
    let metas = opened.metas();
    visit(|key, entry| {
        if !cursor.is_valid() {
            cursor = cursors.next().unwrap();
        }
        assert_eq!(cursor.current(), Some((key, entry)));
        assert_eq!(cursor.block().get(key, filter::hash(key)), Some(entry));
        let (_, _, meta) = &metas[opened.head.seek(key).unwrap()];
        assert!(meta.may_contain(filter::hash(key)) && meta.seek(key).is_some());
        cursor.advance();
    });
    assert!(!cursor.is_valid() && cursors.next().is_none());
    assert!(opened.head.partitions() > 1);
    let covers = |group, key: &[u8]| opened.head.range_deletes().covers(&engine_key(group, key).unwrap());
    assert!(covers(4, b"middle") && !covers(4, b"to") && !covers(3, b"middle"));
    assert_eq!(opened.head.groups().map(|(group, _)| group).collect::<Vec<_>>(), [3, 9]);
    assert_eq!(group_of(opened.head.largest()), Some(9));
}

/// The bytes of a job over the fixture's segment.
fn offer(manifest: &Manifest) -> Bytes {
    let segments = manifest.segments.iter().map(|segment| SegmentEntry { level: 0, ..segment.clone() });
    let version = Version::restored(segments.collect());
    let job = Job::merge(JobKind::Bottom, &version, 0..1, 0..16, 1).unwrap();
    let offer = Offer {
        epoch: manifest.epoch,
        key_groups: manifest.key_groups,
        job,
        format: BlockFormat { compression: Compression::Zstd { level: 1 }, dictionary_bytes_max: 4096 },
        copies_down: true,
        now_ms: 7,
    };
    Bytes::from(offer.encode().unwrap())
}

/// Seeds of the mutations: for each decoder, what it takes of the fixtures.
fn seeds() -> Vec<(&'static str, Vec<Bytes>)> {
    let opened = open();
    let tail_at = opened.segment.len() - opened.manifest.segments[0].tail_bytes as usize;
    let tail = opened.segment.slice(tail_at..);
    let meta: Vec<Bytes> = opened.metas().into_iter().map(|(_, payload, _)| payload).collect();
    let filter_bytes = u32::from_le_bytes(*meta[0][8..].first_chunk().unwrap()) as usize;
    let filter = meta[0].slice(meta[0].len() - filter_bytes..);
    let first = opened.head.partition(0).unwrap();
    let block = opened.metas()[0].2.block(0, first.offset).unwrap();
    let head_at = block::HEADER_BYTES;
    vec![
        ("block", vec![opened.segment.slice(..block.bytes as usize), tail.slice(..tail.len() - 64)]),
        ("data_block", opened.blocks()),
        ("partition_meta", meta),
        ("filter", vec![filter]),
        ("head", vec![tail.slice(head_at..tail.len() - 64)]),
        ("tail", vec![tail]),
        ("manifest", vec![fixture(MANIFEST_V2), fixture(MANIFEST_V3), fixture(MANIFEST_V4)]),
        ("hot_list", vec![Bytes::from(hot::encode(&hot_list()))]),
        ("job", vec![offer(&opened.manifest)]),
        ("descriptor", vec![fixture(DESCRIPTOR_V1)]),
    ]
}

#[test]
fn mutated_fixtures_are_refused_or_taken_without_a_panic() {
    const MUTANTS: u32 = 3_000;
    let mut random = fastrand::Rng::with_seed(6);
    let seeds = seeds();
    assert_eq!(seeds.len(), DECODERS.len());
    for ((decoder, decode), (seed_of, seeds)) in DECODERS.iter().zip(&seeds) {
        assert_eq!(decoder, seed_of);
        for seed in seeds {
            assert!(decode(seed), "{decoder} takes what was written");
        }
        for _ in 0..MUTANTS {
            let mut bytes = seeds[random.usize(..seeds.len())].to_vec();
            for _ in 0..random.usize(1..4) {
                mutate(&mut bytes, &mut random);
            }
            decode(&bytes);
        }
    }
}

/// A manifest with the right checksums and number or epoch 2^64-1 stopped the opening by a panic, or went on at 0. Here every place of every format
/// holds each end of each width of number once, under checksums that hold; in a test build an overflow is a panic.
#[test]
fn numbers_at_their_ends_are_refused_or_taken_without_an_overflow() {
    let ends = |bits: u32| {
        let most = u64::MAX >> (64 - bits);
        [0, 1, most / 2, most / 2 + 1, most - 1, most]
    };
    for ((_, decode), (_, seeds)) in DECODERS.iter().zip(&seeds()) {
        for seed in seeds {
            // Long ones repeat themselves.
            let step = seed.len() / 700 + 1;
            for (at, width) in (0..seed.len()).step_by(step).flat_map(|at| [(at, 2), (at, 4), (at, 8)]) {
                for end in ends(8 * width) {
                    let mut bytes = seed.to_vec();
                    let field = &end.to_le_bytes()[..width as usize];
                    let Some(place) = bytes.get_mut(at..at + field.len()) else { continue };
                    place.copy_from_slice(field);
                    decode(&bytes);
                }
            }
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    let at = random.usize(..bytes.len().max(1)).min(bytes.len().saturating_sub(1));
    match random.u8(..6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.u8(..)),
        // A length field becomes huge, or nothing.
        2 | 3 if at + 4 <= bytes.len() => {
            let wild = [0, 1, 0x7fff_ffff, u32::MAX, random.u32(..)][random.usize(..5)];
            bytes[at..at + 4].copy_from_slice(&wild.to_le_bytes());
        }
        _ if !bytes.is_empty() => bytes[at] ^= 1 << random.u8(..8),
        _ => bytes.push(random.u8(..)),
    }
}
