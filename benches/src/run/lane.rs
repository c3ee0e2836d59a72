//! One operation after the other, as many lanes side by side as operations are in flight.
//!
//! When operations are due, and from when their latency counts: `pace.rs`. Every answer is checked: a key that was loaded has its own,
//! undamaged value; one that was not has none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aquifer_io::{Instant, now, sleep, spawn_local};

use super::distribution::{Chooser, Distribution, scatter};
use super::length::Length;
use super::live::Live;
use super::meter::{Meter, Recorder};
use super::mix::Kind;
use super::pace::Schedule;
use super::record::{VALUE_BYTES_MIN, version_of, write_key, write_value};
use super::rng::Rng;
use super::target::{Target, TargetError};
use super::workload::Workload;
use crate::histogram::Latencies;

/// Operations of a lane between two looks at whether the others want the thread, when nothing ever waits.
const OPERATIONS_BEFORE_YIELD: u32 = 8;

/// Turns of a fill on a shard's own thread after which it says how far it is.
const TURNS_BETWEEN_REPORTS: u64 = 1024;

/// Filling of keys that exist, and of keys that do not.
pub(super) const PRESENT: u8 = b'k';
const MISSING: u8 = b'm';

/// What all threads of one measurement have in common.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    /// Keys there are: loaded, and inserted since.
    pub(crate) keys: AtomicU64,
    /// Keys written so far, of a workload that fills.
    pub(crate) filled: AtomicU64,
    /// Keys may be gone: a read that finds nothing is no fault.
    pub(crate) keys_may_be_gone: bool,
    pub(crate) key_bytes: usize,
    pub(crate) value_bytes: Length,
    pub(crate) in_flight: usize,
    /// Keys of one multi-get.
    pub(crate) batch: usize,
    /// Between two operations of one thread, in an open loop.
    pub(crate) interval: Option<Duration>,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) live: Arc<Live>,
}

impl Plan {
    /// How much of a workload that fills is done, from 0 to 1.
    pub(crate) fn filled_share(&self) -> f64 {
        let keys = self.keys.load(Ordering::Relaxed).max(1);
        (self.filled.load(Ordering::Relaxed).min(keys) as f64) / keys as f64
    }

    /// From the start of a thread to the end of the measured time.
    fn length(&self) -> Duration {
        self.warm_up + self.measured
    }
}

/// One thread's part. Its stream of operations is a function of the seed.
struct Stream {
    plan: Arc<Plan>,
    rng: RefCell<Rng>,
    chooser: RefCell<Chooser>,
    recorder: RefCell<Recorder>,
    begun: Cell<u64>,
    /// Turns of a workload that fills, where each thread looks for its own keys among all.
    filled: Cell<u64>,
    schedule: Option<Schedule>,
    start: Instant,
}

/// One operation to do.
#[derive(Clone, Copy)]
struct Operation {
    kind: Kind,
    number: u64,
    version: u64,
    value_bytes: u64,
}

/// What a lane uses again for each operation.
#[derive(Default)]
struct Place {
    key: Vec<u8>,
    value: Vec<u8>,
    /// Of a batch.
    keys: Vec<Vec<u8>>,
    numbers: Vec<u64>,
}

/// Runs all lanes of one thread; what they saw, or the first error.
pub(crate) async fn run<T: Target>(target: T, plan: Arc<Plan>, seed: u64) -> Result<Meter, TargetError> {
    let keys_max = plan.keys.load(Ordering::Relaxed).saturating_mul(2);
    let start = now();
    let recorder = Recorder::new(Arc::clone(&plan.live), plan.warm_up, plan.measured);
    let stream = Rc::new(Stream {
        chooser: RefCell::new(Chooser::new(plan.workload.distribution, keys_max.max(1) / 2)),
        rng: RefCell::new(Rng::new(seed)),
        recorder: RefCell::new(recorder),
        begun: Cell::new(0),
        filled: Cell::new(0),
        schedule: plan.interval.map(|interval| Schedule { start, interval }),
        start,
        plan: Arc::clone(&plan),
    });
    let lanes: Vec<_> =
        (0..plan.in_flight).map(|_| spawn_local(Rc::clone(&stream).lane(target.clone()))).collect();
    let mut outcome = Ok(());
    for lane in lanes {
        outcome = outcome.and(lane.await.unwrap_or_else(|lost| {
            // A bug in this tool: it goes on where somebody sees it.
            std::panic::resume_unwind(Box::new(lost.to_string()))
        }));
    }
    outcome.map(|()| stream.finish())
}

