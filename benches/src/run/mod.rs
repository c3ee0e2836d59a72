//! The `run` command: workloads by the names that people know, on an engine of its own, each answer checked.
//!
//! ```text
//! bed (DFS, engine) ─> load ─> settle ─> for each workload, rounds of: lanes ─> target ─> meter ─> report
//!                                                                      └─> target that does nothing: the tool's own cost
//! ```

mod bed;
mod distribution;
mod lane;
mod length;
mod meter;
mod mix;
mod record;
mod report;
mod rng;
mod round;
mod target;
mod workload;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::cli::{From, Rate, RunArgs};
use crate::failure::Failure;
use crate::interrupt;
use crate::measure::machine::{Busy, Machine, process_cpu};
use crate::measure::spread::Spread;
use crate::output::{Output, publish};
use crate::progress::Progress;
use crate::resources::resident_memory;
use bed::Bed;
pub(crate) use distribution::{Chooser, Distribution, scatter};
pub(crate) use lane::{Plan, run as lanes};
pub(crate) use length::Length;
pub(crate) use meter::Meter;
use mix::Kind;
pub(crate) use mix::Mix;
pub(crate) use record::{version_of, write_key, write_value};
pub(crate) use rng::{Rng, whole_part};
pub(crate) use round::on_threads;
pub(crate) use target::{Nothing, OnShard, Target, ThroughClient};
pub(crate) use workload::Workload;
use report::{KindLatency, Measured, Report, Round, SCHEMA};
pub(crate) use workload::help;
use workload::Load;

/// Longest look at what the tool itself costs.
const TOOL_TIME_MAX: Duration = Duration::from_millis(500);

/// Runs the command to its end, or to the first Ctrl-C.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    interrupt::watch()?;
    let workloads = workloads(args)?;
    let json = args.json.as_deref().map(Output::new).transpose()?;
    let report = aquifer_io::block_on(async {
        let run = measure(args, &workloads);
        let run = std::pin::pin!(run);
        match futures_util::future::select(run, std::pin::pin!(interrupt::interrupted())).await {
            futures_util::future::Either::Left((report, _)) => report,
            futures_util::future::Either::Right(_) => Err(Failure::Interrupted),
        }
    })?;
    publish(&report, &report::table(&report), json.as_ref())?;
    match report.workloads.iter().map(Measured::mismatches).sum() {
        0 => Ok(()),
        mismatches => Err(Failure::WrongAnswers(mismatches)),
    }
}

fn workloads(args: &RunArgs) -> Result<Vec<Workload>, Failure> {
    let mut chosen = match &args.ops {
        Some(mix) => vec![Workload::custom(mix.clone(), args.distribution.unwrap_or(Distribution::Uniform))],
        None if args.workloads.is_empty() => vec![Workload::named("readrandom").map_err(Failure::Usage)?],
        None => {
            let named = args.workloads.iter().map(|name| Workload::named(name).map_err(Failure::Usage));
            named.collect::<Result<_, _>>()?
        }
    };
    if let Some(distribution) = args.distribution {
        // How a store is filled is in the workload's name.
        chosen
            .iter_mut()
            .filter(|workload| !workload.fills)
            .for_each(|workload| workload.distribution = distribution);
    }
    Ok(chosen)
}

async fn measure(args: &RunArgs, workloads: &[Workload]) -> Result<Report, Failure> {
    let mut progress = Progress::new();
    let machine = Machine::of(&crate::scratch::base());
    let began_unix_ms = aquifer_io::unix_time_ms();
    let bed = Bed::set_up(args).await?;
    let threads = match args.from {
        From::Client => args.threads.map_or(bed.shards as u64, u64::from),
        From::Shard => bed.shards as u64,
    };
    let session = Session { args, bed: &bed, threads };
    let (mut loaded, mut deleted, mut keys) = (false, false, args.keys);
    let mut measured = Vec::new();
    for workload in workloads {
        if workload.load == Load::Everything && !loaded {
            progress.step("load", &format!("{keys} keys"));
            let fill = Workload::named("fillrandom").map_err(Failure::Usage)?;
            session.one(&fill, keys, false, args.seed).await?;
            bed.settle().await?;
            loaded = true;
        }
        let deletes = workload.mix.has(Kind::Delete);
        deleted |= deletes;
        let gone = deleted || workload.inserts();
        let mut rounds = Vec::new();
        for index in 1..=args.rounds {
            progress.step("measure", &format!("{}, round {index} of {}", workload.name, args.rounds));
            let seed = args.seed.wrapping_add(u64::from(index));
            let (round, keys_now) = session.one(workload, keys, gone, seed).await?;
            progress
                .step("", &format!("{:.0} operations/s, p99 {:.1} us", round.per_s, round.latency.p99_us));
            keys = keys_now;
            rounds.push(round);
        }
        if workload.fills {
            bed.settle().await?;
            loaded = true;
        }
        measured.push(Measured {
            workload: workload.name.clone(),
            operations: workload.mix.to_string(),
            distribution: workload.distribution.to_string(),
            per_s: Spread::of(rounds.iter().map(|round| round.per_s)),
            rounds,
        });
    }
    progress.finish();
    let (io, shards) = (bed.backend(), bed.shards);
    bed.close().await?;
    Ok(Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        command: std::env::args().skip(1).collect(),
        began_unix_ms,
        machine,
        io,
        shards,
        keys: args.keys,
        key_bytes: args.key_bytes,
        value_bytes: args.value_bytes.to_string(),
        memory_bytes: args.memory_bytes,
        disk_bytes: args.disk_bytes,
        in_flight: args.in_flight,
        threads,
        workloads: measured,
        notes: if cfg!(debug_assertions) {
            vec!["a debug build: its numbers mean little".into()]
        } else {
            Vec::new()
        },
    })
}

