//! A verification finds every kind of mismatch, whatever the number of its passes.

use std::collections::BTreeMap;
use std::io::Write;

use super::*;
use crate::workload::{Totals, Workload};

const GROUPS: u16 = 16;

/// A store that is a map; pages of three entries.
struct Map(BTreeMap<Vec<u8>, Vec<u8>>);

impl StoredState for Map {
    async fn page(&self, group: u16, after: Option<&[u8]>) -> Result<Page, Failure> {
        let mut entries: Vec<_> = self
            .0
            .iter()
            .filter(|(key, _)| aquifer::key_group(key, GROUPS) == group)
            .filter(|(key, _)| after.is_none_or(|after| key.as_slice() > after))
            .map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)))
            .collect();
        let next = entries.get(2).filter(|_| entries.len() > 3).map(|(key, _)| key.clone());
        entries.truncate(3);
        Ok(Page { entries, next })
    }
}

/// 3,000 rows of 1,000 keys.
fn input() -> (tempfile::NamedTempFile, Source, Totals) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "k,v").unwrap();
    for row in 0..3_000_u64 {
        writeln!(file, "key-{},{}", row * 7 % 1_000, row).unwrap();
    }
    let source = Source::File(file.path().to_owned());
    let workload = Totals::bind(EventReader::open(&source).unwrap().header(), "k", "v").unwrap();
    (file, source, workload)
}

/// The right states of that input, made by the workload itself.
fn right(source: &Source, workload: &Totals) -> Map {
    let mut states: BTreeMap<Vec<u8>, _> = BTreeMap::new();
    let mut reader = EventReader::open(source).unwrap();
    while let Some(row) = reader.next_row().unwrap() {
        let key = workload.key(&row).unwrap().to_vec();
        let event = workload.event(&row).unwrap();
        let state = Totals::apply(states.remove(&key), &event).unwrap();
        states.insert(key, state);
    }
    Map(states.into_iter().map(|(key, state)| (key, Totals::encode(&state).as_ref().to_vec())).collect())
}

fn run(budget_bytes: usize, state: &Map, source: &Source, workload: &Totals) -> Comparison {
    aquifer_io::block_on(verify(workload, source, state, GROUPS, budget_bytes, |_| {})).unwrap()
}

#[test]
fn a_right_state_has_no_mismatch_in_one_pass_or_many() {
    let (_file, source, workload) = input();
    let state = right(&source, &workload);
    let one = run(1 << 20, &state, &source, &workload);
    assert_eq!((one.passes, one.keys, one.mismatches()), (1, 1_000, 0));
    let many = run(16 << 10, &state, &source, &workload);
    assert!(many.passes > 5, "{} passes", many.passes);
    assert_eq!((many.keys, many.mismatches()), (1_000, 0));
}

#[test]
fn missing_extra_and_different_keys_are_told_apart() {
    let (_file, source, workload) = input();
    for budget_bytes in [1 << 20, 16 << 10] {
        let mut state = right(&source, &workload);
        state.0.remove(b"key-7".as_slice());
        let other = state.0.get(b"key-8".as_slice()).unwrap().clone();
        state.0.insert(b"key-9".to_vec(), other);
        state.0.insert(b"stranger".to_vec(), vec![1, 2, 3]);
        state.0.insert(b"key-10".to_vec(), vec![9; 48]);
        let found = run(budget_bytes, &state, &source, &workload);
        assert_eq!((found.missing, found.extra, found.different), (1, 1, 2));
        assert_eq!((found.mismatches(), found.samples.len()), (4, 4));
        assert!(found.samples.iter().any(|sample| sample.starts_with("\"key-7\": missing")));
    }
}

#[test]
fn an_empty_store_misses_every_key() {
    let (_file, source, workload) = input();
    let found = run(1 << 20, &Map(BTreeMap::new()), &source, &workload);
    assert_eq!((found.missing, found.samples.len()), (1_000, 5));
}
