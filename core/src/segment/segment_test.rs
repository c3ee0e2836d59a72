//! Whole segments, written and read back from their bytes, against an ordered map.

use super::block::{self, Expected, Kind};
use super::cursor::Cursor;
use super::data::{Access, DataBlock};
use super::data_test::{Owned, entry, key};
use super::encoded::{EncodedSegment, WrittenExtent};
use super::filter;
use super::head::SegmentHead;
use super::partition::{BlockHandle, PartitionHandle, PartitionMeta};
use super::place::SegmentPlace;
use super::segment_entry::SegmentEntry;
use super::writer::{SegmentWriter, WriterOptions};
use crate::codec::stored_u32;
use crate::compression_options::Compression;
use crate::entry::Entry;
use crate::error::Result;
use crate::key::{engine_key, group_of, group_prefix};
use aquifer_remote::ObjectName;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

type Model = BTreeMap<Vec<u8>, Owned>;

fn place(offset: u64) -> SegmentPlace {
    SegmentPlace { object: ObjectName::new("pack/test").unwrap(), offset }
}

/// A segment as a reader has it: the manifest's entry and the bytes.
pub(super) struct Stored {
    pub(super) entry: SegmentEntry,
    pub(super) bytes: Bytes,
}

impl Stored {
    pub(super) fn new(encoded: &EncodedSegment) -> Self {
        let bytes = Bytes::from(encoded.chunks.concat());
        assert_eq!(bytes.len(), encoded.bytes as usize);
        Self { entry: encoded.entry(7).unwrap(), bytes }
    }

    pub(super) fn head(&self) -> Result<SegmentHead> {
        let at = self.bytes.len() - self.entry.tail_bytes as usize;
        SegmentHead::decode(&self.bytes.slice(at..), &self.entry, &place(at as u64))
    }

    fn slice(&self, offset: u32, bytes: u32) -> Bytes {
        self.bytes.slice(offset as usize..(offset + bytes) as usize)
    }

    pub(super) fn meta(&self, handle: &PartitionHandle) -> Result<PartitionMeta> {
        let at = place(u64::from(handle.meta_offset()));
        let expected = Expected { kind: Kind::Partition, crc: handle.meta_crc, dictionary: None };
        let stored = self.slice(handle.meta_offset(), handle.meta_bytes);
        PartitionMeta::decode(block::decode(&stored, expected, &at)?, handle.data_bytes, &at)
    }

    fn data(&self, head: &SegmentHead, handle: &BlockHandle) -> Result<Rc<DataBlock>> {
        let at = place(u64::from(handle.offset));
        let expected = Expected { kind: Kind::Data, crc: handle.crc, dictionary: head.dictionary() };
        let payload = block::decode(&self.slice(handle.offset, handle.bytes), expected, &at)?;
        DataBlock::decode(&payload, Access::Points, &at).map(Rc::new)
    }

    /// What the segment says about a key, as a lookup goes.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<(Rc<DataBlock>, Vec<u8>)>> {
        let head = self.head()?;
        let Some(handle) = head.seek(key).and_then(|position| head.partition(position)) else {
            return Ok(None);
        };
        let meta = self.meta(&handle)?;
        if !meta.may_contain(filter::hash(key)) {
            return Ok(None);
        }
        let Some(block) = meta.seek(key).and_then(|block| meta.block(block, handle.offset)) else {
            return Ok(None);
        };
        Ok(Some((self.data(&head, &block)?, key.to_vec())))
    }

    /// Every entry, in order.
    pub(super) fn scan(&self, mut visit: impl FnMut(&[u8], Entry<'_>)) -> Result<()> {
        let head = self.head()?;
        for handle in (0..head.partitions()).filter_map(|position| head.partition(position)) {
            let meta = self.meta(&handle)?;
            for block in (0..meta.blocks()).filter_map(|block| meta.block(block, handle.offset)) {
                let mut cursor = Cursor::first(self.data(&head, &block)?);
                while let Some((key, entry)) = cursor.current() {
                    visit(key, entry);
                    cursor.advance();
                }
            }
        }
        Ok(())
    }

    fn matches(&self, model: &Model) {
        let mut expected = model.iter();
        self.scan(|key, entry| {
            let (expected_key, expected) = expected.next().unwrap();
            assert_eq!((key, entry), (expected_key.as_slice(), expected.entry()));
        })
        .unwrap();
        assert!(expected.next().is_none());
    }

    fn answers(&self, key: &[u8], model: &Model) {
        let found = self.get(key).unwrap();
        let found = found.as_ref().and_then(|(block, key)| block.get(key, filter::hash(key)));
        assert_eq!(found, model.get(key).map(Owned::entry), "{key:?}");
    }
}

