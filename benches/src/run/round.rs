//! One measurement: all threads at once, from the client's side, on the shards, or on nothing.

use std::sync::Arc;

use aquifer::Error;
use aquifer_io::{Backend, BackendChoice, ExecutorOptions, select_backend, spawn_executor};
use futures_util::future::join_all;

use super::bed::Bed;
use super::lane::{self, Plan};
use super::meter::Meter;
use super::target::{Nothing, OnShard, Target, ThroughClient};
use crate::failure::Failure;

/// Through the client, from so many threads.
pub(super) async fn through_client(
    bed: &Bed,
    plan: &Arc<Plan>,
    threads: u64,
    seed: u64,
) -> Result<Meter, Failure> {
    let client = bed.client.clone();
    on_threads(move || ThroughClient(client.clone()), plan, threads, seed)
}

/// On each shard's own thread.
pub(super) async fn on_shards(bed: &Bed, plan: &Arc<Plan>, seed: u64) -> Result<Meter, Failure> {
    let jobs = (0..bed.shards).map(|index| {
        let (client, plan) = (bed.client.clone(), Arc::clone(plan));
        let seed = seed_of(seed, index as u64);
        bed.client.run_on_shard(index, move |shard| lane::run(OnShard { shard, client }, plan, seed))
    });
    let mut all = Meter::new();
    for meter in join_all(jobs).await {
        let meter = meter.and_then(|meter| meter).map_err(Failure::engine("an operation failed"))?;
        all.add(&meter);
    }
    Ok(all)
}

/// On nothing, from so many threads: what this tool costs.
pub(super) fn on_nothing(plan: &Arc<Plan>, threads: u64, seed: u64) -> Result<Meter, Failure> {
    on_threads(Nothing::default, plan, threads, seed)
}

pub(crate) fn on_threads<T: Target>(
    target: impl Fn() -> T + Clone + Send + 'static,
    plan: &Arc<Plan>,
    threads: u64,
    seed: u64,
) -> Result<Meter, Failure> {
    let backend = select_backend(BackendChoice::Auto).map_or(Backend::Threads, |selection| selection.backend);
    let (report, reports) = std::sync::mpsc::channel();
    let executors = (0..threads).map(|index| {
        let (plan, target, report) = (Arc::clone(plan), target.clone(), report.clone());
        let options = ExecutorOptions {
            name: format!("bench-{index}"),
            backend,
            seed: seed_of(seed, index),
            ring_entries: 64,
            buffer_bytes_max: 1 << 20,
            ..ExecutorOptions::default()
        };
        spawn_executor(options, move || async move {
            let outcome: Result<Meter, Error> = lane::run(target(), plan, seed_of(seed, index)).await;
            // The receiver waits for all of them, unless the command ends meanwhile.
            let _ = report.send(outcome);
        })
    });
    let executors: Vec<_> = executors.collect();
    drop(report);
    let mut all = Meter::new();
    for executor in executors {
        let joined = executor.and_then(aquifer_io::ExecutorThread::join);
        joined.map_err(|error| Failure::Other(format!("a measuring thread failed: {error}")))?;
    }
    for outcome in reports {
        all.add(&outcome.map_err(Failure::engine("an operation failed"))?);
    }
    Ok(all)
}

fn seed_of(seed: u64, index: u64) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index)
}
