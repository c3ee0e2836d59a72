//! Row `zipf-remote`: GETs for each get, beside the misses of the policies of `policies` on exactly the accesses that this run made.
//!
//! ```text
//! walk of the store: key ─> block ─┐
//! run: keys in their order, a shard ┴─> accesses to blocks ─> each policy, with as many blocks as our data bytes would hold ─> misses
//! ```
//! Both begin with nothing in memory, and of both the warm-up is not counted. Ours may do better than the policies where it keeps single entries
//! or brings several blocks by one GET, and does worse by each GET for a filter, an index, or a block that a filter let pass in vain.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use aquifer::internals::blocks::walk_blocks;
use aquifer_remote::Operation;
use aquifer_remote::shape::LatencyProfile;
use bytes::Bytes;

use super::super::arm::{Arm as Lanes, Counters, Outcome};
use super::super::bed::Opened;
use super::super::ours::{OpenEngine, start_on_shard};
use super::super::patience::wait;
use super::super::stream::Plan;
use super::super::target::{Target, TargetError};
use super::super::watch;
use super::stage::{Stage, beside, complete, ours, set};
use crate::cli::cache_row::RowName;
use crate::failure::Failure;
use crate::load::distribution::Distribution;
use crate::load::record::number_of;
use crate::load::workload::Workload;
use crate::measure::spread::Spread;
use crate::policies::{Replay, entry_overhead_bytes, replay_accesses};
use crate::result::{Goal, Round, Row, Tier, quotient};

/// GETs, or misses, for each get.
const A_GET: &str = "dfs_gets_per_get";
/// Blocks that came from the DFS for each get, filters and indexes included: what it would be if no GET brought several.
const BLOCKS_A_GET: &str = "dfs_blocks_per_get";
const OURS: &str = "aquifer";
/// The warm-up, in rounds.
const WARM_UP_ROUNDS: u32 = 3;

/// Keys of one measurement in the order in which each shard was asked for them.
type Trace = Arc<Vec<Mutex<Vec<u32>>>>;

/// Which block a key lies in.
struct Layout {
    block_of: Vec<u32>,
    blocks: u32,
    /// Of a block in memory, on the mean.
    memory_bytes: f64,
}

/// What our engine did in one measurement.
struct Window {
    trace: Vec<Vec<u32>>,
    gets: u64,
}

/// Measures the row.
pub(super) fn measure(stage: &mut Stage<'_>) -> Result<Row, Failure> {
    let name = RowName::ZipfRemote;
    stage.step(name, "walking the store's blocks");
    stage.open(stage.setup(stage.memory_bytes(), 0, LatencyProfile::None))?;
    let layout = Layout::of(stage)?;
    let setup = stage.setup(stage.memory_bytes(), 0, LatencyProfile::Hdfs);
    stage.open(setup)?;
    let workload = Workload {
        distribution: Distribution::Zipf { theta: 0.99 },
        ..Workload::named("readrandom").map_err(Failure::Usage)?
    };
    let mut arm = ours(OURS, setup);
    let mut windows = Vec::new();
    for number in std::iter::once(0).chain(stage.rounds()) {
        let what = if number == 0 { "warming up".to_owned() } else { format!("round {number}") };
        stage.step(name, &what);
        let (window, round) = one(stage, &workload, number)?;
        windows.push(window);
        arm.rounds.extend(round);
    }
    let held = held_bytes(stage.opened()?)?;
    stage.close()?;
    stage.step(name, "replaying the same accesses");
    let entry_bytes = layout.memory_bytes + aquifer_io::block_on(entry_overhead_bytes())? as f64;
    let replay = replay_all(&layout, &windows, &held, entry_bytes)?;
    let share = setup.memory_bytes / held.len().max(1) as u64;
    let whole = replay_all(&layout, &windows, &vec![share; held.len()], entry_bytes)?;
    let best = replay.best();
    let them = format!("best policy, {}", best.policy);
    let mut policy = beside(&them, "");
    for (round, (misses, window)) in arm.rounds.iter().zip(best.misses.iter().zip(windows.iter().skip(1))) {
        policy.rounds.push(policy_round(round, *misses, window.accesses()));
    }
    let mut notes = notes(&layout, &replay, &windows, &held, entry_bytes);
    let (missed, accesses) = (whole.best(), windows.iter().skip(1).map(Window::accesses).sum::<u64>());
    notes.push(format!(
        "with the whole memory budget of the engine for blocks, nothing for writes, filters and indexes, the best policy ({}) would miss {:.4}",
        missed.policy,
        missed.misses.iter().sum::<u64>() as f64 / accesses.max(1) as f64
    ));
    let merged =
        arm.rounds.iter().filter_map(|round| round.values.get("dfs_foreground_merge_factor").copied());
    if let Some(merged) = Spread::of(merged) {
        notes.push(format!("merge factor: {:.3} blocks a GET", merged.median));
    }
    let row = stage.row(name, &workload, stage.spec.args.in_flight);
    let goals = vec![Goal::at_most(A_GET, &them, 1.05)];
    Ok(complete(Row { tier: Some(Tier::Remote), ..row }, vec![arm, policy], goals, notes))
}

