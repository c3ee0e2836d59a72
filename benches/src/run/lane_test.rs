//! Lanes in virtual time, on stores that stall, lose and damage.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use aquifer_io::simulated::{World, WorldOptions};
use aquifer_io::{ExecutorOptions, sleep};
use bytes::Bytes;

use super::lane::run;
use super::meter::Meter;
use super::stream::Plan;
use super::target::{Entry, Merge, Target, TargetError};
use crate::load::length::Length;
use crate::load::workload::Workload;

const MS: Duration = Duration::from_millis(1);

/// Answers at once, but stops for a while at one operation, as a store does that compacts.
#[derive(Clone)]
struct Stalling {
    asked: Rc<Cell<u64>>,
    at: u64,
    stall: Duration,
}

impl Target for Stalling {
    const OWNS_ALL: bool = true;
    type Value = Bytes;

    async fn get(&self, _key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        self.asked.set(self.asked.get() + 1);
        if self.asked.get() == self.at {
            sleep(self.stall).await;
        }
        Ok(None)
    }

    async fn put(&self, _key: &[u8], _value: &[u8]) -> Result<(), TargetError> {
        Ok(())
    }

    async fn delete(&self, _key: &[u8]) -> Result<(), TargetError> {
        Ok(())
    }
}

fn plan(name: &str, in_flight: usize, interval: Option<Duration>, measured: Duration) -> Arc<Plan> {
    Arc::new(Plan {
        workload: Workload::named(name).unwrap(),
        keys: AtomicU64::new(1_000),
        filled: AtomicU64::new(0),
        keys_may_be_gone: true,
        key_bytes: 16,
        value_bytes: Length::Fixed(100),
        in_flight,
        batch: 8,
        interval,
        warm_up: Duration::ZERO,
        measured,
        live: Arc::default(),
    })
}

/// In virtual time: what the lanes of one thread saw.
fn lanes<T: Target>(plan: Arc<Plan>, target: T) -> Result<Meter, TargetError> {
    let world = World::new(7, WorldOptions::default());
    let outcome = Rc::new(RefCell::new(None));
    let into = Rc::clone(&outcome);
    let thread = world.spawn_executor(ExecutorOptions::default(), move || async move {
        into.replace(Some(run(target, plan, 1).await));
    });
    thread.join().unwrap();
    outcome.take().unwrap()
}

/// The same on a store that stalls; also how often it was asked.
fn simulated(plan: Arc<Plan>, at: u64, stall: Duration) -> (Meter, u64) {
    let asked = Rc::new(Cell::new(0));
    let target = Stalling { asked: Rc::clone(&asked), at, stall };
    let meter = lanes(plan, target).unwrap();
    (meter, asked.get())
}

/// One operation each millisecond for two seconds; the 500th takes half a second. A closed loop sees one slow operation of
/// thousands. In an open loop all of the 500 that were due meanwhile waited, the longest for nearly the whole of it.
#[test]
fn a_stall_counts_for_all_that_should_have_begun_meanwhile() {
    let (open, asked) = simulated(plan("readrandom", 1, Some(MS), 2_000 * MS), 500, 500 * MS);
    let (response, service) = (open.response().summary(), open.service().summary());
    assert!((1_990..=2_000).contains(&asked), "{asked}");
    assert_eq!(response.count, 2_000);
    let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 0.05;
    // A quarter of the operations waited, evenly from none to 500 ms: nine tenths waited at most 300.
    assert!(near(response.p90_us, 300_000.0), "{response:?}");
    assert!(near(response.p99_us, 480_000.0), "{response:?}");
    assert!(service.p99_us < 1_000.0 && near(service.max_us, 500_000.0), "{service:?}");
    let (closed, _) = simulated(plan("readrandom", 1, None, 2_000 * MS), 500, 500 * MS);
    assert!(closed.response().summary().p99_us < 1_000.0, "{closed:?}");
}

/// A store that never answers again must not look like one that was asked little.
#[test]
fn what_is_due_and_never_begins_counts() {
    let (open, asked) = simulated(plan("readrandom", 1, Some(MS), 1_000 * MS), 501, 10_000 * MS);
    let response = open.response().summary();
    assert_eq!(asked, 501);
    assert_eq!((open.unstarted, response.count, open.operations), (499, 1_000, 500));
    assert!((response.p90_us / 400_000.0 - 1.0).abs() < 0.05, "{response:?}");
    assert!(response.max_us > 9e6, "the operation that hung is there with all its time: {response:?}");
}

#[test]
fn lanes_share_the_schedule_of_their_thread() {
    let (open, asked) = simulated(plan("readrandom", 16, Some(MS), 300 * MS), 100, 50 * MS);
    let response = open.response().summary();
    assert!((298..=300).contains(&asked) && open.unstarted == 0, "{asked} {}", open.unstarted);
    assert!(response.p90_us < 1_000.0, "fifteen other lanes go on: {response:?}");
}

#[test]
fn a_batch_counts_as_many_operations_as_it_has_keys() {
    let (meter, asked) = simulated(plan("multireadrandom", 2, Some(10 * MS), 1_000 * MS), 0, MS);
    assert_eq!(asked, 800);
    assert_eq!((meter.operations, meter.checked), (800, 800));
}

/// Of a load that took longer than one round was to, only the first seconds were counted, by the time of all: 50 seconds at 200,000 puts a second were
/// reported as 14,786 a second.
#[test]
fn a_fill_writes_every_key_once_and_counts_them_however_long_it_takes() {
    let (meter, _) = simulated(plan("fillrandom", 4, None, Duration::ZERO), 0, MS);
    assert_eq!(meter.operations, 1_000);
    assert_eq!(meter.response().summary().count, 1_000);
    assert_eq!(meter.written_bytes, 1_000 * 116);
}