fn options(compression: Compression, dictionary_bytes_max: usize) -> WriterOptions {
    WriterOptions {
        compression,
        partition_raw_bytes: 9_000,
        dictionary_bytes_max,
        ..WriterOptions::default()
    }
}

fn write(model: &Model, options: WriterOptions) -> EncodedSegment {
    let mut writer = SegmentWriter::new(5, options).unwrap();
    model.iter().for_each(|(key, entry)| writer.push(key, &entry.entry()).unwrap());
    let memory = writer.memory_bytes();
    let encoded = writer.finish().unwrap();
    assert!(options.compression != Compression::None || memory * 2 + 4096 > encoded.bytes as usize);
    encoded
}

fn model() -> impl Strategy<Value = Model> {
    let key = (0..5u16, key()).prop_map(|(group, key)| engine_key(group * 300, &key).unwrap().into_vec());
    prop::collection::btree_map(key, entry(), 1..400)
}

/// A model of many alike values, larger than the samples of a dictionary: words that few blocks have twice, but most blocks have.
fn large(rows: u32) -> Model {
    let word = |n: u32| format!("{:08x}", (n % 300).wrapping_mul(0x9e37_79b9));
    let row = |n: u32| {
        let words: Vec<String> = (0..8).map(|at| word((n * 8 + at).wrapping_mul(0x85eb_ca6b) >> 7)).collect();
        let value = words.join(" ");
        let owned = (n % 11 == 3, value.into_bytes());
        (
            engine_key(u16::try_from(n / 700).unwrap(), &n.swap_bytes().to_le_bytes()).unwrap().into_vec(),
            owned,
        )
    };
    (0..rows).map(row).map(|(key, (gone, value))| (key, Owned::new(u8::from(gone), value))).collect()
}

const COMPRESSIONS: [Compression; 3] =
    [Compression::None, Compression::Zstd { level: 1 }, Compression::Zstd { level: 9 }];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_segment_answers_like_a_map(model in model(), asked in prop::collection::vec(key(), 20), way in 0..3usize) {
        let encoded = write(&model, options(COMPRESSIONS[way], 0));
        let stored = Stored::new(&encoded);
        stored.matches(&model);
        for key in model.keys() {
            stored.answers(key, &model);
        }
        for (group, key) in asked.iter().enumerate() {
            stored.answers(&engine_key(u16::try_from(group).unwrap() % 5 * 300, key).unwrap(), &model);
        }
        let head = stored.head().unwrap();
        prop_assert_eq!(Some(head.smallest()), model.keys().next().map(Vec::as_slice));
        prop_assert_eq!(Some(head.largest()), model.keys().next_back().map(Vec::as_slice));
        let groups: BTreeSet<u16> = model.keys().map(|key| group_of(key).unwrap()).collect();
        prop_assert_eq!(head.groups().map(|(group, _)| group).collect::<Vec<_>>(), groups.iter().copied().collect::<Vec<_>>());
        check_groups(&stored, &head, &model);
    }

    #[test]
    fn raw_partitions_of_two_segments_make_one_that_answers_alike(
        model in model(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        way in 0..3usize,
    ) {
        // Alternate stretches of the keys are in one and the other segment.
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(model.len())).collect();
        cuts.sort_unstable();
        let stretch = |n: usize| cuts.iter().filter(|&&cut| cut <= n).count();
        let inputs: Vec<Stored> = (0..=cuts.len())
            .map(|wanted| model.iter().enumerate().filter(|(n, _)| stretch(*n) == wanted).map(|(_, (k, e))| (k.clone(), e.clone())).collect::<Model>())
            .filter(|part| !part.is_empty())
            .map(|part| Stored::new(&write(&part, options(COMPRESSIONS[way], 0))))
            .collect();
        let mut writer = SegmentWriter::new(6, options(COMPRESSIONS[way], 0)).unwrap();
        for (number, input) in inputs.iter().enumerate() {
            match number % 3 {
                // Entry by entry between the raw ones.
                2 => input.scan(|key, entry| writer.push(key, &entry).unwrap()).unwrap(),
                _ => push_raw(&mut writer, input),
            }
        }
        let merged = Stored::new(&writer.finish().unwrap());
        merged.matches(&model);
        model.keys().for_each(|key| merged.answers(key, &model));
        let rewritten = write(&model, options(COMPRESSIONS[way], 0));
        let head = merged.head().unwrap();
        prop_assert_eq!(head.counts(), rewritten.counts());
        check_groups(&merged, &head, &model);
    }
}

