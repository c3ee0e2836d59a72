//! A simulated machine and DFS for one test: time is virtual, and a test that waits for ever ends at once, as a failure.

use super::faults::Faulty;
use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{World, WorldOptions};
use aquifer_remote::shape::{FaultRates, LatencyProfile};
use aquifer_remote::{ShapeOptions, SimulatedDfs};
use std::future::Future;
use std::sync::Arc;

/// Runs a test in a world of its own, with a DFS that takes about a millisecond for a request.
pub fn in_world<Fut: Future<Output = ()> + 'static>(test: impl FnOnce(Arc<Faulty>) -> Fut + Send + 'static) {
    let shape = ShapeOptions {
        latency: LatencyProfile::Hdfs,
        bandwidth_bytes_per_s: 100 << 20,
        faults: FaultRates::default(),
    };
    let dfs = SimulatedDfs::new(1, &shape);
    let options = WorldOptions { trace_bytes_max: 0, polls_max: 20_000_000, ..WorldOptions::default() };
    let world = World::new(1, options);
    let executor = ExecutorOptions { name: "test".to_owned(), ..ExecutorOptions::default() };
    let driver = world.spawn_executor(executor, move || async move {
        test(Faulty::new(dfs.remote())).await;
    });
    driver.join().unwrap();
}