impl Stream {
    async fn lane<T: Target>(self: Rc<Self>, target: T) -> Result<(), TargetError> {
        let ended = self.operations(&target).await;
        if ended.is_err() {
            self.plan.live.stop();
        }
        ended
    }

    async fn operations<T: Target>(&self, target: &T) -> Result<(), TargetError> {
        let mut place = Place::default();
        let mut last_end = now();
        let mut before_yield = OPERATIONS_BEFORE_YIELD;
        while !self.plan.live.is_stopped() {
            let (due, began) = match self.schedule {
                None => (last_end, last_end),
                Some(schedule) => match self.wait(schedule).await {
                    Some(moments) => moments,
                    None => return Ok(()),
                },
            };
            let Some(operation) = self.next(target, &mut place) else { return Ok(()) };
            self.apply(target, operation, &mut place).await?;
            last_end = now();
            let since_start = last_end.duration_since(self.start);
            let service = self.schedule.map(|_| last_end.duration_since(began));
            let many = if operation.kind == Kind::MultiGet { self.plan.batch as u64 } else { 1 };
            self.recorder.borrow_mut().record(
                operation.kind,
                many,
                last_end.duration_since(due),
                service,
                since_start,
            );
            if since_start >= self.plan.length() && !self.plan.workload.fills {
                return Ok(());
            }
            before_yield -= 1;
            if before_yield == 0 {
                before_yield = OPERATIONS_BEFORE_YIELD;
                aquifer_io::yield_now().await;
            }
        }
        Ok(())
    }

    /// Takes the next turn of an open loop and waits until it is due: when that was, and when it begins. None when it is not due
    /// before the end, or the end has come.
    async fn wait(&self, schedule: Schedule) -> Option<(Instant, Instant)> {
        let due = schedule.due(self.begun.get());
        let end = self.start + self.plan.length();
        let mut began = now();
        if due >= end || began >= end {
            return None;
        }
        self.begun.set(self.begun.get() + 1);
        let early = due.duration_since(began);
        if !early.is_zero() {
            sleep(early).await;
            began = now();
        }
        Some((due, began))
    }

    /// The next operation of this thread, with its key; none when all is filled.
    fn next<T: Target>(&self, target: &T, place: &mut Place) -> Option<Operation> {
        let plan = &*self.plan;
        let mut rng = self.rng.borrow_mut();
        let kind = plan.workload.mix.choose(&mut rng);
        if self.schedule.is_none() {
            self.begun.set(self.begun.get() + 1);
        }
        let version = self.begun.get();
        if kind == Kind::MultiGet {
            place.keys.resize_with(plan.batch, Vec::new);
            place.numbers.clear();
            for key in &mut place.keys {
                place.numbers.push(self.own_key(target, &mut rng, kind, key)?);
            }
            return Some(Operation { kind, number: 0, version, value_bytes: 0 });
        }
        let number = self.own_key(target, &mut rng, kind, &mut place.key)?;
        let value_bytes = match kind {
            Kind::Get | Kind::Delete => 0,
            _ => plan.value_bytes.draw(&mut rng, VALUE_BYTES_MIN as u64),
        };
        Some(Operation { kind, number, version, value_bytes })
    }

    /// Draws numbers until one is this thread's, and writes its key.
    fn own_key<T: Target>(&self, target: &T, rng: &mut Rng, kind: Kind, key: &mut Vec<u8>) -> Option<u64> {
        let filling = if self.plan.workload.missing { MISSING } else { PRESENT };
        loop {
            let number = self.number::<T>(rng, kind)?;
            write_key(key, number, self.plan.key_bytes, filling);
            if target.owns(key) {
                return Some(number);
            }
        }
    }

    fn number<T: Target>(&self, rng: &mut Rng, kind: Kind) -> Option<u64> {
        let plan = &*self.plan;
        let keys = plan.keys.load(Ordering::Relaxed);
        if plan.workload.fills {
            let turn = if T::OWNS_ALL {
                plan.filled.fetch_add(1, Ordering::Relaxed)
            } else {
                let turn = self.filled.replace(self.filled.get() + 1);
                if turn % TURNS_BETWEEN_REPORTS == 0 {
                    plan.filled.fetch_max(turn, Ordering::Relaxed);
                }
                turn
            };
            let sequential = plan.workload.distribution == Distribution::Sequential;
            return (turn < keys).then(|| if sequential { turn } else { scatter(turn, keys) });
        }
        if kind == Kind::Insert {
            return Some(plan.keys.fetch_add(1, Ordering::Relaxed));
        }
        Some(self.chooser.borrow_mut().choose(rng, keys))
    }