/// One measurement, to the end of its last get; the warm-up is no round.
fn one(stage: &mut Stage<'_>, workload: &Workload, number: u32) -> Result<(Window, Option<Round>), Failure> {
    let times = if number == 0 { WARM_UP_ROUNDS } else { 1 };
    let time = stage.seconds() * times;
    let plan = stage.plan(workload, stage.spec.args.in_flight, std::time::Duration::ZERO, time);
    let trace: Trace = Arc::new((0..stage.opened()?.shards).map(|_| Mutex::default()).collect());
    let before = gets(stage.opened()?);
    let taken =
        stage.on(None, &format!("zipf-remote {number}"), &plan, number, |ours, plan, seed, ticker| {
            watch::measure(&Traced { ours, trace: Arc::clone(&trace) }, plan, seed, ticker)
        })?;
    let gets = gets(stage.opened()?) - before;
    let trace = trace.iter().map(|seen| std::mem::take(&mut *locked(seen))).collect();
    let window = Window { trace, gets };
    if number == 0 {
        return Ok((window, None));
    }
    let mut round = stage.round(&format!("{} {OURS}", RowName::ZipfRemote), number, &taken, &plan)?;
    if let Some(share) = quotient(window.gets as f64, window.accesses() as f64) {
        set(&mut round, A_GET, share);
    }
    let counters = taken.counters.unwrap_or_default();
    if let Some(blocks) = quotient(counters.remote_hits as f64, taken.meter.operations as f64) {
        set(&mut round, BLOCKS_A_GET, blocks);
    }
    Ok((window, Some(round)))
}

fn gets(opened: &Opened) -> u64 {
    opened.stack.cost.requests(Operation::Get) + opened.stack.cost.requests(Operation::GetRange)
}

/// Bytes of data that each shard has in memory: blocks, single entries, and the cache's overhead for them.
fn held_bytes(opened: &Opened) -> Result<Vec<u64>, Failure> {
    Ok(opened.stats()?.shards.iter().map(|shard| shard.cache.memory.data.bytes).collect())
}

impl Window {
    fn accesses(&self) -> u64 {
        self.trace.iter().map(|numbers| numbers.len() as u64).sum()
    }
}

impl Layout {
    fn of(stage: &Stage<'_>) -> Result<Self, Failure> {
        let keys = usize::try_from(stage.spec.keys).unwrap_or(usize::MAX);
        let mut layout = Self { block_of: vec![u32::MAX; keys], blocks: 0, memory_bytes: 0.0 };
        let mut memory = 0_u64;
        let mut each = |block: aquifer::internals::blocks::StoredBlock, key: &[u8]| {
            if block.number >= layout.blocks {
                layout.blocks = block.number + 1;
                memory += block.memory_bytes as u64;
            }
            let place = number_of(key).and_then(|number| usize::try_from(number).ok());
            if let Some(place) = place.and_then(|number| layout.block_of.get_mut(number)) {
                *place = block.number;
            }
        };
        wait(walk_blocks(&stage.opened()?.stack.foreground, &mut each))?
            .map_err(Failure::engine("cannot walk the store's blocks"))?;
        if layout.block_of.contains(&u32::MAX) {
            return Err(Failure::Other("the store's blocks do not hold every key that was loaded".into()));
        }
        layout.memory_bytes = quotient(memory as f64, f64::from(layout.blocks)).unwrap_or(0.0);
        Ok(layout)
    }

