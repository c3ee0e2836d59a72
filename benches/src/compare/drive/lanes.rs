//! Lanes of `run` on the arms: one key an operation, some in flight on each thread, in an open or closed loop.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use aquifer::Client;
use bytes::Bytes;

use super::tally::Tally;
use crate::compare::spec::{Data, Doing, Work};
use crate::failure::Failure;
use crate::interrupt;
use crate::load::distribution::Distribution;
use crate::load::length::Length;
use crate::load::mix::Mix;
use crate::load::workload::Workload;
use crate::run::arm::{Outcome, on_threads, seed_of};
use crate::run::lane;
use crate::run::live::Live;
use crate::run::meter::Meter;
use crate::run::ours::{OnShard, ThroughClient};
use crate::run::stream::Plan;
#[cfg(any(feature = "rocksdb", feature = "fjall", feature = "slatedb"))]
use crate::run::target::TargetError;
use crate::run::target::{Nothing, Target};

/// Longest time between two looks at whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(50);

#[cfg(any(feature = "rocksdb", feature = "fjall"))]
/// A store whose calls block.
pub(crate) trait Blocking: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;
    /// Writes a value.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure>;
}

#[cfg(any(feature = "rocksdb", feature = "fjall"))]
/// It as a target: with one lane a thread nothing is gained by waiting.
struct Called<S>(Arc<S>);

#[cfg(any(feature = "rocksdb", feature = "fjall"))]
impl<S> Clone for Called<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(any(feature = "rocksdb", feature = "fjall", feature = "slatedb"))]
/// A foreign engine's error as lanes know errors.
pub(crate) fn foreign(error: &impl std::fmt::Display) -> TargetError {
    TargetError::Other(error.to_string())
}

#[cfg(any(feature = "rocksdb", feature = "fjall"))]
impl<S: Blocking> Target for Called<S> {
    const OWNS_ALL: bool = true;
    type Value = Vec<u8>;

    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TargetError> {
        self.0.get(key).map_err(|error| foreign(&error))
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        self.0.put(key, value).map_err(|error| foreign(&error))
    }

    async fn delete(&self, _key: &[u8]) -> Result<(), TargetError> {
        Err(TargetError::Unsupported("deletion by lanes"))
    }
}

#[cfg(any(feature = "rocksdb", feature = "fjall"))]
/// On threads that each have one operation under way.
pub(crate) fn on_blocking<S: Blocking>(store: &Arc<S>, work: &Work, data: Data) -> Result<Tally, Failure> {
    let store = Arc::clone(store);
    let plan = plan(work, data, work.threads, 1)?;
    collect(&plan, work, |outcomes| {
        on_threads(move |_| Called(Arc::clone(&store)), work.threads.into(), &plan, work.seed, outcomes)
    })
}

/// On nothing.
pub(crate) fn on_nothing(value: &[u8], work: &Work, data: Data) -> Result<Tally, Failure> {
    let value = Bytes::copy_from_slice(value);
    on_targets(move |_| Nothing::new(value.clone(), None), work, data)
}

/// On targets that the caller makes, one for each thread.
pub(crate) fn on_targets<T: Target>(
    target: impl Fn(u64) -> T + Clone + Send + 'static,
    work: &Work,
    data: Data,
) -> Result<Tally, Failure> {
    let plan = plan(work, data, work.threads, work.in_flight)?;
    collect(&plan, work, |outcomes| on_threads(target, work.threads.into(), &plan, work.seed, outcomes))
}

/// From other threads, by message.
pub(crate) fn through_client(client: &Client, work: &Work, data: Data) -> Result<Tally, Failure> {
    let client = client.clone();
    on_targets(move |_| ThroughClient(client.clone()), work, data)
}

/// On the shards' own threads.
pub(crate) fn on_shards(client: &Client, shards: usize, work: &Work, data: Data) -> Result<Tally, Failure> {
    let plan = plan(work, data, u32::try_from(shards).unwrap_or(u32::MAX), work.in_flight)?;
    collect(&plan, work, |outcomes| {
        for index in 0..shards {
            let (own, plan, outcomes) = (client.clone(), Arc::clone(&plan), outcomes.clone());
            let seed = seed_of(work.seed, index as u64);
            // Nobody waits for the reply: the outcome comes with the others, and if the shard ends early its sender is dropped.
            drop(client.run_on_shard(index, move |shard| async move {
                let outcome = lane::run(OnShard { shard, client: own }, plan, seed).await;
                let _ = outcomes.send(outcome);
            }));
        }
        Ok(())
    })
}

/// Starts threads that send their outcomes, and waits for all of them.
fn collect(
    plan: &Arc<Plan>,
    work: &Work,
    start: impl FnOnce(&Sender<Outcome>) -> Result<(), Failure>,
) -> Result<Tally, Failure> {
    let (sender, outcomes) = channel();
    start(&sender)?;
    drop(sender);
    let mut all = Meter::default();
    loop {
        match outcomes.recv_timeout(LOOK) {
            Ok(outcome) => all.add(&outcome.map_err(Failure::from)?),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if interrupt::check().is_err() => {
                plan.live.stop();
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
    Ok(tally(&all, work))
}

fn plan(work: &Work, data: Data, threads: u32, in_flight: u32) -> Result<Arc<Plan>, Failure> {
    let mix: Mix = match work.doing {
        Doing::Update => "update",
        Doing::Overwrite | Doing::Load => "put",
        Doing::Get | Doing::MultiGet => "get",
    }
    .parse()
    .map_err(Failure::Usage)?;
    let distribution: Distribution = work.distribution.parse().map_err(Failure::Usage)?;
    Ok(Arc::new(Plan {
        workload: Workload::custom(mix, distribution),
        keys: AtomicU64::new(data.keys),
        filled: AtomicU64::new(0),
        keys_may_be_gone: false,
        key_bytes: usize::try_from(data.key_bytes).unwrap_or(usize::MAX),
        value_bytes: Length::Fixed(data.value_bytes),
        in_flight: usize::try_from(in_flight).unwrap_or(1),
        batch: 1,
        interval: work.rate.map(|rate| Duration::from_secs_f64(f64::from(threads.max(1)) / rate)),
        warm_up: work.warm_up,
        measured: work.measured,
        live: Arc::new(Live::new(false)),
    }))
}

fn tally(meter: &Meter, work: &Work) -> Tally {
    let measured_s = work.measured.as_secs_f64().max(f64::MIN_POSITIVE);
    let operations = meter.operations;
    // The warm-up is as fast as the rest, as far as is known.
    let done =
        crate::load::rng::whole_part(operations as f64 * (1.0 + work.warm_up.as_secs_f64() / measured_s));
    Tally {
        operations,
        done,
        per_s: operations as f64 / measured_s,
        measured: work.measured,
        latency: meter.response(),
        service: work.rate.map(|_| meter.service()),
        checked: meter.checked,
        wrong: meter.mismatches,
        ..Tally::new()
    }
}
