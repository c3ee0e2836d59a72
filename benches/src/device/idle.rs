//! An idle executor must not use the processor: it waits in the kernel, with an open file, for the one wake that ends it.

use std::time::Duration;

use aquifer_io::{Backend, now, sleep};
use futures_util::future::select;
use serde::Serialize;

use super::runner::on_executor;
use super::test_file::{TestFile, open};
use crate::failure::Failure;
use crate::interrupt;
use crate::measure::machine::process_cpu;

/// Processor use of an idle executor. The rest of the process waits too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Idle {
    /// Its backend.
    pub(super) engine: String,
    /// Time watched.
    pub(super) seconds: f64,
    /// Processor time of the whole process in it.
    pub(super) cpu_us: f64,
    /// The same as percent of one core.
    pub(super) core_percent: f64,
}

/// Watches an idle executor of this backend for a time.
pub(super) fn measure(backend: Backend, file: &TestFile, time: Duration) -> Result<Idle, Failure> {
    let path = file.path().to_owned();
    let watched = on_executor(backend, move || async move {
        let file = open(&path, false).await?;
        let (began, cpu) = (now(), process_cpu());
        let rest = std::pin::pin!(sleep(time));
        let stop = std::pin::pin!(interrupt::interrupted());
        select(stop, rest).await;
        let numbers = (began.elapsed(), process_cpu().saturating_sub(cpu));
        drop(file);
        Ok(numbers)
    });
    interrupt::check()?;
    let (elapsed, cpu) =
        watched.map_err(|error| Failure::Other(format!("idle executor of {backend}: {error}")))?;
    let (seconds, cpu_us) = (elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6);
    let core_percent = cpu_us / 1e4 / seconds.max(f64::MIN_POSITIVE);
    Ok(Idle { engine: backend.to_string(), seconds, cpu_us, core_percent })
}