fn push_raw(writer: &mut SegmentWriter, input: &Stored) {
    let head = input.head().unwrap();
    assert!(SegmentWriter::takes_blocks_of(&head));
    for position in 0..head.partitions() {
        let handle = head.partition(position).unwrap();
        let meta = input.meta(&handle).unwrap();
        let stored = input.slice(handle.offset, handle.bytes());
        writer.push_raw_partition(&stored, &head, position, &meta).unwrap();
        assert!(writer.push_raw_partition(&stored, &head, position, &meta).is_err(), "keys must ascend");
    }
}

/// No entry of a group lies outside of the partitions that the table gives for it.
fn check_groups(stored: &Stored, head: &SegmentHead, model: &Model) {
    for group in [0, 300, 301, 600, 1200] {
        let groups: Range<u16> = group..group + 1;
        let partitions = head.partitions_of(&groups);
        for key in model.keys().filter(|key| group_of(key) == Some(group)) {
            assert!(partitions.contains(&head.seek(key).unwrap()), "group {group} in {partitions:?}");
        }
        let empty = !model.keys().any(|key| group_of(key) == Some(group));
        assert_eq!(partitions.is_empty(), empty);
        assert!(head.bytes_of(&groups) <= u64::from(stored.entry.bytes));
    }
    assert_eq!(head.partitions_of(&(0..u16::MAX)), 0..head.partitions());
}

#[test]
fn every_extent_is_what_was_written_there() {
    let model = large(3_000);
    for compression in COMPRESSIONS {
        let encoded = write(&model, options(compression, 0));
        let stored = Stored::new(&encoded);
        let head = stored.head().unwrap();
        assert!(encoded.chunks.len() > 1 && head.partitions() > 10);
        let (mut blocks, mut partitions) = (0, 0);
        for extent in &encoded.extents {
            match *extent {
                WrittenExtent::Data { offset, bytes } => {
                    blocks += 1;
                    assert_eq!(encoded.stored(offset, bytes).unwrap(), stored.slice(offset, bytes));
                }
                WrittenExtent::Partition(handle) => {
                    assert_eq!(head.partition(partitions), Some(handle));
                    partitions += 1;
                    let bytes = encoded.stored(handle.meta_offset(), handle.meta_bytes);
                    assert_eq!(bytes.unwrap(), stored.slice(handle.meta_offset(), handle.meta_bytes));
                }
            }
        }
        assert!(partitions == head.partitions() && blocks > partitions);
        assert_eq!(encoded.tail().unwrap().len(), stored.entry.tail_bytes as usize);
    }
}

#[test]
fn a_dictionary_is_trained_when_asked_for_and_keeps_its_blocks_where_they_are() {
    let model = large(20_000);
    let zstd = Compression::Zstd { level: 3 };
    let plain = write(&model, options(zstd, 0));
    let trained = write(&model, options(zstd, 8 * 1024));
    let stored = Stored::new(&trained);
    let head = stored.head().unwrap();
    let dictionary = head.dictionary().unwrap();
    assert!(trained.bytes < plain.bytes, "{} of {}", trained.bytes, plain.bytes);
    assert!(dictionary.bytes().len() <= 8 * 1024);
    stored.matches(&model);
    model.keys().step_by(37).for_each(|key| stored.answers(key, &model));

    assert!(!SegmentWriter::takes_blocks_of(&head), "its blocks need the dictionary of their own segment");
    // Too little to train from, or nothing to compress: no dictionary, and no error.
    for (rows, compression) in [(10, zstd), (20_000, Compression::None)] {
        let model = large(rows);
        let stored = Stored::new(&write(&model, options(compression, 8 * 1024)));
        assert!(stored.head().unwrap().dictionary().is_none());
        stored.matches(&model);
    }
}

