//! The table against a plain list of everything that was ever written.

use super::ranges::RangeDeletion;
use super::*;
use crate::entry::{Entry, NEVER, Op, encode_chain};
use crate::merge_operator::{MergeOperators, operator_id};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Step {
    Put { key: Vec<u8>, bytes: usize, expires_ms: u64 },
    Delete { key: Vec<u8> },
    Merge { key: Vec<u8>, append: bool, operand: u8, expires_ms: u64, now_ms: u64 },
    DeleteRange { from: Vec<u8>, to: Vec<u8> },
    Snapshot,
    Release(prop::sample::Index),
    Check { bound: Vec<u8> },
}

/// Few enough keys that they meet, some of them with long beginnings in common.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let tail = prop::collection::vec(0u8..4, 0..4);
    (tail, any::<bool>(), prop::option::weighted(0.3, 0u8..=255)).prop_map(|(tail, long, more)| {
        let mut key = if long { b"a beginning in common".to_vec() } else { Vec::new() };
        key.extend(tail);
        key.extend(more);
        key
    })
}

fn expiry() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(NEVER), 1 => 0u64..100]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (key(), prop_oneof![0usize..40, 0usize..3000, Just(40_000)], expiry())
            .prop_map(|(key, bytes, expires_ms)| Step::Put { key, bytes, expires_ms }),
        3 => key().prop_map(|key| Step::Delete { key }),
        12 => (key(), any::<bool>(), any::<u8>(), expiry(), 0u64..100)
            .prop_map(|(key, append, operand, expires_ms, now_ms)| Step::Merge { key, append, operand, expires_ms, now_ms }),
        3 => (key(), key()).prop_map(|(from, to)| Step::DeleteRange { from, to }),
        2 => Just(Step::Snapshot),
        1 => any::<prop::sample::Index>().prop_map(Step::Release),
        2 => key().prop_map(|bound| Step::Check { bound }),
    ]
}

/// An entry that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    kind: u32,
    payload: Vec<u8>,
    expires_ms: u64,
    /// Of operands.
    written_ms: u64,
}

const PUT: u32 = 0;
const DELETE: u32 = 1;
const CHAIN: u32 = 2;

impl Owned {
    fn of(entry: &Entry<'_>) -> Self {
        let (kind, written_ms) = match entry.op {
            Op::Put(_) => (PUT, 0),
            Op::Delete => (DELETE, 0),
            Op::Merge { operator, written_ms, .. } => (operator, written_ms),
            Op::Chain(_) => (CHAIN, 0),
        };
        Self { kind, payload: entry.payload().to_vec(), expires_ms: entry.expires_ms, written_ms }
    }

    fn entry(&self) -> Entry<'_> {
        let op = match self.kind {
            PUT => Op::Put(&self.payload),
            DELETE => Op::Delete,
            CHAIN => Op::Chain(&self.payload),
            operator => Op::Merge { operator, operand: &self.payload, written_ms: self.written_ms },
        };
        Entry { op, expires_ms: self.expires_ms }
    }
}

#[derive(Default)]
struct Model {
    writes: BTreeMap<Vec<u8>, Vec<(u64, Owned)>>,
    ranges: Vec<(Vec<u8>, Vec<u8>, u64)>,
    snapshots: BTreeSet<u64>,
    sequence: u64,
}

impl Model {
    fn covering(&self, key: &[u8], at: u64) -> Option<u64> {
        let covers = |(from, to, sequence): &&(Vec<u8>, Vec<u8>, u64)| {
            from.as_slice() <= key && key < to.as_slice() && *sequence <= at
        };
        self.ranges.iter().filter(covers).map(|range| range.2).max()
    }

    fn written(&self, key: &[u8], at: u64) -> Option<&(u64, Owned)> {
        self.writes.get(key)?.iter().rev().find(|(sequence, _)| *sequence <= at)
    }

    fn get(&self, key: &[u8], at: u64) -> Option<Result<(u64, Owned), u64>> {
        let deleted = self.covering(key, at);
        match self.written(key, at) {
            Some((sequence, entry)) if deleted.is_none_or(|d| d < *sequence) => {
                Some(Ok((*sequence, entry.clone())))
            }
            _ => deleted.map(Err),
        }
    }

