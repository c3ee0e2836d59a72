//! Checkpoints while operations go on: taken from a thread beside them, at a quarter and at five eighths of the measured time.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use aquifer::{CheckpointInfo, Client};

use super::patience::{pause, wait, wait_for};
use crate::failure::Failure;
use crate::measure::spread::Spread;
use crate::result::{Round, quotient};

/// When they are taken, in eighths of the measured time.
const EIGHTHS: [u32; 2] = [2, 5];
/// Longest wait for the engine's numbers.
const STATS_TIME_MAX: Duration = Duration::from_secs(1);

/// One of them.
#[derive(Debug)]
pub(super) struct Taken {
    info: CheckpointInfo,
    /// Reads and writes a second meanwhile.
    during_per_s: Option<f64>,
    /// The same in the time before.
    before_per_s: Option<f64>,
}

/// The thread beside.
#[derive(Debug)]
pub(super) struct Beside(Receiver<Result<Vec<Taken>, Failure>>);

impl Beside {
    /// Begins to wait for the moments.
    pub(super) fn start(client: Client, warm_up: Duration, measured: Duration) -> Result<Self, Failure> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("bench-checkpoints".into());
        let started = thread.spawn(move || {
            // Who waits for them may have ended.
            let _ = sender.send(take(&client, warm_up, measured));
        });
        started.map_err(|error| Failure::Other(format!("cannot start a thread for checkpoints: {error}")))?;
        Ok(Self(receiver))
    }

    /// What came of them.
    pub(super) fn finish(self) -> Result<Vec<Taken>, Failure> {
        self.0
            .recv()
            .unwrap_or_else(|_| Err(Failure::Other("the thread of the checkpoints ended early".into())))
    }
}

fn take(client: &Client, warm_up: Duration, measured: Duration) -> Result<Vec<Taken>, Failure> {
    let start = aquifer_io::now();
    let mut taken = Vec::new();
    let mut last = None;
    for eighth in EIGHTHS {
        pause((warm_up + measured / 8 * (eighth - 1)).saturating_sub(start.elapsed()))?;
        last = operations(client).or(last);
        pause((warm_up + measured / 8 * eighth).saturating_sub(start.elapsed()))?;
        let before = operations(client);
        let info = wait(client.checkpoint(Vec::new()))?.map_err(Failure::engine("a checkpoint failed"))?;
        let after = operations(client);
        taken.push(Taken { info, during_per_s: rate(before, after), before_per_s: rate(last, before) });
    }
    Ok(taken)
}

type Count = (aquifer_io::Instant, u64);

/// Reads and writes so far.
fn operations(client: &Client) -> Option<Count> {
    let stats = wait_for(STATS_TIME_MAX, client.stats())?.ok()?;
    let count = stats.sum(|shard| shard.reads_immediate + shard.reads_waited + shard.writes);
    Some((aquifer_io::now(), count))
}

fn rate(from: Option<Count>, to: Option<Count>) -> Option<f64> {
    let (from, to) = (from?, to?);
    quotient(to.1.saturating_sub(from.1) as f64, to.0.duration_since(from.0).as_secs_f64())
}

/// Adds their numbers to a round: medians, and the throughput meanwhile as a share of that before.
pub(super) fn add(round: &mut Round, taken: &[Taken]) {
    let median = |of: &dyn Fn(&Taken) -> Option<f64>| {
        Spread::of(taken.iter().filter_map(of)).map(|spread| spread.median)
    };
    let numbers = [
        ("checkpoint_ms", median(&|taken| Some(taken.info.duration.as_secs_f64() * 1e3))),
        ("checkpoint_barrier_us", median(&|taken| Some(taken.info.barrier.as_secs_f64() * 1e6))),
        ("checkpoint_uploaded_bytes", median(&|taken| Some(taken.info.uploaded_bytes as f64))),
        ("checkpoint_throughput_share", median(&|taken| quotient(taken.during_per_s?, taken.before_per_s?))),
        ("checkpoints", Some(taken.len() as f64)),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            round.values.insert(name.to_owned(), number);
        }
    }
}
