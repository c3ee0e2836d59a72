//! The simulated backend: executors of a simulated machine, and the world that drives it.

mod life;
pub(crate) mod world;

use std::future::Future;
use std::sync::mpsc::sync_channel;

use super::context;
use super::life::Report;
use super::options::{ExecutorOptions, START};
use super::thread::{ExecutorThread, Handle};
use crate::error::IoError;
use crate::simulated_machine::options::WorldOptions;
use world::World;

/// Starts an executor in the world whose executor calls this; elsewhere in a world of its own, on a new thread.
pub(super) fn spawn<F, Fut>(options: ExecutorOptions, main: F) -> Result<ExecutorThread, IoError>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    if let Some(machine) = context::try_current().and_then(|executor| executor.machine()) {
        return Ok(life::start(&machine, &options, main));
    }
    let (report, started) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(options.name.clone())
        .spawn(move || {
            let world = World::new(options.seed, WorldOptions::default());
            let executor = world.spawn_executor(options, main);
            Report { report, pin_note: None }.started();
            world.run_with_foreign_wakes(executor)
        })
        .map_err(|source| IoError::from_os(START, source))?;
    // It reports before anything of it can fail.
    let _ = started.recv();
    Ok(ExecutorThread { handle: Handle::Thread(thread), pin_note: None })
}