#[test]
fn range_deletions_widen_the_borders_and_stand_alone_too() {
    let key = |group, key: &[u8]| engine_key(group, key).unwrap();
    let mut writer = SegmentWriter::new(1, WriterOptions::default()).unwrap();
    assert!(writer.is_empty());
    writer.push_range_delete(&key(3, b"a"), &key(3, b"m"));
    writer.push_range_delete(&key(5, b""), &group_prefix(6));
    assert!(!writer.is_empty());
    writer.push(&key(3, b"c"), &Entry::put(b"newer than the deletion")).unwrap();
    let stored = Stored::new(&writer.finish().unwrap());
    let head = stored.head().unwrap();
    assert_eq!((head.smallest(), head.largest()), (&*key(3, b"a"), group_prefix(6).as_slice()));
    assert_eq!((stored.entry.groups.clone(), stored.entry.range_deletes), (3..6, 2));
    assert!(head.range_deletes().covers(&key(5, b"zzz")) && !head.range_deletes().covers(&key(3, b"m")));
    assert!(stored.get(&key(3, b"c")).unwrap().is_some());

    let mut writer = SegmentWriter::new(1, WriterOptions::default()).unwrap();
    writer.push_range_delete(&key(3, b"a"), &key(3, b"m"));
    let stored = Stored::new(&writer.finish().unwrap());
    let head = stored.head().unwrap();
    assert!(head.partitions() == 0 && head.range_deletes().covers(&key(3, b"b")));
    assert!(stored.get(&key(3, b"b")).unwrap().is_none());
    assert_eq!(stored.entry.groups, 3..4);
}

#[test]
fn the_largest_entries_fit() {
    let put = |bytes| Owned::new(0, vec![0x5a; bytes]);
    let key =
        |end: u8, bytes: usize| engine_key(1, &[vec![9; bytes - 1], vec![end]].concat()).unwrap().into_vec();
    let mut model = Model::new();
    for end in 0..5 {
        model.insert(key(end, crate::KEY_BYTES_MAX), put(10));
    }
    model.insert(key(0, 5), put(3 * 1024 * 1024));
    model.insert(key(1, 5), put(0));
    model.insert(key(2, 5), put(20_000));
    for compression in COMPRESSIONS {
        let stored = Stored::new(&write(&model, options(compression, 0)));
        stored.matches(&model);
        model.keys().for_each(|key| stored.answers(key, &model));
    }
}

/// Story: a damaged byte anywhere must end in an error that names its place, or not be needed for the answer; never in a panic or a
/// wrong answer.
#[test]
fn every_flipped_byte_is_an_error_or_does_not_matter() {
    let mut model = large(150);
    model.extend(large(5_000).into_iter().skip(4_900));
    let mut writer = SegmentWriter::new(5, options(Compression::Zstd { level: 1 }, 0)).unwrap();
    model.iter().for_each(|(key, entry)| writer.push(key, &entry.entry()).unwrap());
    writer.push_range_delete(&engine_key(9, b"a").unwrap(), &engine_key(9, b"b").unwrap());
    let good = Stored::new(&writer.finish().unwrap());
    for at in 0..good.bytes.len() {
        let mut bytes = good.bytes.to_vec();
        bytes[at] ^= 1 << (at % 8);
        let bad = Stored { entry: good.entry.clone(), bytes: Bytes::from(bytes) };
        // A scan reads every byte but those of the filters, and all of them lie under a checksum that is verified.
        let error =
            bad.scan(|key, entry| assert_eq!(model.get(key).map(Owned::entry), Some(entry))).unwrap_err();
        assert!(error.to_string().contains("pack/test at offset"), "byte {at}: {error}");
        let key = model.keys().nth(at % model.len()).unwrap();
        match bad.get(key) {
            Ok(Some((block, key))) => {
                assert_eq!(block.get(&key, filter::hash(&key)), model.get(&key).map(Owned::entry));
            }
            Ok(None) => panic!("byte {at}: a key is lost"),
            Err(error) => assert_eq!(error.kind(), crate::ErrorKind::Corrupt),
        }
    }
}

#[test]
fn memory_and_bytes_a_key_are_small() {
    let rows = 40_000u32;
    let mut writer = SegmentWriter::new(1, WriterOptions::default()).unwrap();
    let mut keys: Vec<Vec<u8>> = (0..rows)
        .map(|n| {
            let wide = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            engine_key(crate::key_group(&wide.to_le_bytes(), 16), &wide.to_le_bytes()).unwrap().into_vec()
        })
        .collect();
    keys.sort();
    keys.iter().for_each(|key| writer.push(key, &Entry::put(&[b'v'; 100])).unwrap());
    let stored = Stored::new(&writer.finish().unwrap());
    let head = stored.head().unwrap();
    let handles = (0..head.partitions()).filter_map(|position| head.partition(position));
    let metas: usize = handles.map(|handle| stored.meta(&handle).unwrap().memory_bytes()).sum();
    let bytes_a_key = (metas + head.memory_bytes()) as f64 / f64::from(rows);
    assert!(bytes_a_key < 3.0, "filters and both tiers of the index take {bytes_a_key} bytes a key");
    assert_eq!(stored_u32(keys.len()), rows);
}
