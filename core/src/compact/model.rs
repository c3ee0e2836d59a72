//! The policy on a model of a store: real versions, real picks, real changes, but segments are maps in memory.
//!
//! It answers two questions that a unit test of one pick cannot: is a read right after any course of flushes and merges, and how many
//! bytes does the policy write (the figures of decision 0008).

use super::job::{Job, JobKind};
use super::pick::{Situation, pick};
use crate::key::{engine_key, group_of, key_group};
use crate::limits::COMPACTION_RUNS_MAX;
use crate::segment::SegmentEntry;
use crate::segment::counts::Counts;
use crate::version::invariants::Merged;
use crate::version::{Facts, Segment, SegmentId, Version, invariants};
use aquifer_remote::ObjectName;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

/// What a key's newest write says: a value and the moment it expires, or a deletion.
type Write = Option<(u32, u64)>;
type Map = BTreeMap<Box<[u8]>, Write>;

/// A store whose segments are maps.
struct Store {
    groups: Range<u16>,
    key_groups: u16,
    version: Version,
    contents: HashMap<SegmentId, Map>,
    /// By parts of the key groups.
    memtable: Vec<Map>,
    /// Writes that fill a memtable, all of its parts together.
    memtable_entries: usize,
    /// Bytes that one entry of the model stands for.
    entry_bytes: u64,
    segment_entries: usize,
    now_ms: u64,
    sequence: u64,
    written: Written,
    has_flushed: bool,
    depth_max: usize,
    depth_sum: u64,
    depths: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Written {
    put: u64,
    flushed: u64,
    merged: u64,
    jobs: u64,
}

impl Store {
    fn new(key_groups: u16, parts: usize, memtable_entries: usize, entry_bytes: u64) -> Self {
        Self {
            groups: 0..key_groups,
            key_groups,
            version: Version::default(),
            contents: HashMap::new(),
            memtable: vec![Map::new(); parts],
            memtable_entries,
            entry_bytes,
            segment_entries: memtable_entries.div_ceil(4),
            now_ms: 0,
            sequence: 0,
            written: Written::default(),
            has_flushed: false,
            depth_max: 0,
            depth_sum: 0,
            depths: 0,
        }
    }

    fn situation(&self) -> Situation {
        Situation {
            groups: self.groups.clone(),
            unit_bytes: self.memtable_entries as u64 * self.entry_bytes * 2 * self.memtable.len() as u64
                / (self.memtable.len() as u64 + 1),
            now_ms: self.now_ms,
            busy: HashSet::new(),
            covered: HashSet::new(),
            reads_pay: false,
        }
    }

    fn write(&mut self, key: &[u8], write: Write) {
        let group = key_group(key, self.key_groups);
        let part = usize::from(group) * self.memtable.len() / usize::from(self.key_groups);
        self.memtable[part].insert(engine_key(group, key).unwrap(), write);
        self.written.put += self.entry_bytes;
        if self.memtable.iter().map(Map::len).sum::<usize>() >= self.memtable_entries {
            let fullest = (0..self.memtable.len()).max_by_key(|part| self.memtable[*part].len()).unwrap();
            let map = std::mem::take(&mut self.memtable[fullest]);
            self.flush(map);
        }
    }

    /// As a checkpoint does.
    fn flush_all(&mut self) {
        let all = self.memtable.iter_mut().flat_map(std::mem::take).collect();
        self.flush(all);
    }

    fn flush(&mut self, map: Map) {
        if map.is_empty() {
            return;
        }
        self.sequence += 1;
        self.written.flushed += map.len() as u64 * self.entry_bytes;
        let segment = self.segment(map, 0, self.sequence);
        self.version = self.version.with_flushed(self.sequence, Some(segment));
        self.has_flushed = true;
        self.check();
    }

    fn segment(&mut self, map: Map, level: u8, sequence: u64) -> Rc<Segment> {
        let object = format!("pack/{}", self.contents.len());
        let (smallest, largest) =
            (map.keys().next().unwrap().clone(), map.keys().next_back().unwrap().clone());
        let expiries: Vec<u64> = map
            .values()
            .flatten()
            .map(|&(_, expires)| expires)
            .filter(|&expires| expires < u64::MAX)
            .collect();
        let tombstones = map.values().filter(|write| write.is_none()).count() as u64;
        let entry = SegmentEntry {
            object: ObjectName::new(object).unwrap(),
            offset: 0,
            bytes: u32::try_from(map.len() as u64 * self.entry_bytes).unwrap(),
            tail_bytes: 64,
            footer_crc: 0,
            tag: self.contents.len() as u64,
            sequence,
            level,
            groups: group_of(&smallest).unwrap()..group_of(&largest).unwrap() + 1,
            counts: Counts { entries: map.len() as u64, tombstones, ..Counts::default() },
            range_deletes: 0,
            smallest,
            largest,
        };
        let facts = Facts {
            entries: map.len() as u64,
            tombstones,
            expiring: expiries.len() as u64,
            expiry_ms_max: expiries.into_iter().max().unwrap_or(0),
            merges: 0,
            range_deletions: 0,
        };
        let segment = Rc::new(Segment { facts, ..Segment::new(entry) });
        self.contents.insert(segment.id(), map);
        segment
    }

