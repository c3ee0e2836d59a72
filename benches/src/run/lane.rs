//! One operation after the other, as many lanes side by side as operations are in flight.
//!
//! ```text
//! closed loop: the next begins when the last ends; its latency runs from there
//! open loop:   the n-th of a thread is due at start + n / rate, whoever is free takes it; its latency runs from when it was
//!              due, so that a stall counts for all that should have begun meanwhile (no coordinated omission)
//! ```
//!
//! Every answer is checked: a key that was loaded has its own, undamaged value; one that was not has none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aquifer::Error;
use aquifer_io::{Instant, now, sleep, spawn_local};

use super::distribution::{Chooser, scatter};
use super::length::Length;
use super::meter::Meter;
use super::mix::Kind;
use super::record::{VALUE_BYTES_MIN, version_of, write_key, write_value};
use super::rng::Rng;
use super::target::Target;
use super::workload::Workload;

/// Operations of a lane between two looks at whether the others want the thread, when nothing ever waits.
const OPERATIONS_BEFORE_YIELD: u32 = 64;

/// Filling of keys that exist, and of keys that do not.
const PRESENT: u8 = b'k';
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
    /// Between two operations of one thread, in an open loop.
    pub(crate) interval: Option<Duration>,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// One thread's part. Its stream of operations is a function of the seed.
pub(crate) struct Stream {
    plan: Arc<Plan>,
    rng: RefCell<Rng>,
    chooser: RefCell<Chooser>,
    meter: RefCell<Meter>,
    begun: Cell<u64>,
    /// Turns of a workload that fills, where each thread looks for its own keys among all.
    filled: Cell<u64>,
    start: Instant,
}

/// One operation to do.
struct Operation {
    kind: Kind,
    number: u64,
    version: u64,
    value_bytes: u64,
}

/// Runs all lanes of one thread; what they saw, or the first error.
pub(crate) async fn run<T: Target>(target: T, plan: Arc<Plan>, seed: u64) -> Result<Meter, Error> {
    let keys_max = plan.keys.load(Ordering::Relaxed).saturating_mul(2);
    let stream = Rc::new(Stream {
        chooser: RefCell::new(Chooser::new(plan.workload.distribution, keys_max.max(1) / 2)),
        rng: RefCell::new(Rng::new(seed)),
        meter: RefCell::new(Meter::new()),
        begun: Cell::new(0),
        filled: Cell::new(0),
        start: now(),
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
    outcome.map(|()| stream.meter.replace(Meter::new()))
}

impl Stream {
    async fn lane<T: Target>(self: Rc<Self>, target: T) -> Result<(), Error> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let mut last_end = now();
        let mut before_yield = OPERATIONS_BEFORE_YIELD;
        loop {
            let Some(operation) = self.next(&target, &mut key) else { return Ok(()) };
            let began = match self.plan.interval {
                None => last_end,
                Some(interval) => {
                    let due = self.start + mul(interval, self.begun.get() - 1);
                    let early = due.duration_since(now());
                    if !early.is_zero() {
                        sleep(early).await;
                    }
                    due
                }
            };
            self.apply(&target, &operation, &key, &mut value).await?;
            last_end = now();
            let since_start = last_end.duration_since(self.start);
            if let Some(measured) = since_start.checked_sub(self.plan.warm_up) {
                if measured >= self.plan.measured && !self.plan.workload.fills {
                    return Ok(());
                }
                let took = last_end.duration_since(began);
                self.meter.borrow_mut().record(operation.kind, took, measured);
            }
            before_yield -= 1;
            if before_yield == 0 {
                before_yield = OPERATIONS_BEFORE_YIELD;
                aquifer_io::yield_now().await;
            }
        }
    }

    /// The next operation of this thread, with its key; none when all is filled.
    fn next<T: Target>(&self, target: &T, key: &mut Vec<u8>) -> Option<Operation> {
        let plan = &*self.plan;
        let mut rng = self.rng.borrow_mut();
        let kind = plan.workload.mix.choose(&mut rng);
        let number = loop {
            let number = self.number::<T>(&mut rng, kind)?;
            self.write_key(key, number);
            if target.owns(key) {
                break number;
            }
        };
        self.begun.set(self.begun.get() + 1);
        Some(Operation {
            kind,
            number,
            version: self.begun.get(),
            value_bytes: plan.value_bytes.draw(&mut rng, VALUE_BYTES_MIN as u64),
        })
    }

    fn number<T: Target>(&self, rng: &mut Rng, kind: Kind) -> Option<u64> {
        let plan = &*self.plan;
        let keys = plan.keys.load(Ordering::Relaxed);
        if plan.workload.fills {
            let turn = if T::OWNS_ALL {
                plan.filled.fetch_add(1, Ordering::Relaxed)
            } else {
                self.filled.replace(self.filled.get() + 1)
            };
            let sequential = plan.workload.distribution == super::distribution::Distribution::Sequential;
            return (turn < keys).then(|| if sequential { turn } else { scatter(turn, keys) });
        }
        if kind == Kind::Insert {
            return Some(plan.keys.fetch_add(1, Ordering::Relaxed));
        }
        Some(self.chooser.borrow_mut().choose(rng, keys))
    }

    fn write_key(&self, key: &mut Vec<u8>, number: u64) {
        write_key(
            key,
            number,
            self.plan.key_bytes,
            if self.plan.workload.missing { MISSING } else { PRESENT },
        );
    }

    async fn apply<T: Target>(
        &self,
        target: &T,
        operation: &Operation,
        key: &[u8],
        value: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Operation { kind, number, version, value_bytes } = *operation;
        if matches!(kind, Kind::Get | Kind::Update) {
            let found = target.get(key).await?;
            self.check(number, found.as_deref());
        }
        if kind == Kind::Delete {
            return target.delete(key).await;
        }
        if kind != Kind::Get {
            write_value(value, number, version, usize::try_from(value_bytes).unwrap_or(usize::MAX));
            target.put(key, value).await?;
        }
        Ok(())
    }

    fn check(&self, number: u64, found: Option<&[u8]>) {
        let plan = &*self.plan;
        let right = match found {
            Some(value) => !plan.workload.missing && version_of(value, number).is_some(),
            None => plan.workload.missing || plan.keys_may_be_gone,
        };
        let mut meter = self.meter.borrow_mut();
        meter.found += u64::from(found.is_some());
        meter.mismatches += u64::from(!right);
    }
}

fn mul(interval: Duration, count: u64) -> Duration {
    let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(nanos.saturating_mul(count))
}
