//! The index against a map, and what it takes.

use super::index::{HEAT_MAX, Index, Slot, Spot, TABLES};
use super::origin::Origin;
use crate::key::Class;
use std::collections::HashMap;

fn spot(sector: u32) -> Spot {
    let class = if sector.is_multiple_of(3) { Class::Meta } else { Class::Data };
    Spot { sector, grain: 5, sectors: 9, class, origin: Origin::Flushed, heat: 0 }
}

/// Small multiplicative generator; quality does not matter here.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 16
}

#[test]
fn agrees_with_a_map_under_random_operations() {
    let mut state = 7;
    let mut index = Index::new();
    let mut model: HashMap<u64, Spot> = HashMap::new();
    for step in 0..200_000u32 {
        // Few tables and few homes, at both ends of a table, so that runs are long and are pushed over the end.
        let spread = next(&mut state) % 4000;
        let high = if spread.is_multiple_of(2) { 0xff_fff0 } else { 0 };
        let hash = ((spread % 3) << 56) | (high << 32) | ((spread % 16) << 32) | (spread / 16);
        match next(&mut state) % 6 {
            0 | 1 => assert_eq!(index.insert(hash, spot(step)), model.insert(hash, spot(step))),
            2 => assert_eq!(index.find(hash), model.get(&hash).copied()),
            3 => {
                let sector = model.get(&hash).map_or(step, |spot| spot.sector);
                let heat = model.get_mut(&hash).map(|spot| {
                    let before = spot.heat;
                    spot.heat = (before + 1).min(HEAT_MAX);
                    before
                });
                assert_eq!(index.touch(hash, sector), heat);
                assert_eq!(index.touch(hash, sector + 1), None, "not the same place");
            }
            _ => {
                let sector = model.get(&hash).map_or(step, |spot| spot.sector);
                assert_eq!(index.remove(hash, sector + 1), None, "not the same place");
                assert_eq!(index.remove(hash, sector), model.remove(&hash));
            }
        }
        assert_eq!(index.entries(), model.len());
    }
    for (&hash, &spot) in &model {
        assert_eq!(index.find(hash), Some(spot));
    }
    // What is dropped by the table leaves the rest where it was.
    let mut dropped = 0;
    for table in 0..TABLES {
        index.retain(table, |spot| spot.sector.is_multiple_of(2), |_| dropped += 1);
    }
    assert_eq!(index.entries() + dropped, model.len());
    for (&hash, &spot) in &model {
        assert_eq!(index.find(hash), Some(spot).filter(|spot| spot.sector.is_multiple_of(2)));
    }
}

#[test]
fn a_snapshot_taken_in_parts_is_the_index() {
    let mut index = Index::new();
    let mut state = 3;
    let hashes: Vec<u64> = (0..50_000).map(|_| (next(&mut state) << 32) ^ next(&mut state)).collect();
    for (n, &hash) in (0..).zip(&hashes) {
        index.insert(hash, spot(n));
        if n % 7 == 0 {
            index.touch(hash, n);
        }
    }
    let mut loaded = Index::new();
    for table in 0..TABLES {
        let mut slots: Vec<Slot> = Vec::new();
        let mut after = None;
        loop {
            let part: Vec<(u32, Slot)> = index.slots_after(table, after).take(17).collect();
            let Some(&(last, _)) = part.last() else { break };
            slots.extend(part.iter().map(|(_, slot)| Slot::decode(&slot.encode())));
            after = Some(last);
        }
        loaded.load(table, slots.len(), slots.into_iter());
    }
    // Two slots of the same tag at the border of a part: one may be forgotten.
    assert!(loaded.entries() + 3 >= index.entries());
    let same = hashes.iter().filter(|&&hash| loaded.find(hash) == index.find(hash)).count();
    assert!(same + 3 >= hashes.len(), "{same}");
    // It goes on growing and shrinking like any other.
    for &hash in &hashes {
        let sector = loaded.find(hash).map_or(0, |spot| spot.sector);
        loaded.remove(hash, sector);
        assert_eq!(loaded.find(hash), None);
    }
    assert_eq!(loaded.entries(), 0);
}

#[test]
fn slots_out_of_order_are_left_out() {
    let mut index = Index::new();
    index.insert(5 << 32, spot(1));
    index.insert(9 << 32, spot(2));
    let slots: Vec<Slot> = index.slots_after(0, None).map(|(_, slot)| slot).collect();
    let mut loaded = Index::new();
    loaded.load(0, 4, [slots[1], slots[0], slots[1]].into_iter());
    assert_eq!((loaded.find(9 << 32), loaded.find(5 << 32)), (Some(spot(2)), None));
    loaded.load(1, 2, slots.into_iter());
    assert_eq!(loaded.slots_after(1, None).count(), 0, "of another table");
}

/// A table of eight homes was to grow by a twelfth of eight, which is nothing: it kept eight homes for ever, so that with five million entries each
/// insertion moved thousands of slots and each search passed as many. Such an index takes less than one that is at most nine tenths full.
#[test]
fn tables_that_begin_empty_grow_in_homes() {
    let mut index = Index::new();
    let mut state = 5;
    for n in 1..=200_000 {
        index.insert((next(&mut state) << 32) ^ next(&mut state), spot(n));
    }
    let bytes = index.memory_bytes() as f64 / index.entries() as f64;
    assert!(bytes >= 12.0 * 100.0 / 90.0, "{bytes} bytes an entry: more than nine tenths full");
}

#[test]
fn an_entry_costs_at_most_sixteen_bytes_whatever_their_number() {
    let mut index = Index::new();
    let mut state = 1;
    for n in 1..=300_000usize {
        let hash = (next(&mut state) << 32) ^ next(&mut state);
        index.insert(hash, spot(u32::try_from(n).unwrap()));
        if n >= 100_000 && n.is_multiple_of(1_000) {
            let bytes = index.memory_bytes() as f64 / index.entries() as f64;
            assert!((12.0..=16.0).contains(&bytes), "{bytes} bytes an entry of {n}");
        }
    }
    // Most of it goes: memory comes back.
    for table in 0..TABLES {
        index.retain(table, |spot| spot.sector < 100_000, |_| {});
    }
    let bytes = index.memory_bytes() as f64 / index.entries() as f64;
    assert!((12.0..=16.0).contains(&bytes), "{bytes} bytes an entry of {}", index.entries());
}
