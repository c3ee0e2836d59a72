//! A simulated world with one executor, for tests in virtual time.
#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use std::sync::Arc;

use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{RunEnd, World, WorldOptions};
use aquifer_remote::{Remote, RemoteOptions, ShapeOptions, SimulatedDfs, Stack, Timers, wrap};

/// Runs `main` to its end in a world of its own; a panic in it fails the test.
pub fn in_world<F, Fut>(seed: u64, main: F)
where
    F: FnOnce() -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let world = World::new(seed, WorldOptions::default());
    let thread = world.spawn_executor(options("test"), main);
    assert_eq!(world.run_until_idle(), RunEnd::Idle);
    thread.join().unwrap();
}

pub fn options(name: &str) -> ExecutorOptions {
    ExecutorOptions { name: name.to_owned(), ..ExecutorOptions::default() }
}

/// Options for wrappers in virtual time.
pub fn virtual_time(seed: u64) -> RemoteOptions {
    RemoteOptions {
        timers: Timers::Executor,
        seed: Some(seed),
        environment: false,
        ..RemoteOptions::default()
    }
}

/// A simulated store shaped like that, and wrapped.
pub fn wrapped(seed: u64, shape: ShapeOptions, options: &RemoteOptions) -> (SimulatedDfs, Stack) {
    let dfs = SimulatedDfs::new(seed, &shape);
    let stack = wrap(dfs.remote(), options).unwrap();
    (dfs, stack)
}

/// The store for requests that somebody waits for.
pub fn foreground(stack: &Stack) -> Arc<dyn Remote> {
    Arc::clone(&stack.foreground)
}
