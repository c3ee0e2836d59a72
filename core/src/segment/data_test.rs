//! Data blocks against an ordered map.

use super::cursor::Cursor;
use super::data::{Access, Builder, DataBlock};
use super::filter;
use super::place::SegmentPlace;
use crate::codec::stored_u32;
use crate::entry::{Entry, NEVER, Op, encode_chain};
use crate::limits::KEY_BYTES_MAX;
use aquifer_remote::ObjectName;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::rc::Rc;

impl DataBlock {
    /// What a block says about a key, wherever its entry is.
    pub(crate) fn get(&self, key: &[u8], hash: u64) -> Option<Entry<'_>> {
        self.find(key, hash).map(|(_, entry)| entry)
    }
}

/// An entry that owns its bytes: kind, payload, expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    kind: u8,
    payload: Vec<u8>,
    expires_ms: u64,
}

impl Owned {
    /// One that lives for ever.
    pub(super) fn new(kind: u8, payload: Vec<u8>) -> Self {
        Self { kind, payload, expires_ms: NEVER }
    }

    pub(super) fn entry(&self) -> Entry<'_> {
        let op = match self.kind {
            0 => Op::Put(&self.payload),
            1 => Op::Delete,
            3 => Op::Chain(&self.payload),
            _ => Op::Merge { operator: 0xfeed_0001, operand: &self.payload, written_ms: 1 << 40 },
        };
        Entry { op, expires_ms: if self.kind == 1 { NEVER } else { self.expires_ms } }
    }
}

pub(super) fn entry() -> impl Strategy<Value = Owned> {
    let payload = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..9),
        1 => prop::collection::vec(any::<u8>(), 100..400),
    ];
    let expiry = prop_oneof![3 => Just(NEVER), 1 => 0..NEVER];
    (0..4u8, payload, expiry).prop_map(|(kind, payload, expires_ms)| {
        let payload = if kind == 3 { encode_chain([Entry::put(&payload), Entry::delete()]) } else { payload };
        Owned { kind, payload, expires_ms }
    })
}

/// Keys that share much and little, some long.
pub(super) fn key() -> impl Strategy<Value = Vec<u8>> {
    let short = prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 255]), 0..7);
    let long = (short.clone(), 0..300usize).prop_map(|(key, more)| [vec![b'a'; more], key].concat());
    prop_oneof![4 => short, 1 => long]
}

fn place() -> SegmentPlace {
    SegmentPlace { object: ObjectName::new("pack/test").unwrap(), offset: 0 }
}

fn payload(entries: &BTreeMap<Vec<u8>, Owned>) -> Vec<u8> {
    let mut builder = Builder::default();
    entries.iter().for_each(|(key, entry)| builder.push(key, &entry.entry()));
    assert!(builder.payload_bytes() > 4);
    builder.finish()
}

fn block(entries: &BTreeMap<Vec<u8>, Owned>, access: Access) -> Rc<DataBlock> {
    Rc::new(DataBlock::decode(&payload(entries), access, &place()).unwrap())
}

fn check(entries: &BTreeMap<Vec<u8>, Owned>, asked: &[Vec<u8>], access: Access) {
    let block = block(entries, access);
    for key in asked.iter().chain(entries.keys()) {
        let expected = entries.get(key).map(Owned::entry);
        assert_eq!(block.get(key, filter::hash(key)), expected);
        let mut cursor = Cursor::seek(Rc::clone(&block), key);
        for (key, entry) in entries.range(key.clone()..) {
            assert_eq!(cursor.current(), Some((key.as_slice(), entry.entry())));
            cursor.advance();
        }
        assert!(!cursor.is_valid() && cursor.current().is_none());
        let mut cursor = Cursor::seek_before(Rc::clone(&block), key);
        for (key, entry) in entries.range(..key.clone()).rev() {
            assert_eq!(cursor.current(), Some((key.as_slice(), entry.entry())));
            cursor.retreat();
        }
        assert!(!cursor.is_valid());
    }
    let forward = Cursor::first(Rc::clone(&block));
    assert_eq!(Some(forward.key()), entries.keys().next().map(Vec::as_slice));
    let backward = Cursor::last(Rc::clone(&block));
    assert_eq!(Some(backward.key()), entries.keys().next_back().map(Vec::as_slice));
}

