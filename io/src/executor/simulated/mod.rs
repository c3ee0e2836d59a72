//! The simulated backend: executors that share one thread, one virtual clock and one disk.
//!
//! ```text
//! World (world.rs) ── drives ──> Machine (machine.rs): tasks, turns, timers, virtual time, disk, trace
//! File, fs (files.rs) ─────────> Machine: verdict ─ wait ─ disk
//! Executor (context.rs) ── Seat (seat.rs): which machine, which turn, whose chance
//! ```

pub(crate) mod machine;
pub(crate) mod seat;
mod wake;
mod life;
mod sleep;
pub(crate) mod files;
pub(crate) mod world;
mod end;

use std::future::Future;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::context;
use super::{ExecutorOptions, ExecutorThread, Handle, Report, START};
use crate::error::IoError;
use crate::simulated::WorldOptions;
use world::World;

pub(crate) use end::SimulatedEnd;

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

/// Waits on the virtual time of this executor's world.
pub(crate) async fn sleep(duration: Duration) {
    match context::machine() {
        Some(machine) => sleep::Sleep::new(&machine, duration).await,
        None => std::future::pending().await,
    }
}