    fn put(&mut self, key: &[u8], entry: Owned) {
        self.writes.entry(key.to_vec()).or_default().push((self.sequence, entry));
    }

    /// The entry that a merge makes.
    fn merged(&self, key: &[u8], operator: u32, operand: &[u8], expires_ms: u64, now_ms: u64) -> Owned {
        let alone = |kind| {
            let written_ms = if kind == operator { now_ms } else { 0 };
            Owned { kind, payload: operand.to_vec(), expires_ms, written_ms }
        };
        let entry = match self.get(key, u64::MAX) {
            None => return alone(operator),
            Some(Err(_)) => return alone(PUT),
            Some(Ok((_, entry))) if entry.kind == DELETE || entry.expires_ms <= now_ms => return alone(PUT),
            Some(Ok((_, entry))) => entry,
        };
        let combined = if entry.kind != PUT && entry.kind != operator {
            None
        } else if operator == operator_id("append") {
            Some([entry.payload.as_slice(), operand].concat())
        } else {
            let number = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_le_bytes);
            let sum = number(&entry.payload).zip(number(operand)).map(|(a, b)| a.wrapping_add(b));
            sum.map(|sum| sum.to_le_bytes().to_vec())
        };
        match combined {
            Some(payload) => {
                Owned { kind: entry.kind, payload, expires_ms, written_ms: entry.written_ms.min(now_ms) }
            }
            None => {
                let payload = encode_chain([alone(operator).entry(), entry.entry()]);
                Owned { kind: CHAIN, payload, expires_ms, written_ms: 0 }
            }
        }
    }

    fn held(&self) -> Option<u64> {
        self.snapshots.last().copied()
    }
}

fn apply(table: &mut Memtable, model: &mut Model, operators: &MergeOperators, step: Step) {
    model.sequence += 1;
    let (sequence, held) = (model.sequence, model.held());
    match step {
        Step::Put { key, bytes, expires_ms } => {
            let value = vec![sequence.to_le_bytes()[0]; bytes];
            let entry = Entry { op: Op::Put(&value), expires_ms };
            table.write(&key, entry, sequence, held);
            model.put(&key, Owned::of(&entry));
        }
        Step::Delete { key } => {
            table.write(&key, Entry::delete(), sequence, held);
            model.put(&key, Owned::of(&Entry::delete()));
        }
        Step::Merge { key, append, operand, expires_ms, now_ms } => {
            let operand = if append { vec![operand; 3] } else { i64::from(operand).to_le_bytes().to_vec() };
            let operator = operator_id(if append { "append" } else { "add" });
            let write = MergeWrite { operator, operand: &operand, expires_ms, now_ms };
            table.merge(&key, &write, sequence, held, operators).unwrap();
            let entry = model.merged(&key, operator, &operand, expires_ms, now_ms);
            model.put(&key, entry);
        }
        Step::DeleteRange { from, to } => {
            table.delete_range(&from, &to, sequence, held);
            if from < to {
                model.ranges.push((from, to, sequence));
            }
        }
        Step::Snapshot => {
            model.snapshots.insert(sequence);
        }
        Step::Release(index) => {
            if !model.snapshots.is_empty() {
                let released = *model.snapshots.iter().nth(index.index(model.snapshots.len())).unwrap();
                model.snapshots.remove(&released);
            }
        }
        Step::Check { bound } => {
            let moments: Vec<u64> = model.snapshots.iter().copied().chain([u64::MAX]).collect();
            for at in moments {
                check(table, model, &bound, at);
            }
        }
    }
}