proptest! {
    #[test]
    fn answers_like_a_map(entries in prop::collection::btree_map(key(), entry(), 1..120), asked in prop::collection::vec(key(), 0..40)) {
        check(&entries, &asked, Access::Points);
        check(&entries, &asked, Access::Scan);
    }

    #[test]
    fn hostile_payloads_are_errors_never_panics(mut payload in prop::collection::vec(any::<u8>(), 0..300), entries in 0u32..9) {
        payload.extend_from_slice(&entries.to_le_bytes());
        if let Ok(block) = DataBlock::decode(&payload, Access::Points, &place()) {
            let _ = block.get(b"key", filter::hash(b"key"));
            let mut cursor = Cursor::first(Rc::new(block));
            while cursor.advance() {}
        }
    }

    #[test]
    fn a_changed_payload_is_refused_or_still_sorted(
        entries in prop::collection::btree_map(key(), entry(), 1..40),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let mut payload = payload(&entries);
        let at = at.index(payload.len());
        payload[at] ^= 1 << bit;
        if let Ok(block) = DataBlock::decode(&payload, Access::Points, &place()) {
            let block = Rc::new(block);
            let mut cursor = Cursor::first(Rc::clone(&block));
            let mut before: Option<Vec<u8>> = None;
            while let Some((key, entry)) = cursor.current() {
                prop_assert!(before.as_deref().is_none_or(|before| before < key));
                prop_assert_eq!(block.get(key, filter::hash(key)), Some(entry));
                before = Some(key.to_vec());
                cursor.advance();
            }
        }
    }
}

#[test]
fn long_keys_and_values_and_many_small_entries() {
    let put = |bytes: usize| Owned { kind: 0, payload: vec![7; bytes], expires_ms: NEVER };
    // The longest keys, which differ only at their end; a value that makes the block wide.
    let long = |end: u8| [vec![3; KEY_BYTES_MAX + 1], vec![end]].concat();
    let mut entries: BTreeMap<_, _> = (0..20).map(|end| (long(end), put(3))).collect();
    entries.insert(vec![1], put(300_000));
    check(&entries, &[long(20), vec![2]], Access::Points);
    // Numbers of entries of more than one byte, in a block of less and of more than 64 KiB.
    for (count, bytes) in [(255u32, 3), (256, 3), (3_000, 5), (3_000, 40)] {
        let key = |n: u32| [b"key-".as_slice(), &n.to_le_bytes()].concat();
        let entries: BTreeMap<_, _> = (0..count).map(|n| (key(n * 2), put(bytes))).collect();
        let block = block(&entries, Access::Points);
        for n in 0..count * 2 {
            let found = block.get(&key(n), filter::hash(&key(n))).is_some();
            assert_eq!(found, n % 2 == 0, "key {n} of {count}");
        }
        check(&entries.into_iter().step_by(97).collect(), &[key(7)], Access::Points);
    }
}

#[test]
fn what_a_writer_never_makes_is_refused() {
    let frame = |entries: &[u8], count: usize| {
        let payload = [entries, &stored_u32(count).to_le_bytes()].concat();
        DataBlock::decode(&payload, Access::Points, &place())
    };
    // shared * 8 + kind, suffix bytes, value bytes, suffix, value
    let (a, b) = ([0, 1, 1, b'a', b'v'], [0, 1, 1, b'b', b'v']);
    assert!(frame(&[a, b].concat(), 2).is_ok());
    assert!(frame(&[b, a].concat(), 2).is_err(), "keys descend");
    assert!(frame(&[a, a].concat(), 2).is_err(), "a key twice");
    assert!(frame(&[a, b].concat(), 1).is_err(), "more entries than counted");
    assert!(frame(&[a, b].concat(), 3).is_err(), "fewer");
    assert!(frame(&[], 0).is_err(), "no entry");
    assert!(frame(&[8, 1, 1, b'a', b'v'], 1).is_err(), "a restart shares nothing");
    assert!(frame(&[&a[..], &[16, 1, 1, b'b', b'v']].concat(), 2).is_err(), "more shared than there is");
    assert!(frame(&[3, 1, 1, b'a', b'v'], 1).is_err(), "a chain that is none");
    assert!(frame(&[5, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'a'], 1).is_err(), "a deletion that expires");
    assert!(frame(&[1, 1, b'a'], 1).is_ok(), "a deletion");
    assert!(frame(&[], usize::from(u16::MAX)).is_err());
}
