//! What bounds a phase, measured right beside it: a map in memory, the bare disk, plain requests to the DFS.
//!
//! | phase | ceiling |
//! |---|---|
//! | memory | lookups in a hash map with a copy of the value, on as many threads as the cores that do the work, through the same lanes |
//! | SSD | fio (our own device run where it is absent) at the phase's size of reads and depth |
//! | remote | plain ranged GETs through the same client: their rate at the phase's depth, their latency one at a time |
//! | checkpoint | what it uploaded by the bandwidth of a PUT, and two round trips |
//! | restore, rescale | two round trips |

pub(super) mod map;
pub(super) mod requests;

use std::sync::Arc;
use std::time::Duration;

use super::arm::OnThreads;
use super::stream::Plan;
use super::ticker::Ticker;
use super::watch;
use crate::failure::Failure;

/// Operations a second of a map in memory.
pub(super) fn of_memory(plan: &Arc<Plan>, threads: u64, seed: u64) -> Result<f64, Failure> {
    let map = map::filled(plan);
    let arm = OnThreads { threads, target: move |_| map::MapTarget::new(Arc::clone(&map)) };
    let taken = watch::measure(&arm, plan, seed, &mut Ticker::new(true))?;
    Ok(taken.meter.operations as f64 / taken.seconds)
}

/// Random reads a second of the bare disk under a folder, and what measured them.
pub(super) fn of_disk(
    folder: &std::path::Path,
    file_bytes: u64,
    read_bytes: u64,
    depth: u64,
    time: Duration,
) -> Result<(String, f64), Failure> {
    crate::device::read_ceiling(folder, file_bytes, read_bytes, depth, time)
}