/// What the rounds of a run have in common.
struct Session<'r> {
    args: &'r RunArgs,
    bed: &'r Bed,
    threads: u64,
}

impl Session<'_> {
    /// One measurement; also how many keys there are after it.
    async fn one(
        &self,
        workload: &Workload,
        keys: u64,
        gone: bool,
        seed: u64,
    ) -> Result<(Round, u64), Failure> {
        let args = self.args;
        let tool = self.tool_cost(workload, keys, seed)?;
        let plan = self.plan(workload, keys, gone, args.warmup, args.seconds);
        let before = self.bed.stats().await?;
        let (busy, cpu, began) = (Busy::begin(), process_cpu(), aquifer_io::now());
        let meter = match args.from {
            From::Client => round::through_client(self.bed, &plan, self.threads, seed).await?,
            From::Shard => round::on_shards(self.bed, &plan, seed).await?,
        };
        let (cpu, elapsed) = (process_cpu().saturating_sub(cpu), began.elapsed());
        let after = self.bed.stats().await?;
        let grown = |of: fn(&aquifer::ShardStats) -> u64| after.sum(of).saturating_sub(before.sum(of));
        let all = meter.all().summary();
        let seconds = if workload.fills { elapsed } else { args.seconds }.as_secs_f64();
        // Processor time was taken over the warm-up too, and is shared out over the whole.
        let share = (seconds / elapsed.as_secs_f64()).min(1.0);
        let round = Round {
            seconds,
            operations: all.count,
            per_s: all.count as f64 / seconds,
            latency: all,
            by_kind: by_kind(&meter),
            cpu_us_per_operation: cpu.as_secs_f64() * 1e6 * share / all.count.max(1) as f64,
            tool_us_per_operation: tool,
            resident_bytes: resident_memory().now_bytes,
            reads_waited: grown(|shard| shard.reads_waited),
            disk_reads: rng::whole_part(grown(|shard| shard.io.reads) as f64 * share),
            uploaded_bytes: grown(|shard| shard.flushed_bytes + shard.compacted_bytes),
            mismatches: meter.mismatches,
            found: meter.found,
            by_second: meter.by_second,
            others_cores: busy.others_cores(),
        };
        Ok((round, plan.keys.load(std::sync::atomic::Ordering::Relaxed)))
    }

    /// Processor time of this tool for one operation, in microseconds.
    fn tool_cost(&self, workload: &Workload, keys: u64, seed: u64) -> Result<f64, Failure> {
        let time = TOOL_TIME_MAX.min(self.args.seconds);
        let timed = Workload { fills: false, distribution: not_sequential(workload), ..workload.clone() };
        let mut plan = self.plan(&timed, keys, true, Duration::ZERO, time);
        if let Some(plan) = Arc::get_mut(&mut plan) {
            plan.interval = None;
        }
        let cpu = process_cpu();
        let meter = round::on_nothing(&plan, 1, seed)?;
        let cpu = process_cpu().saturating_sub(cpu);
        Ok(cpu.as_secs_f64() * 1e6 / meter.all().summary().count.max(1) as f64)
    }

    fn plan(
        &self,
        workload: &Workload,
        keys: u64,
        gone: bool,
        warm_up: Duration,
        measured: Duration,
    ) -> Arc<Plan> {
        let args = self.args;
        let interval = match args.rate {
            // A load, or a workload that fills, is no measurement at a rate.
            Rate::PerSecond(rate) if !workload.fills => {
                Some(Duration::from_secs_f64(self.threads as f64 / rate))
            }
            _ => None,
        };
        Arc::new(Plan {
            workload: workload.clone(),
            keys: AtomicU64::new(keys),
            filled: AtomicU64::new(0),
            keys_may_be_gone: gone,
            key_bytes: args.key_bytes.into(),
            value_bytes: args.value_bytes,
            in_flight: usize::try_from(args.in_flight).unwrap_or(usize::MAX),
            interval,
            warm_up: if workload.fills { Duration::ZERO } else { warm_up },
            measured,
        })
    }
}

/// What fills takes its keys from a counter; on a store that does nothing they come from anywhere.
fn not_sequential(workload: &Workload) -> Distribution {
    if workload.fills { Distribution::Uniform } else { workload.distribution }
}

fn by_kind(meter: &Meter) -> Vec<KindLatency> {
    meter.kinds().map(|(kind, latencies)| KindLatency { kind, latency: latencies.summary() }).collect()
}
