//! Every operation against a plain ordered map: short random runs with flushes, snapshots, checkpoints, reopening and crashes between
//! them, each in a simulated world of its own.

use aquifer::{
    Client, CompareOutcome, Engine, ErrorKind, Expiry, Key, KeyRange, MultiGetOptions, Options, ScanOptions,
    Snapshot, Source, TtlTime, WriteBatch,
};
use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_remote::{ShapeOptions, SimulatedDfs};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const KEY_GROUPS: u16 = 4;

/// A key of the model: its group and its bytes.
type ModelKey = (u16, Vec<u8>);

#[derive(Clone, Debug)]
enum Change {
    Put(ModelKey, Vec<u8>, Option<u64>),
    Delete(ModelKey),
    Append(ModelKey, Vec<u8>, Option<u64>),
    Add(ModelKey, i64),
    DeleteRange(u16, Vec<u8>, Vec<u8>),
    DeletePrefix(ModelKey),
    /// In every key group.
    DeletePrefixOfAll(Vec<u8>),
}

#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    Batch(Vec<Change>),
    Get(ModelKey),
    MultiGet(Vec<ModelKey>),
    Scan {
        group: u16,
        from: Vec<u8>,
        to: Vec<u8>,
        reverse: bool,
        page: usize,
    },
    /// Of every key group.
    ScanPrefixOfAll {
        prefix: Vec<u8>,
        reverse: bool,
        page: usize,
    },
    /// Whether the expectation is met, and what to put.
    Compare(ModelKey, bool, Option<Vec<u8>>),
    Snapshot,
    ReadSnapshot(prop::sample::Index, bool),
    Release(prop::sample::Index),
    /// Moves event time on.
    Time(u64),
    /// Enough bytes to flush memtables.
    Burst(u8),
    Checkpoint,
    Crash(usize),
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    Bytes(Vec<u8>),
    /// A merge that its operator cannot make: reads say so.
    Broken,
}

/// Values with the moment of their expiry.
type State = BTreeMap<ModelKey, (Held, u64)>;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, b'a', b'b', 255]), 0..4)
}

fn key() -> impl Strategy<Value = ModelKey> {
    (0..KEY_GROUPS, bytes())
}

fn change() -> impl Strategy<Value = Change> {
    let value = || prop::collection::vec(any::<u8>(), 0..20);
    let ttl = || prop::option::weighted(0.3, 1u64..30);
    prop_oneof![
        6 => (key(), value(), ttl()).prop_map(|(key, value, ttl)| Change::Put(key, value, ttl)),
        2 => (key(), any::<i64>()).prop_map(|(key, n)| Change::Put(key, n.to_le_bytes().to_vec(), None)),
        2 => key().prop_map(Change::Delete),
        4 => (key(), value(), ttl()).prop_map(|(key, value, ttl)| Change::Append(key, value, ttl)),
        3 => (key(), any::<i64>()).prop_map(|(key, n)| Change::Add(key, n)),
        1 => (0..KEY_GROUPS, bytes(), bytes()).prop_map(|(group, from, to)| Change::DeleteRange(group, from, to)),
        1 => key().prop_map(Change::DeletePrefix),
        1 => bytes().prop_map(Change::DeletePrefixOfAll),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        20 => change().prop_map(Step::Change),
        3 => prop::collection::vec(change(), 0..6).prop_map(Step::Batch),
        6 => key().prop_map(Step::Get),
        3 => prop::collection::vec(key(), 0..9).prop_map(Step::MultiGet),
        4 => (0..KEY_GROUPS, bytes(), bytes(), any::<bool>(), 1usize..9)
            .prop_map(|(group, from, to, reverse, page)| Step::Scan { group, from, to, reverse, page }),
        2 => (bytes(), any::<bool>(), 1usize..9)
            .prop_map(|(prefix, reverse, page)| Step::ScanPrefixOfAll { prefix, reverse, page }),
        3 => (key(), any::<bool>(), prop::option::of(bytes())).prop_map(|(key, met, new)| Step::Compare(key, met, new)),
        3 => Just(Step::Snapshot),
        3 => (index(), any::<bool>()).prop_map(|(at, reverse)| Step::ReadSnapshot(at, reverse)),
        2 => index().prop_map(Step::Release),
        3 => (1u64..20).prop_map(Step::Time),
        3 => any::<u8>().prop_map(Step::Burst),
        2 => Just(Step::Checkpoint),
        1 => (1usize..4).prop_map(Step::Crash),
    ]
}

