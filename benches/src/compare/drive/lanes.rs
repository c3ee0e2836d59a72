//! Lanes of `run` on the arms: one key an operation, some in flight on each thread, in an open or closed loop.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use aquifer::{Client, Error};
use bytes::Bytes;

use super::bulk::seed_of;
use super::tally::Tally;
use crate::compare::spec::{Data, Doing, Work};
use crate::failure::Failure;
use crate::run::{Distribution, Length, Meter, Mix, Nothing, OnShard, Plan, Target, ThroughClient, Workload};

/// A store whose calls block.
pub(in crate::compare) trait Blocking: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;
    /// Writes a value.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure>;
}

/// It as a target: with one lane a thread nothing is gained by waiting.
struct Called<S>(Arc<S>);

impl<S> Clone for Called<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A foreign engine's error as lanes know errors.
pub(in crate::compare) fn foreign(error: &impl std::fmt::Display) -> Error {
    let error = aquifer_remote::RemoteError::new(aquifer_remote::RemoteErrorKind::Other, "measure")
        .with_cause(error.to_string());
    Error::from(error)
}

impl<S: Blocking> Target for Called<S> {
    const OWNS_ALL: bool = true;

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let value = self.0.get(key).map_err(|error| foreign(&error))?;
        Ok(value.map(Bytes::from))
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.0.put(key, value).map_err(|error| foreign(&error))
    }

    async fn delete(&self, _key: &[u8]) -> Result<(), Error> {
        Err(foreign(&"lanes delete nothing here"))
    }

    fn owns(&self, _key: &[u8]) -> bool {
        true
    }
}

/// On threads that each have one operation under way.
pub(in crate::compare) fn on_blocking<S: Blocking>(store: &Arc<S>, work: &Work, data: Data) -> Result<Tally, Failure> {
    let store = Arc::clone(store);
    let plan = plan(work, data, work.threads, 1)?;
    let meter = crate::run::on_threads(move || Called(Arc::clone(&store)), &plan, work.threads.into(), work.seed)?;
    Ok(tally(&meter, work))
}

/// On nothing.
pub(in crate::compare) fn on_nothing(_value: &[u8], work: &Work, data: Data) -> Result<Tally, Failure> {
    let plan = plan(work, data, work.threads, work.in_flight)?;
    let meter = crate::run::on_threads(Nothing::default, &plan, work.threads.into(), work.seed)?;
    Ok(tally(&meter, work))
}

/// Through any number of targets of the caller's making, on threads of their own.
pub(in crate::compare) fn on_targets<T: Target>(
    target: impl Fn() -> T + Clone + Send + 'static,
    work: &Work,
    data: Data,
) -> Result<Tally, Failure> {
    let plan = plan(work, data, work.threads, work.in_flight)?;
    let meter = crate::run::on_threads(target, &plan, work.threads.into(), work.seed)?;
    Ok(tally(&meter, work))
}

/// From other threads, by message.
pub(in crate::compare) fn through_client(client: &Client, work: &Work, data: Data) -> Result<Tally, Failure> {
    let client = client.clone();
    on_targets(move || ThroughClient(client.clone()), work, data)
}

/// On the shards' own threads.
pub(in crate::compare) fn on_shards(client: &Client, shards: usize, work: &Work, data: Data) -> Result<Tally, Failure> {
    let plan = plan(work, data, u32::try_from(shards).unwrap_or(u32::MAX), work.in_flight)?;
    let jobs = (0..shards).map(|index| {
        let (owner, plan) = (client.clone(), Arc::clone(&plan));
        let seed = seed_of(work.seed, u32::try_from(index).unwrap_or(u32::MAX));
        client.run_on_shard(index, move |shard| crate::run::lanes(OnShard { shard, client: owner }, plan, seed))
    });
    let mut all = Meter::new();
    for meter in aquifer::block_on(futures_util::future::join_all(jobs)) {
        let meter = meter.and_then(|meter| meter).map_err(Failure::engine("an operation failed"))?;
        all.add(&meter);
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
        interval: work.rate.map(|rate| Duration::from_secs_f64(f64::from(threads.max(1)) / rate)),
        warm_up: work.warm_up,
        measured: work.measured,
    }))
}

fn tally(meter: &Meter, work: &Work) -> Tally {
    let latency = meter.all();
    let operations = latency.summary().count;
    let measured_s = work.measured.as_secs_f64().max(f64::MIN_POSITIVE);
    // The warm-up is as fast as the rest, as far as is known.
    let done = crate::run::whole_part(operations as f64 * (1.0 + work.warm_up.as_secs_f64() / measured_s));
    Tally {
        operations,
        done,
        per_s: operations as f64 / measured_s,
        measured: work.measured,
        latency,
        checked: operations,
        wrong: meter.mismatches,
        ..Tally::new()
    }
}