    /// Does one job; `false` if there is none.
    fn step(&mut self) -> bool {
        let Some(job) = pick(&self.version, &self.situation()) else { return false };
        self.carry_out(&job);
        true
    }

    /// All jobs that a flush gave rise to: compaction that keeps up.
    fn settle_after_flush(&mut self) {
        if std::mem::take(&mut self.has_flushed) {
            self.settle();
        }
    }

    fn carry_out(&mut self, job: &Job) {
        let mut merged = None;
        let outputs = if job.is_merge() {
            let (outputs, counted) = self.merge(job);
            merged = Some(counted);
            outputs
        } else {
            Vec::new()
        };
        let change = job.change(outputs);
        let next = self.version.with_change(&change).unwrap();
        invariants::of_change(&self.version, &change, &next, merged).unwrap();
        self.version = next;
        self.written.jobs += 1;
        self.check();
    }

    fn merge(&mut self, job: &Job) -> (Vec<Rc<Segment>>, Merged) {
        let mut merged = Map::new();
        for segment in job.inputs.iter().rev().flatten() {
            let inside = |key: &[u8]| {
                let group = group_of(key).unwrap();
                job.groups.contains(&group) && segment.entry.groups.contains(&group)
            };
            for (key, write) in &self.contents[&segment.id()] {
                if inside(key) {
                    merged.insert(key.clone(), *write);
                }
            }
        }
        let keys = merged.len() as u64;
        let now = self.now_ms;
        for write in merged.values_mut() {
            *write = write.filter(|&(_, expires)| expires > now);
        }
        if job.reaches_bottom {
            merged.retain(|_, write| write.is_some());
        }
        let kept = merged.len() as u64;
        self.written.merged += kept * self.entry_bytes;
        let mut outputs = Vec::new();
        let mut piece = Map::new();
        let cuts = job.cuts();
        for (key, write) in merged {
            let group = group_of(&key).unwrap();
            let hole = piece
                .keys()
                .next_back()
                .and_then(|last| group_of(last))
                .is_some_and(|last| cuts.iter().any(|cut| last < *cut && *cut <= group));
            let border = piece.keys().next_back().is_some_and(|last| group_of(last) != group_of(&key));
            if hole
                || piece.len() >= self.segment_entries
                || (border && piece.len() >= self.segment_entries / 2)
            {
                outputs.push(self.segment(std::mem::take(&mut piece), job.level, job.sequence));
            }
            piece.insert(key, write);
        }
        if !piece.is_empty() {
            outputs.push(self.segment(piece, job.level, job.sequence));
        }
        (outputs, Merged { keys, kept })
    }

    fn check(&mut self) {
        invariants::of_version(&self.version, &self.groups).unwrap();
        let depth = self.version.depth(&self.groups);
        self.depth_max = self.depth_max.max(depth);
        self.depth_sum += depth as u64;
        self.depths += 1;
    }

    fn settle(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 10_000, "never settles: {:?}", pick(&self.version, &self.situation()));
        }
    }

    fn get(&self, key: &[u8]) -> Option<u32> {
        let group = key_group(key, self.key_groups);
        let key = engine_key(group, key).unwrap();
        let alive =
            |write: &Write| write.filter(|&(_, expires)| expires > self.now_ms).map(|(value, _)| value);
        if let Some(write) = self.memtable.iter().find_map(|part| part.get(&key)) {
            return alive(write);
        }
        for run in &self.version.runs {
            let holder = run.find(&key).filter(|segment| segment.entry.groups.contains(&group));
            if let Some(write) = holder.and_then(|segment| self.contents[&segment.id()].get(&key)) {
                return alive(write);
            }
        }
        None
    }

    /// Bytes that the version names against what is alive.
    fn bytes(&self) -> u64 {
        self.version.runs.iter().map(crate::version::SortedRun::bytes).sum()
    }
}