fn number(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_le_bytes)
}

#[derive(Default)]
struct Model {
    state: State,
    committed: State,
    now_ms: u64,
}

impl Model {
    fn alive(&self, state: &State, key: &ModelKey) -> Option<Held> {
        state.get(key).filter(|(_, expires_ms)| *expires_ms > self.now_ms).map(|(held, _)| held.clone())
    }

    fn merge(
        &mut self,
        key: &ModelKey,
        expires_ms: u64,
        operand: &[u8],
        combine: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) {
        let held = match self.alive(&self.state, key) {
            None => Held::Bytes(operand.to_vec()),
            Some(Held::Bytes(older)) => combine(&older).map_or(Held::Broken, Held::Bytes),
            Some(Held::Broken) => Held::Broken,
        };
        self.state.insert(key.clone(), (held, expires_ms));
    }

    fn change(&mut self, change: &Change) {
        let moment = |ttl: &Option<u64>| ttl.map_or(u64::MAX, |ttl| self.now_ms + ttl);
        match change {
            Change::Put(key, value, ttl) => {
                self.state.insert(key.clone(), (Held::Bytes(value.clone()), moment(ttl)));
            }
            Change::Delete(key) => drop(self.state.remove(key)),
            Change::Append(key, operand, ttl) => {
                let expires_ms = moment(ttl);
                self.merge(key, expires_ms, operand, |older| Some([older, operand].concat()));
            }
            Change::Add(key, n) => self.merge(key, u64::MAX, &n.to_le_bytes(), |older| {
                number(older).map(|older| older.wrapping_add(*n).to_le_bytes().to_vec())
            }),
            Change::DeleteRange(group, from, to) => {
                self.state.retain(|(g, key), _| g != group || key < from || key >= to);
            }
            Change::DeletePrefix((group, prefix)) => {
                self.state.retain(|(g, key), _| g != group || !key.starts_with(prefix));
            }
            Change::DeletePrefixOfAll(prefix) => self.state.retain(|(_, key), _| !key.starts_with(prefix)),
        }
    }

    /// What a scan of every key group gives: the entries and, by their keys, the merges that cannot be made.
    fn scan_prefix(&self, prefix: &[u8], reverse: bool) -> Vec<(ModelKey, Option<Vec<u8>>)> {
        let keys = self.state.keys().filter(|(_, key)| key.starts_with(prefix));
        let mut found: Vec<_> = keys
            .filter_map(|key| match self.alive(&self.state, key)? {
                Held::Bytes(value) => Some((key.clone(), Some(value))),
                Held::Broken => Some((key.clone(), None)),
            })
            .collect();
        if reverse {
            found.reverse();
        }
        found
    }

    /// What a scan gives; `None` if it meets a merge that cannot be made.
    fn scan(
        &self,
        state: &State,
        group: u16,
        from: &[u8],
        to: &[u8],
        reverse: bool,
    ) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut entries = Vec::new();
        for key in
            state.keys().filter(|(g, key)| *g == group && key.as_slice() >= from && key.as_slice() < to)
        {
            match self.alive(state, key) {
                Some(Held::Bytes(value)) => entries.push((key.1.clone(), value)),
                Some(Held::Broken) => return None,
                None => {}
            }
        }
        if reverse {
            entries.reverse();
        }
        Some(entries)
    }
}

fn named(key: &ModelKey) -> Key<'_> {
    Key::in_group(key.0, &key.1)
}

fn expiry(ttl: &Option<u64>) -> Expiry {
    ttl.map_or(Expiry::Never, |ttl| Expiry::After(Duration::from_millis(ttl)))
}

fn range(group: u16, from: &[u8], to: &[u8]) -> KeyRange {
    KeyRange::in_group(group, from..to)
}