    fn blocks_of(&self, numbers: &[u32]) -> Vec<u32> {
        numbers.iter().filter_map(|number| self.block_of.get(*number as usize)).copied().collect()
    }
}

/// All shards' accesses through every policy, each shard with a cache of its own; misses of all shards together.
fn replay_all(
    layout: &Layout,
    windows: &[Window],
    held: &[u64],
    entry_bytes: f64,
) -> Result<Replay, Failure> {
    let mut all = Replay::default();
    for (shard, bytes) in held.iter().enumerate() {
        let entries = crate::load::rng::whole_part(*bytes as f64 / entry_bytes.max(1.0));
        let accesses: Vec<Vec<u32>> = windows
            .iter()
            .map(|window| {
                window.trace.get(shard).map(|numbers| layout.blocks_of(numbers)).unwrap_or_default()
            })
            .collect();
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        all.add(aquifer_io::block_on(replay_accesses(&accesses, entries.max(1)))?);
        crate::interrupt::check()?;
    }
    Ok(all)
}

/// The same accesses, and what this policy would have had to fetch; it took no time that says anything.
fn policy_round(ours: &Round, misses: u64, accesses: u64) -> Round {
    let mut round = Round {
        round: ours.round,
        began_unix_ms: ours.began_unix_ms,
        operations: accesses,
        ..Round::default()
    };
    set(&mut round, A_GET, misses as f64 / accesses.max(1) as f64);
    round
}

fn notes(
    layout: &Layout,
    replay: &Replay,
    windows: &[Window],
    held: &[u64],
    entry_bytes: f64,
) -> Vec<String> {
    let counted = windows.iter().skip(1);
    let accesses: u64 = counted.clone().map(Window::accesses).sum();
    let gets: u64 = counted.map(|window| window.gets).sum();
    let share = |count: u64| format!("{:.4}", count as f64 / accesses.max(1) as f64);
    let policies =
        replay.policies.iter().map(|of| format!("{} {}", of.policy, share(of.misses.iter().sum())));
    let held: u64 = held.iter().sum();
    vec![
        format!(
            "for each of {accesses} gets: {} GETs; misses of the policies with the same bytes: {}",
            share(gets),
            policies.collect::<Vec<_>>().join(", ")
        ),
        format!(
            "the store has {} blocks of {:.0} bytes in memory; ours held {:.1} MiB of data, which are {:.0} blocks to the policies",
            layout.blocks,
            layout.memory_bytes,
            held as f64 / f64::from(1 << 20),
            held as f64 / entry_bytes.max(1.0)
        ),
    ]
}

fn locked(seen: &Mutex<Vec<u32>>) -> std::sync::MutexGuard<'_, Vec<u32>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An engine whose gets are written down.
struct Traced<'b> {
    ours: OpenEngine<'b>,
    trace: Trace,
}

impl Lanes for Traced<'_> {
    fn threads(&self) -> u64 {
        self.ours.threads()
    }

    fn start(&self, plan: &Arc<Plan>, seed: u64, outcomes: Sender<Outcome>) -> Result<(), Failure> {
        for shard in 0..self.ours.opened.shards {
            let trace = Arc::clone(&self.trace);
            let target = move |inner| TracedTarget { inner, shard, trace };
            start_on_shard(&self.ours.opened.client, shard, plan, seed, &outcomes, target);
        }
        Ok(())
    }

    fn counters(&self) -> Option<Counters> {
        self.ours.counters()
    }

    fn trouble(&self) -> Option<String> {
        self.ours.trouble()
    }
}

/// Writes down the number of each key that is read.
#[derive(Clone)]
struct TracedTarget<T> {
    inner: T,
    shard: usize,
    trace: Trace,
}

impl<T: Target<Value = Bytes>> Target for TracedTarget<T> {
    const OWNS_ALL: bool = T::OWNS_ALL;
    type Value = Bytes;

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        if let (Some(number), Some(seen)) = (number_of(key), self.trace.get(self.shard)) {
            // Keys are fewer than four thousand million: the layout has a place for each.
            locked(seen).push(u32::try_from(number).unwrap_or(u32::MAX));
        }
        self.inner.get(key).await
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        self.inner.put(key, value).await
    }

    async fn delete(&self, key: &[u8]) -> Result<(), TargetError> {
        self.inner.delete(key).await
    }

    fn owns(&self, key: &[u8]) -> bool {
        self.inner.owns(key)
    }
}