/// A load of distinct keys in random order, then each key overwritten twice, at random: the writes by phase, once settled.
fn load_and_overwrite(flushes: u64, parts: usize) -> (f64, f64, Store) {
    // 5 million entries of 116 bytes in a shard; one in 250 of them in the model, each for 250.
    const ENTRIES: u64 = 20_000;
    let entry_bytes = 116 * 250;
    let mut store = Store::new(64, parts, usize::try_from(ENTRIES / flushes).unwrap(), entry_bytes);
    let mut random = fastrand::Rng::with_seed(flushes);
    let mut keys: Vec<u64> = (0..ENTRIES).collect();
    random.shuffle(&mut keys);
    for key in keys {
        store.write(&key.to_le_bytes(), Some((1, u64::MAX)));
        store.settle_after_flush();
    }
    store.settle();
    let load = store.written;
    for n in 0..2 * ENTRIES {
        store.write(&random.u64(0..ENTRIES).to_le_bytes(), Some((u32::try_from(n).unwrap(), u64::MAX)));
        store.settle_after_flush();
    }
    store.settle();
    let all = store.written;
    let loaded = (load.flushed + load.merged) as f64 / load.put as f64;
    let overwritten =
        (all.flushed + all.merged - load.flushed - load.merged) as f64 / (all.put - load.put) as f64;
    (loaded, overwritten, store)
}

#[test]
fn a_load_and_two_overwrites_write_few_bytes_and_leave_few_runs() {
    println!("flushes a load: written by load, by overwrite; runs most, mean, settled; space");
    for (flushes, parts, load_max, overwrite_max) in
        [(16, 8, 1.0, 1.6), (31, 8, 1.1, 2.5), (62, 8, 1.7, 2.5), (124, 8, 2.1, 3.0), (160, 1, 2.1, 3.7)]
    {
        let (load, overwrite, store) = load_and_overwrite(flushes, parts);
        let space = store.bytes() as f64 / (20_000.0 * store.entry_bytes as f64);
        let settled = store.version.depth(&store.groups);
        println!(
            "{flushes} in {parts} parts: {load:.2}, {overwrite:.2}; {}, {:.1}, {settled}; {space:.2}; {} jobs",
            store.depth_max,
            store.depth_sum as f64 / store.depths as f64,
            store.written.jobs
        );
        assert!(load < load_max && overwrite < overwrite_max, "{flushes}: {load} {overwrite}");
        assert!(store.depth_max <= COMPACTION_RUNS_MAX + 4, "{flushes}: {}", store.depth_max);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u32),
    PutExpiring(u8, u32, u8),
    Delete(u8),
    Flush,
    Compact,
    Settle,
    Wait(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            20 => (any::<u8>(), any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
            4 => (any::<u8>(), any::<u32>(), any::<u8>()).prop_map(|(key, value, ttl)| Step::PutExpiring(key, value, ttl)),
            8 => any::<u8>().prop_map(Step::Delete),
            4 => Just(Step::Flush),
            6 => Just(Step::Compact),
            1 => Just(Step::Settle),
            2 => any::<u8>().prop_map(Step::Wait),
        ],
        1..600,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_course_of_writes_and_jobs_reads_as_a_map(steps in steps(), key_groups in 1u16..9, parts in 1usize..4, entry_bytes in 1u64..20_000_000) {
        let mut store = Store::new(key_groups, parts, 7, entry_bytes);
        let mut map: HashMap<u8, (u32, u64)> = HashMap::new();
        for (checked, step) in (0u64..).zip(steps) {
            match step {
                Step::Put(key, value) => {
                    store.write(&[key], Some((value, u64::MAX)));
                    map.insert(key, (value, u64::MAX));
                }
                Step::PutExpiring(key, value, ttl) => {
                    let expires = store.now_ms + u64::from(ttl);
                    store.write(&[key], Some((value, expires)));
                    map.insert(key, (value, expires));
                }
                Step::Delete(key) => {
                    store.write(&[key], None);
                    map.remove(&key);
                }
                Step::Flush => store.flush_all(),
                Step::Compact => drop(store.step()),
                Step::Settle => store.settle(),
                Step::Wait(ms) => store.now_ms += u64::from(ms),
            }
            // A few keys after each step, all of them at the end.
            for key in (0..=u8::MAX).filter(|key| (u64::from(*key) + checked).is_multiple_of(41)) {
                let alive = map.get(&key).filter(|(_, expires)| *expires > store.now_ms).map(|(value, _)| *value);
                prop_assert_eq!(store.get(&[key]), alive, "key {}", key);
            }
        }
        store.flush_all();
        store.settle();
        for (key, (value, expires)) in &map {
            let alive = (*expires > store.now_ms).then_some(*value);
            prop_assert_eq!(store.get(&[*key]), alive, "key {}", key);
        }
        let kinds = pick(&store.version, &store.situation()).map(|job| job.kind);
        prop_assert_eq!(kinds, None::<JobKind>, "settled");
    }
}