    async fn apply<T: Target>(
        &self,
        target: &T,
        operation: Operation,
        place: &mut Place,
    ) -> Result<(), TargetError> {
        let Operation { kind, number, version, value_bytes } = operation;
        match kind {
            Kind::MultiGet => return self.multi_get(target, place).await,
            Kind::Delete => {
                self.recorder.borrow_mut().meter.written_bytes += place.key.len() as u64;
                return target.delete(&place.key).await;
            }
            Kind::Get | Kind::Update => {
                let found = target.get(&place.key).await?;
                self.check(number, place.key.len(), found.as_ref().map(AsRef::as_ref));
            }
            Kind::Put | Kind::Insert => {}
        }
        if kind != Kind::Get {
            let value_bytes = usize::try_from(value_bytes).unwrap_or(usize::MAX);
            write_value(&mut place.value, number, version, value_bytes);
            self.recorder.borrow_mut().meter.written_bytes += (place.key.len() + place.value.len()) as u64;
            target.put(&place.key, &place.value).await?;
        }
        Ok(())
    }

    async fn multi_get<T: Target>(&self, target: &T, place: &Place) -> Result<(), TargetError> {
        let found = target.multi_get(&place.keys).await?;
        if found.len() != place.keys.len() {
            self.recorder.borrow_mut().meter.mismatches += 1;
        }
        for ((number, key), value) in place.numbers.iter().zip(&place.keys).zip(&found) {
            self.check(*number, key.len(), value.as_ref().map(AsRef::as_ref));
        }
        Ok(())
    }

    fn check(&self, number: u64, key_bytes: usize, found: Option<&[u8]>) {
        let plan = &*self.plan;
        let right = match found {
            Some(value) => !plan.workload.missing && version_of(value, number).is_some(),
            None => plan.workload.missing || plan.keys_may_be_gone,
        };
        let mut recorder = self.recorder.borrow_mut();
        recorder.meter.checked += 1;
        recorder.meter.reads += 1;
        recorder.meter.found += u64::from(found.is_some());
        recorder.meter.mismatches += u64::from(!right);
        recorder.meter.read_bytes += found.map_or(0, |value| key_bytes + value.len()) as u64;
    }

    /// What this thread saw, with what an open loop left undone.
    fn finish(&self) -> Meter {
        let empty = Recorder::new(Arc::clone(&self.plan.live), Duration::ZERO, Duration::ZERO);
        let mut meter = self.recorder.replace(empty).finish();
        // Cut short by an error or by Ctrl-C, nobody could have begun them.
        if let Some(schedule) = self.schedule.filter(|_| !self.plan.live.is_stopped()) {
            let mut ages = Latencies::new();
            let due = schedule.due_within(self.plan.length());
            let end = self.start + self.plan.length();
            let unstarted = schedule.record_unstarted(self.begun.get(), due, end, &mut ages);
            if unstarted > 0 {
                meter.add_unstarted(unstarted, &ages);
            }
        }
        meter
    }
}

#[cfg(test)]
mod tests {
    use aquifer_io::ExecutorOptions;
    use aquifer_io::simulated::{World, WorldOptions};
    use bytes::Bytes;

    use super::*;

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

    /// In virtual time: what the lanes of one thread saw, and the target's count.
    fn simulated(plan: Arc<Plan>, at: u64, stall: Duration) -> (Meter, u64) {
        let world = World::new(7, WorldOptions::default());
        let outcome = Rc::new(RefCell::new(None));
        let asked = Rc::new(Cell::new(0));
        let target = Stalling { asked: Rc::clone(&asked), at, stall };
        let into = Rc::clone(&outcome);
        let thread = world.spawn_executor(ExecutorOptions::default(), move || async move {
            into.replace(Some(run(target, plan, 1).await));
        });
        thread.join().unwrap();
        let meter = outcome.take().unwrap().unwrap();
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

    #[test]
    fn a_fill_writes_every_key_once_and_ends() {
        let (meter, _) = simulated(plan("fillrandom", 4, None, MS), 0, MS);
        assert_eq!(meter.response().summary().count, 1_000);
        assert_eq!(meter.written_bytes, 1_000 * 116);
    }
}