/// A store of ordered keys that may lose every so many-th write, or flip a bit of every so many-th answer.
#[derive(Clone, Default)]
struct Ordered {
    entries: Rc<RefCell<BTreeMap<Vec<u8>, Vec<u8>>>>,
    writes: Rc<Cell<u64>>,
    answers: Rc<Cell<u64>>,
    loses: Option<u64>,
    damages: Option<u64>,
}

fn is_hit(counter: &Cell<u64>, every: Option<u64>) -> bool {
    counter.set(counter.get() + 1);
    every.is_some_and(|every| counter.get().is_multiple_of(every))
}

impl Ordered {
    fn answer(&self, value: &[u8]) -> Bytes {
        let mut value = value.to_vec();
        if is_hit(&self.answers, self.damages) {
            let middle = value.len() / 2;
            value[middle] ^= 1;
        }
        Bytes::from(value)
    }
}

impl Target for Ordered {
    const OWNS_ALL: bool = true;
    type Value = Bytes;

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        Ok(self.entries.borrow().get(key).map(|value| self.answer(value)))
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        if !is_hit(&self.writes, self.loses) {
            self.entries.borrow_mut().insert(key.to_vec(), value.to_vec());
        }
        Ok(())
    }

    async fn delete(&self, key: &[u8]) -> Result<(), TargetError> {
        self.entries.borrow_mut().remove(key);
        Ok(())
    }

    async fn merge(&self, key: &[u8], merge: Merge, operand: &[u8]) -> Result<(), TargetError> {
        if is_hit(&self.writes, self.loses) {
            return Ok(());
        }
        let mut entries = self.entries.borrow_mut();
        let value = entries.entry(key.to_vec()).or_default();
        match merge {
            Merge::Append => value.extend_from_slice(operand),
            Merge::Add => {
                let number = |bytes: &[u8]| bytes.try_into().map_or(0, i64::from_le_bytes);
                *value = (number(value) + number(operand)).to_le_bytes().to_vec();
            }
        }
        Ok(())
    }

    async fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
        entries_max: usize,
    ) -> Result<Vec<Entry<Bytes>>, TargetError> {
        let entries = self.entries.borrow();
        let within = entries.range(from.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        let answers = within.map(|(key, value)| (Bytes::copy_from_slice(key), self.answer(value)));
        Ok(answers.take(entries_max).collect())
    }

    async fn delete_prefix(&self, prefix: &[u8]) -> Result<(), TargetError> {
        self.entries.borrow_mut().retain(|key, _| !key.starts_with(prefix));
        Ok(())
    }
}

/// Fills a store, then runs a workload on it.
fn on_ordered(name: &str, target: &Ordered) -> Meter {
    lanes(plan("fillrandom", 4, None, MS), Ordered { loses: None, ..target.clone() }).unwrap();
    lanes(plan(name, 4, Some(MS / 10), 200 * MS), target.clone()).unwrap()
}

const READING: [&str; 9] = [
    "readrandom",
    "updaterandom",
    "multireadrandom",
    "seekrandom",
    "ycsb-e",
    "mapstate-put-scan",
    "liststate-append",
    "window-insert-fire-clear",
    "valuestate-rmw",
];

#[test]
fn a_sound_store_gives_no_wrong_answer() {
    for name in READING.into_iter().chain(["mergerandom", "deleterandom", "ycsb-d"]) {
        let meter = on_ordered(name, &Ordered::default());
        assert_eq!(meter.mismatches, 0, "{name}");
        assert!(meter.operations > 1_000, "{name}: {}", meter.operations);
        let reads = !["mergerandom", "deleterandom"].contains(&name);
        assert_eq!(meter.checked > 0, reads, "{name}");
    }
}

#[test]
fn damaged_answers_are_seen_by_every_workload_that_reads() {
    for name in READING {
        let target = Ordered { damages: Some(50), ..Ordered::default() };
        assert!(on_ordered(name, &target).mismatches > 0, "{name}");
    }
}

#[test]
fn lost_writes_are_seen() {
    for name in ["window-insert-fire-clear", "mapstate-put-scan"] {
        let target = Ordered { loses: Some(20), ..Ordered::default() };
        assert!(on_ordered(name, &target).mismatches > 0, "{name}");
    }
    let empty = lanes(plan("readmissing", 4, None, 10 * MS), Ordered::default()).unwrap();
    assert!(empty.mismatches == 0 && empty.checked > 0);
}

#[test]
fn windows_are_read_and_deleted_when_they_are_full() {
    let target = Ordered::default();
    let meter = lanes(plan("window-insert-fire-clear", 1, Some(MS), 650 * MS), target.clone()).unwrap();
    let kinds: Vec<_> =
        meter.kinds().map(|(kind, latencies)| (kind.name(), latencies.summary().count)).collect();
    assert_eq!(kinds, [("windowinsert", 640), ("windowfire", 10)]);
    assert!(target.entries.borrow().is_empty(), "ten windows of 64 are gone");
}

#[test]
fn equal_seeds_do_the_same_to_a_store() {
    let writes = || {
        let target = Ordered::default();
        lanes(plan("ycsb-a", 1, Some(MS), 300 * MS), target.clone()).unwrap();
        target.entries.take()
    };
    let first = writes();
    assert!(!first.is_empty());
    assert_eq!(first, writes());
}

#[test]
fn a_store_that_cannot_do_it_says_so() {
    let stalling = Stalling { asked: Rc::default(), at: 0, stall: MS };
    let error = lanes(plan("seekrandom", 1, None, MS), stalling).unwrap_err();
    assert_eq!(error.to_string(), "this store has no ordered scan");
}