/// Everything that can be read at one moment.
fn check(table: &Memtable, model: &Model, bound: &[u8], at: u64) {
    let ranges: Vec<_> = table.range_deletions(at).collect();
    assert!(ranges.iter().all(|range| range.from < range.to));
    assert!(ranges.windows(2).all(|pair| pair[0].to <= pair[1].from));
    let covering =
        |key: &[u8]| ranges.iter().find(|range| range.from <= key && key < range.to).map(|r| r.sequence);
    for key in model.writes.keys().map(Vec::as_slice).chain([bound]) {
        let found = table.get(key, at).map(|found| match found {
            Found::Entry { entry, sequence } => Ok((sequence, Owned::of(&entry))),
            Found::RangeDeleted { sequence } => Err(sequence),
        });
        assert_eq!(found, model.get(key, at), "key {key:?} at {at}");
        assert_eq!(covering(key), model.covering(key, at), "ranges over {key:?} at {at}");
    }
    let visible: Vec<(Vec<u8>, u64, Owned)> = model
        .writes
        .keys()
        .filter_map(|key| Some((key.clone(), model.get(key, at)?.ok()?)))
        .map(|(key, (sequence, entry))| (key, sequence, entry))
        .collect();
    let owned = |v: Visible<'_>| (v.key.to_vec(), v.sequence, Owned::of(&v.entry));
    let mut cursor = table.cursor(at);
    let forward: Vec<_> = std::iter::from_fn(|| cursor.next()).map(owned).collect();
    assert_eq!(forward, visible);
    cursor.seek_last();
    let mut backward: Vec<_> = std::iter::from_fn(|| cursor.previous()).map(owned).collect();
    backward.reverse();
    assert_eq!(backward, visible);
    for after in [false, true] {
        let border =
            visible.partition_point(|v| if after { v.0.as_slice() <= bound } else { v.0.as_slice() < bound });
        if after {
            cursor.seek_after(bound);
        } else {
            cursor.seek_before(bound);
        }
        let mut back = cursor;
        assert_eq!(cursor.next().map(owned), visible.get(border).cloned());
        assert_eq!(back.previous().map(owned), border.checked_sub(1).map(|i| visible[i].clone()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_table_answers_like_a_list_of_all_writes(steps in prop::collection::vec(step(), 1..250)) {
        let operators = MergeOperators::new(&[]).unwrap();
        let (mut table, mut model) = (Memtable::default(), Model::default());
        for step in steps {
            apply(&mut table, &mut model, &operators, step);
        }
        apply(&mut table, &mut model, &operators, Step::Check { bound: vec![1] });
    }
}

#[test]
fn a_hundred_thousand_keys_keep_their_order() {
    let mut random = fastrand::Rng::with_seed(11);
    // In random order, ascending, and with beginnings in common that are longer than a head.
    let shapes: [fn(&mut fastrand::Rng, u32) -> Vec<u8>; 3] = [
        |random, _| std::iter::repeat_with(|| random.u8(..)).take(16).collect(),
        |_, n| format!("{n:016}").into_bytes(),
        |random, _| format!("user {:03} field {:09}", random.u32(..40), random.u32(..1_000_000)).into_bytes(),
    ];
    for shape in shapes {
        let (mut table, mut model) = (Memtable::default(), BTreeSet::new());
        for n in 0..100_000 {
            let key = shape(&mut random, n);
            table.write(&key, Entry::put(&key[..4]), u64::from(n), None);
            model.insert(key);
        }
        assert_eq!(table.len(), model.len());
        let mut cursor = table.cursor(u64::MAX);
        for key in &model {
            let visible = cursor.next().unwrap();
            assert_eq!((visible.key, visible.entry.payload()), (key.as_slice(), &key[..4]));
        }
        assert!(cursor.next().is_none());
        for key in model.iter().rev() {
            assert_eq!(cursor.previous().unwrap().key, key.as_slice());
        }
        for key in model.iter().step_by(97) {
            assert!(matches!(table.get(key, u64::MAX), Some(Found::Entry { .. })));
            cursor.seek_before(key);
            assert_eq!(cursor.next().unwrap().key, key.as_slice());
        }
    }
}

#[test]
fn ten_million_updates_of_ten_thousand_keys_stay_ten_thousand_entries() {
    let mut table = Memtable::default();
    let mut random = fastrand::Rng::with_seed(3);
    let value = [7u8; 120];
    let mut full = 0;
    for sequence in 0..10_000_000u64 {
        let key = random.u64(..10_000).to_le_bytes();
        table.write(&key, Entry::put(&value[..random.usize(80..120)]), sequence, None);
        if sequence == 1_000_000 {
            full = table.bytes();
        }
    }
    assert_eq!(table.len(), 10_000);
    assert!(table.bytes() <= full + full / 10, "{} after a million, then {}", full, table.bytes());
    assert!(table.bytes() < 10_000 * 300, "{}", table.bytes());
}

#[test]
fn a_million_appends_to_one_key_are_one_value() {
    let operators = MergeOperators::new(&[]).unwrap();
    let mut table = Memtable::default();
    for sequence in 0..1_000_000u64 {
        let operand = sequence.to_le_bytes();
        let write =
            MergeWrite { operator: operator_id("append"), operand: &operand, expires_ms: NEVER, now_ms: 0 };
        table.merge(b"list", &write, sequence, None, &operators).unwrap();
    }
    let Some(Found::Entry { entry: Entry { op: Op::Merge { operand, .. }, .. }, .. }) =
        table.get(b"list", u64::MAX)
    else {
        panic!("no base was ever seen");
    };
    assert_eq!(operand.len(), 8_000_000);
    assert_eq!(operand[8 * 777_777..][..8], 777_777u64.to_le_bytes());
    assert!(table.bytes() < 2 * 8_000_000 + 100_000, "{}", table.bytes());
}

#[test]
fn values_that_grow_and_shrink_leave_bounded_waste() {
    for (from, to) in [(10usize, 5_000usize), (5_000, 10)] {
        let mut table = Memtable::default();
        let mut sequence = 0;
        let mut bytes = from;
        loop {
            for key in 0..200u32 {
                sequence += 1;
                table.write(&key.to_le_bytes(), Entry::put(&vec![1; bytes]), sequence, None);
            }
            // In small steps, all keys in step: the worst for slots that are reused by size.
            bytes = if from < to { bytes + bytes / 16 + 1 } else { bytes - bytes / 16 - 1 };
            if bytes.abs_diff(from) >= from.abs_diff(to) {
                break;
            }
        }
        assert!(table.bytes() < 4 * 200 * from.max(to), "{}", table.bytes());
    }
}

#[test]
fn deleting_one_range_again_and_again_keeps_one_marker() {
    let mut table = Memtable::default();
    for sequence in 0..10_000u64 {
        table.delete_range(b"b", b"d", sequence, None);
        table.delete_range(b"c", b"e", sequence, None);
    }
    assert!(!table.is_empty());
    let ranges: Vec<_> = table.range_deletions(u64::MAX).collect();
    assert_eq!(ranges, [RangeDeletion { from: b"b", to: b"e", sequence: 9_999 }]);
    assert!(table.bytes() < 4096, "{}", table.bytes());
}

#[test]
fn a_cleared_table_is_empty_and_takes_writes() {
    let mut table = Memtable::default();
    table.write(b"k", Entry::put(&[1; 100_000]), 1, None);
    table.delete_range(b"a", b"b", 2, None);
    table.clear();
    assert!(table.is_empty() && table.bytes() < 4096);
    assert_eq!(table.get(b"k", u64::MAX), None);
    table.write(b"k", Entry::delete(), 3, None);
    assert_eq!(table.get(b"k", u64::MAX), Some(Found::Entry { entry: Entry::delete(), sequence: 3 }));
    assert_eq!(table.get(b"k", 2), None);
}

/// The first key of a table was larger than a shared slot: its chunk was taken for the one to fill, and the next key written over it.
#[test]
fn a_key_with_a_chunk_of_its_own_may_come_first() {
    let mut table = Memtable::default();
    let long = [&[0, 9][..], &vec![1; 65_536]].concat();
    let keys: [&[u8]; 6] = [&long, &[0, 11], &[0, 3], &[0, 11, 0], &[0, 11, 0, 0], &[]];
    for (sequence, key) in (1..).zip(keys) {
        table.write(key, Entry::put(b"v"), sequence, None);
    }
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    let mut cursor = table.cursor(u64::MAX);
    let walked: Vec<_> = std::iter::from_fn(|| cursor.next()).map(|visible| visible.key).collect();
    assert!(walked == sorted, "{:?}", walked.iter().map(|key| key.len()).collect::<Vec<_>>());
}