async fn apply(client: &Client, change: &Change) {
    match change {
        Change::Put(key, value, ttl) => client.put_with(named(key), value, expiry(ttl)).await.unwrap(),
        Change::Delete(key) => client.delete(named(key)).await.unwrap(),
        Change::Append(key, operand, ttl) => {
            client.merge_with(named(key), "append", operand, expiry(ttl)).await.unwrap();
        }
        Change::Add(key, n) => client.merge(named(key), "add", &n.to_le_bytes()).await.unwrap(),
        Change::DeleteRange(group, from, to) => client.delete_range(&range(*group, from, to)).await.unwrap(),
        Change::DeletePrefix(prefix) => client.delete_range(&KeyRange::prefix(named(prefix))).await.unwrap(),
        Change::DeletePrefixOfAll(prefix) => client.delete_range(&KeyRange::prefix(prefix)).await.unwrap(),
    }
}

fn add_to(batch: &mut WriteBatch, change: &Change) {
    match change {
        Change::Put(key, value, ttl) => drop(batch.put_with(named(key), value, expiry(ttl))),
        Change::Delete(key) => drop(batch.delete(named(key))),
        // A batch's merges live for ever.
        Change::Append(key, operand, _) => drop(batch.merge(named(key), "append", operand)),
        Change::Add(key, n) => drop(batch.merge(named(key), "add", &n.to_le_bytes())),
        Change::DeleteRange(group, from, to) => drop(batch.delete_range(range(*group, from, to))),
        Change::DeletePrefix(prefix) => drop(batch.delete_range(KeyRange::prefix(named(prefix)))),
        Change::DeletePrefixOfAll(prefix) => drop(batch.delete_range(KeyRange::prefix(prefix))),
    }
}

struct Run {
    dfs: SimulatedDfs,
    engine: Option<Engine>,
    client: Client,
    model: Model,
    snapshots: Vec<(Snapshot, State)>,
}

fn options(shards: usize) -> Options {
    Options {
        key_groups: Some(KEY_GROUPS),
        shards,
        memory_bytes: shards as u64 * 4 * 1024 * 1024,
        ttl_time: TtlTime::Event,
        seed: Some(1),
        ..Options::default()
    }
}

