//! One operation after the other, as many lanes side by side as operations are in flight.
//!
//! When operations are due, and from when their latency counts: `pace.rs`. Every answer is checked: a key that was loaded has its own,
//! undamaged value; one that was not has none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aquifer_io::{Instant, now, sleep, spawn_local};

use super::meter::{Meter, Recorder};
use super::pace::Schedule;
use super::stream::{LaneBuffers, Operation, Plan, Stream};
use super::target::{Target, TargetError};
use crate::histogram::Latencies;
use crate::load::distribution::{Chooser, Distribution, scatter};
use crate::load::mix::Kind;
use crate::load::record::{VALUE_BYTES_MIN, number_of, version_of, write_key, write_value};
use crate::load::rng::Rng;

/// Operations of a lane between two looks at whether the others want the thread, when nothing ever waits.
const OPERATIONS_BEFORE_YIELD: u32 = 8;

/// No fill takes longer.
const FILL_TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Before an operation is tried again that found its shard's mailbox full.
const BUSY_PAUSE: Duration = Duration::from_micros(200);

/// Turns of a fill on a shard's own thread after which it says how far it is.
const TURNS_BETWEEN_REPORTS: u64 = 1024;

/// Filling of keys that exist, and of keys that do not.
pub(super) const PRESENT: u8 = b'k';
const MISSING: u8 = b'm';

/// Runs all lanes of one thread; what they saw, or the first error.
pub(crate) async fn run<T: Target>(target: T, plan: Arc<Plan>, seed: u64) -> Result<Meter, TargetError> {
    let keys_max = plan.keys.load(Ordering::Relaxed).saturating_mul(2);
    let start = now();
    // A fill is measured to its end, however long that takes.
    let measured = if plan.workload.fills { FILL_TIME_MAX } else { plan.measured };
    let recorder = Recorder::new(Arc::clone(&plan.live), plan.warm_up, measured);
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
        let mut place = LaneBuffers::default();
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
            // A full mailbox is no failure: the operation waits its turn, and the wait is part of its latency.
            while let Err(error) = self.apply(target, operation, &mut place).await {
                if !error.is_busy() || self.plan.live.is_stopped() {
                    return Err(error);
                }
                sleep(BUSY_PAUSE).await;
            }
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
    fn next<T: Target>(&self, target: &T, place: &mut LaneBuffers) -> Option<Operation> {
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
        if kind.is_shaped() {
            let mut draw = || self.number::<T>(&mut rng, kind);
            let (kind, number) = self.shaped_key(target, kind, place, &mut draw)?;
            return Some(Operation { kind, number, version, value_bytes: 0 });
        }
        let number = self.own_key(target, &mut rng, kind, &mut place.key)?;
        let value_bytes = match kind {
            Kind::Get | Kind::Delete | Kind::Scan => 0,
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
                if turn.is_multiple_of(TURNS_BETWEEN_REPORTS) {
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
        place: &mut LaneBuffers,
    ) -> Result<(), TargetError> {
        let Operation { kind, number, version, value_bytes } = operation;
        match kind {
            Kind::MultiGet => return self.multi_get(target, place).await,
            Kind::Scan => return self.scan(target, number, place).await,
            Kind::Delete => {
                self.recorder.borrow_mut().meter.written_bytes += place.key.len() as u64;
                return target.delete(&place.key).await;
            }
            Kind::Get | Kind::Update => {
                let found = target.get(&place.key).await?;
                self.check(number, place.key.len(), found.as_ref().map(AsRef::as_ref));
            }
            Kind::Put | Kind::Insert => {}
            _ => return self.apply_shaped(target, operation, place).await,
        }
        if kind != Kind::Get {
            let value_bytes = usize::try_from(value_bytes).unwrap_or(usize::MAX);
            write_value(&mut place.value, number, version, value_bytes);
            self.recorder.borrow_mut().meter.written_bytes += (place.key.len() + place.value.len()) as u64;
            target.put(&place.key, &place.value).await?;
        }
        Ok(())
    }

    async fn multi_get<T: Target>(&self, target: &T, place: &LaneBuffers) -> Result<(), TargetError> {
        let mut found = 0;
        let checked = |at: usize, value: Option<&[u8]>| {
            if let Some((number, key)) = place.numbers.get(at).zip(place.keys.get(at)) {
                self.check(*number, key.len(), value);
                found += 1;
            }
        };
        target.multi_get(&place.keys, checked).await?;
        if found != place.keys.len() {
            self.recorder.borrow_mut().meter.mismatches += 1;
        }
        Ok(())
    }

    /// Entries from a key on. The key itself is there unless it was deleted; each is its key's own, and they ascend.
    async fn scan<T: Target>(&self, target: &T, number: u64, place: &LaneBuffers) -> Result<(), TargetError> {
        let plan = &*self.plan;
        let found = target.scan(&[], &place.key, plan.workload.scan_entries).await?;
        let mut right = found.len() <= plan.workload.scan_entries;
        right &= plan.keys_may_be_gone || found.first().is_some_and(|first| first.0.as_ref() == place.key);
        let mut last: Option<&[u8]> = None;
        let mut bytes = 0;
        for (key, value) in &found {
            let (key, value) = (key.as_ref(), value.as_ref());
            right &= last.is_none_or(|last| last < key) && key >= place.key.as_slice();
            // Beside the keys that are loaded there may be state of other shapes.
            if key.last() == Some(&PRESENT) {
                right &= number_of(key).is_some_and(|number| version_of(value, number).is_some());
            }
            bytes += key.len() + value.len();
            last = Some(key);
        }
        right &= number_of(&place.key) == Some(number);
        self.checked(right, !found.is_empty(), bytes);
        Ok(())
    }

    fn check(&self, number: u64, key_bytes: usize, found: Option<&[u8]>) {
        let plan = &*self.plan;
        let right = match found {
            Some(value) => !plan.workload.missing && version_of(value, number).is_some(),
            None => plan.workload.missing || plan.keys_may_be_gone,
        };
        self.checked(right, found.is_some(), found.map_or(0, |value| key_bytes + value.len()));
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