impl Run {
    async fn begin(dfs: SimulatedDfs) -> Self {
        let engine = Engine::open(dfs.remote(), options(2)).await.unwrap();
        let client = engine.client();
        Self { dfs, engine: Some(engine), client, model: Model::default(), snapshots: Vec::new() }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Change(change) => {
                apply(&self.client, change).await;
                self.model.change(change);
            }
            Step::Batch(changes) => {
                let mut batch = WriteBatch::new();
                for change in changes {
                    add_to(&mut batch, change);
                    self.model.change(&match change {
                        Change::Append(key, operand, _) => Change::Append(key.clone(), operand.clone(), None),
                        change => change.clone(),
                    });
                }
                self.client.write(&batch).await.unwrap();
            }
            Step::Get(key) => {
                let found = self.client.get(named(key)).await;
                check(found, self.model.alive(&self.model.state, key), key);
            }
            Step::MultiGet(keys) => {
                let answers =
                    self.client.multi_get(keys.iter().map(named), &MultiGetOptions::default()).await.unwrap();
                assert_eq!(answers.len(), keys.len());
                for (key, answer) in keys.iter().zip(answers) {
                    let expected = self.model.alive(&self.model.state, key);
                    if let Ok(answer) = &answer {
                        assert_ne!(answer.source, Source::TimedOut);
                        assert!(answer.source != Source::Absent || expected.is_none());
                    }
                    check(answer.map(|answer| answer.value), expected, key);
                }
            }
            Step::Scan { group, from, to, reverse, page } => {
                let options = ScanOptions { reverse: *reverse, page_entries: *page, snapshot: None };
                self.scan(&self.model.state, *group, from, to, options).await;
            }
            Step::ScanPrefixOfAll { prefix, reverse, page } => {
                self.scan_prefix(prefix, *reverse, *page).await;
            }
            Step::Compare(key, met, new) => self.compare(key, *met, new.as_deref()).await,
            Step::Snapshot => {
                if self.snapshots.len() < 4 {
                    let snapshot = self.client.snapshot().await.unwrap();
                    self.snapshots.push((snapshot, self.model.state.clone()));
                }
            }
            Step::ReadSnapshot(at, reverse) => {
                if !self.snapshots.is_empty() {
                    self.read_snapshot(at.get(&self.snapshots), *reverse).await;
                }
            }
            Step::Release(at) => {
                if !self.snapshots.is_empty() {
                    drop(self.snapshots.remove(at.index(self.snapshots.len())));
                }
            }
            Step::Time(ms) => {
                self.model.now_ms += ms;
                self.client.advance_event_time(self.model.now_ms).unwrap();
            }
            Step::Burst(fill) => self.burst(*fill).await,
            Step::Checkpoint => {
                self.client.checkpoint(Vec::new()).await.unwrap();
                self.model.committed = self.model.state.clone();
            }
            Step::Crash(shards) => {
                self.snapshots.clear();
                drop(self.engine.take());
                let engine = Engine::open(self.dfs.remote(), options(*shards)).await.unwrap();
                self.client = engine.client();
                self.client.advance_event_time(self.model.now_ms).unwrap();
                self.engine = Some(engine);
                self.model.state = self.model.committed.clone();
            }
        }
    }

    /// Fills memtables by one key of each group, over and over with other bytes, and deletes it in the end.
    async fn burst(&mut self, fill: u8) {
        for n in 0..12u8 {
            for group in 0..KEY_GROUPS {
                let key = (group, [b"burst".as_slice(), &[n % 3]].concat());
                let value = vec![fill.wrapping_add(n); 30_000];
                apply(&self.client, &Change::Put(key.clone(), value.clone(), None)).await;
                self.model.change(&Change::Put(key, value, None));
            }
        }
        for group in 0..KEY_GROUPS {
            let change = Change::DeletePrefix((group, b"burst".to_vec()));
            apply(&self.client, &change).await;
            self.model.change(&change);
        }
    }

    async fn scan(&self, state: &State, group: u16, from: &[u8], to: &[u8], options: ScanOptions<'_>) {
        let expected = self.model.scan(state, group, from, to, options.reverse);
        let mut scan = self.client.scan(&range(group, from, to), &options);
        let mut found = Vec::new();
        loop {
            match scan.next().await {
                Ok(Some((key, value))) => found.push((key.to_vec(), value.to_vec())),
                Ok(None) => break assert_eq!(Some(found), expected),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                    break assert_eq!(expected, None);
                }
            }
        }
    }

    /// Scans every key group, on behind keys whose merge cannot be made.
    async fn scan_prefix(&self, prefix: &[u8], reverse: bool, page_entries: usize) {
        let options = ScanOptions { reverse, page_entries, snapshot: None };
        let mut scan = self.client.scan(&KeyRange::prefix(prefix), &options);
        let mut found = Vec::new();
        loop {
            match scan.next().await {
                Ok(Some((key, value))) => {
                    found.push(((scan.group().unwrap(), key.to_vec()), Some(value.to_vec())));
                }
                Ok(None) => break,
                Err(error) => {
                    let key = (error.key_group().unwrap(), error.key().unwrap().to_vec());
                    found.push((key, None));
                }
            }
        }
        assert_eq!(found, self.model.scan_prefix(prefix, reverse));
    }

    async fn compare(&mut self, key: &ModelKey, met: bool, new: Option<&[u8]>) {
        let held = self.model.alive(&self.model.state, key);
        let current = match &held {
            Some(Held::Broken) => return,
            Some(Held::Bytes(bytes)) => Some(bytes.clone()),
            None => None,
        };
        let expected = if met { current.clone() } else { Some(b"what it never was".to_vec()) };
        let outcome = self.client.compare_and_set(named(key), expected.as_deref(), new).await.unwrap();
        if !met {
            assert_eq!(outcome, CompareOutcome::Different(current.map(Into::into)));
            return;
        }
        assert_eq!(outcome, CompareOutcome::Applied);
        match new {
            Some(new) => self.model.change(&Change::Put(key.clone(), new.to_vec(), None)),
            None => self.model.change(&Change::Delete(key.clone())),
        }
    }

    async fn read_snapshot(&self, (snapshot, state): &(Snapshot, State), reverse: bool) {
        for group in 0..KEY_GROUPS {
            let options = ScanOptions { reverse, page_entries: 3, snapshot: Some(snapshot) };
            self.scan(state, group, b"", &[255; 9], options).await;
        }
        for key in state.keys().chain(self.model.state.keys()) {
            check(self.client.get_at(snapshot, named(key)).await, self.model.alive(state, key), key);
        }
    }
}

fn check(found: aquifer::Result<Option<bytes::Bytes>>, expected: Option<Held>, key: &ModelKey) {
    match (found, expected) {
        (Ok(None), None) => {}
        (Ok(Some(found)), Some(Held::Bytes(expected))) => assert_eq!(found, expected, "{key:?}"),
        (Err(error), Some(Held::Broken)) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
        (found, expected) => panic!("{key:?}: found {found:?}, expected {expected:?}"),
    }
}

fn run(steps: Vec<Step>) {
    let world = World::new(1, WorldOptions { trace_bytes_max: 0, ..WorldOptions::default() });
    let executor = ExecutorOptions { name: "driver".to_owned(), seed: 1, ..ExecutorOptions::default() };
    let driver = world.spawn_executor(executor, move || async move {
        let mut run = Run::begin(SimulatedDfs::new(1, &ShapeOptions::default())).await;
        for step in &steps {
            run.step(step).await;
        }
        for held in &run.snapshots {
            run.read_snapshot(held, false).await;
        }
        run.step(&Step::Checkpoint).await;
        run.step(&Step::Crash(3)).await;
        for group in 0..KEY_GROUPS {
            run.scan(&run.model.state, group, b"", &[255; 9], ScanOptions::default()).await;
        }
    });
    world.run_for(Duration::from_secs(3600));
    assert!(driver.has_ended(), "it hangs");
    driver.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn short_runs(steps in prop::collection::vec(step(), 1..25)) {
        run(steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn long_runs(steps in prop::collection::vec(step(), 200..400)) {
        run(steps);
    }
}

/// The largest key of a segment was empty: its bare group was taken for the end of a range deletion, and scans left the group out.
#[test]
fn an_empty_key_may_be_the_largest_of_a_segment() {
    let scan = |group| Step::Scan { group, from: vec![], to: vec![255], reverse: false, page: 5 };
    run(vec![
        Step::Change(Change::Put((3, vec![]), b"in the last group".to_vec(), None)),
        Step::Change(Change::Put((2, vec![]), b"in the one before".to_vec(), None)),
        Step::Checkpoint,
        scan(2),
        scan(3),
        Step::Crash(3),
        scan(3),
        Step::Get((3, vec![])),
    ]);
}

/// A segment with a range deletion whose last key was empty: its group was left out of merges, and an older value came back.
#[test]
fn an_empty_key_may_be_the_largest_beside_a_range_deletion() {
    run(vec![
        Step::Change(Change::DeleteRange(0, vec![], vec![0])),
        Step::Change(Change::Put((1, vec![]), vec![], None)),
        Step::Checkpoint,
        Step::Change(Change::Put((1, vec![]), vec![0; 8], None)),
        Step::Change(Change::Delete((0, vec![]))),
    ]);
}

/// A merge was written while what it stands on was alive; a compaction after the base's expiry dropped the base, and the merge's
/// result changed.
#[test]
fn what_a_merge_stands_on_outlives_its_expiry() {
    let key = || (0, b"k".to_vec());
    run(vec![
        Step::Change(Change::Put(key(), 5_i64.to_le_bytes().to_vec(), Some(1))),
        Step::Checkpoint,
        Step::Change(Change::Add(key(), 2)),
        Step::Change(Change::DeleteRange(0, b"x".to_vec(), b"y".to_vec())),
        Step::Time(1),
        Step::Checkpoint,
        Step::Burst(1),
        Step::Checkpoint,
        Step::Get(key()),
        Step::Crash(2),
        Step::Get(key()),
    ]);
}
