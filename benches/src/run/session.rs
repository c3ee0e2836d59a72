//! A run: the store set up and loaded, workloads measured one after the other, each round's numbers put where they are not lost.
//!
//! ```text
//! plain:   open ─> load ─> settle ─> for each workload: rounds
//! phases:  load ─> settle ─> for each phase: open as it asks ─> warm ─> rounds ─> ceiling      (phases.rs)
//! ```
//! What a workload inserts or deletes is gone with the next opening, since nothing of it was checkpointed: workloads do not disturb each
//! other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::arm::{Arm, Counters, OnThreads};
use super::bed::{Setup, TestBed};
use super::live::Live;
use super::numbers::{self, Frame, PhaseLatencies, rate_note};
use super::ours::OpenEngine;
use super::room;
use super::spec::Spec;
use super::stream::Plan;
use super::target::{Nothing, Owns};
use super::ticker::{Ticker, time};
use super::watch::{self, Taken};
use crate::cli::{From, Rate};
use crate::failure::Failure;
use crate::interrupt;
use crate::load::distribution::Distribution;
use crate::load::record::{VALUE_BYTES_MIN, write_value};
use crate::load::workload::{Load, Workload};
use crate::numbers::count;
use crate::result::{Phase, Recording, Round, RunResult, ToolCost, quotient};

/// Longest look at what the tool itself costs.
const TOOL_TIME_MAX: Duration = Duration::from_millis(500);

/// See the module.
pub(crate) struct Session<'s> {
    pub(super) spec: &'s Spec,
    pub(super) bed: TestBed<'s>,
    pub(super) ticker: Ticker,
    pub(super) recordings: Vec<Recording>,
    /// Keys that the store has.
    pub(super) keys: u64,
    /// Some of them may be gone.
    pub(super) gone: bool,
    loaded: bool,
    /// Latencies of each second are wanted.
    keeps_intervals: bool,
}

impl<'s> Session<'s> {
    /// Folders made, the store of the user looked at.
    pub(crate) fn new(spec: &'s Spec, keeps_intervals: bool) -> Result<Self, Failure> {
        let bed = TestBed::new(spec)?;
        bed.make_contact()?;
        room::check(bed.folder(), spec.room_bytes())?;
        Ok(Self {
            bed,
            ticker: Ticker::new(spec.args.quiet),
            recordings: Vec::new(),
            keys: spec.keys,
            gone: false,
            loaded: false,
            keeps_intervals,
            spec,
        })
    }

    /// Measures everything, and adds each phase to the result as soon as it has a round.
    pub(crate) fn run(&mut self, result: &mut RunResult) -> Result<(), Failure> {
        let outcome = if self.spec.args.phases.is_empty() { self.plain(result) } else { self.phases(result) };
        self.ticker.clear();
        outcome?;
        self.bed.close()
    }

    fn plain(&mut self, result: &mut RunResult) -> Result<(), Failure> {
        for workload in &self.spec.workloads {
            let setup = self.plain_setup();
            if workload.load == Load::Everything {
                self.prepare(setup)?;
            }
            let opened = self.bed.setup();
            let mut phase = self.begin_phase(result, &workload.name, workload, opened.unwrap_or(setup));
            let outcome = if self.spec.args.rate_sweep && !workload.fills {
                self.sweep(workload, &mut phase)
            } else {
                self.rounds(workload, &mut phase)
            };
            if self.gone {
                // The next workload begins with all keys again.
                self.bed.close()?;
            }
            keep_phase(result, phase, outcome)?;
        }
        Ok(())
    }

    pub(super) fn plain_setup(&self) -> Setup {
        Setup {
            shards: self.spec.args.shards,
            memory_bytes: self.spec.memory_bytes(),
            disk_bytes: self.spec.disk_bytes(),
            profile: self.spec.args.profile.first().copied().unwrap_or_default(),
        }
    }

    /// An engine open with every key, whatever was done before.
    pub(super) fn prepare(&mut self, setup: Setup) -> Result<(), Failure> {
        if !self.loaded {
            self.load(setup)?;
        }
        if self.bed.setup() != Some(setup) {
            self.bed.open(setup)?;
        }
        self.keys = self.spec.keys;
        self.gone = false;
        Ok(())
    }

    /// Fills the store, or takes one that is kept.
    fn load(&mut self, setup: Setup) -> Result<(), Failure> {
        if self.spec.args.reuse.is_none() {
            let fill = Workload::named("fillrandom").map_err(Failure::Usage)?;
            self.bed.open(Setup { profile: aquifer_remote::shape::LatencyProfile::None, ..setup })?;
            self.ticker.begin("load");
            self.ticker.step("load", &format!("{} keys", count(self.spec.keys)));
            let plan = self.plan(&fill, Duration::ZERO, None);
            let taken = self.measure(&plan, self.spec.seed)?;
            let per_s = taken.meter.operations as f64 / taken.seconds;
            self.ticker.step("", &format!("{} operations/s; now it settles", count(per_s.round())));
            self.settle()?;
            // What was merged since the first checkpoint is in no manifest before the second: whoever opens the store would merge it again.
            self.settle()?;
            if self.spec.args.keep.is_some() {
                self.bed.close()?;
                self.bed.keep()?;
            }
        }
        self.loaded = true;
        Ok(())
    }

    pub(super) fn settle(&self) -> Result<(), Failure> {
        self.bed.opened()?.settle(self.bed.folder())
    }

    /// All rounds of a workload, each into the phase.
    fn rounds(&mut self, workload: &Workload, phase: &mut Phase) -> Result<(), Failure> {
        let mut gathered = PhaseLatencies::new(self.interval(workload).is_some());
        let mut outcome = Ok(());
        for index in 1..=self.spec.args.rounds {
            outcome = self.one_round(workload, phase, &mut gathered, index);
            if outcome.is_err() {
                break;
            }
        }
        self.end_phase(phase, gathered);
        outcome
    }

    pub(super) fn end_phase(&mut self, phase: &mut Phase, mut gathered: PhaseLatencies) {
        phase.curve = gathered.curve();
        self.recordings.append(&mut gathered.recordings);
    }

    fn one_round(
        &mut self,
        workload: &Workload,
        phase: &mut Phase,
        gathered: &mut PhaseLatencies,
        index: u32,
    ) -> Result<(), Failure> {
        if workload.fills {
            self.bed.fresh_store()?;
            self.bed.open(self.plain_setup())?;
            self.keys = self.spec.keys;
            self.gone = false;
        }
        if phase.tool.is_none() {
            phase.tool = Some(self.tool_cost(workload)?);
        }
        let before = self.ours()?.counters();
        let (mut round, taken) = self.round(workload, phase, gathered, index)?;
        if workload.fills && !taken.cut_short {
            self.loaded = true;
        }
        if workload.settles() && !taken.cut_short && self.interval(workload).is_none() {
            self.ticker.step("settle", &workload.name);
            let settled = self.settle();
            self.add_settled(&mut round, &taken, before);
            phase.rounds.push(round);
            return settled;
        }
        let whole = !taken.cut_short;
        if whole || phase.rounds.is_empty() {
            phase.rounds.push(round);
        }
        if whole { Ok(()) } else { Err(Failure::Interrupted) }
    }

    /// Measures one round, with what is to be known of it beside the numbers.
    pub(super) fn round(
        &mut self,
        workload: &Workload,
        phase: &mut Phase,
        gathered: &mut PhaseLatencies,
        index: u32,
    ) -> Result<(Round, Taken), Failure> {
        let label = format!("{} {index}/{}", phase.name, self.spec.args.rounds);
        self.ticker.begin(&label);
        let plan = self.plan(workload, self.spec.args.warmup, self.interval(workload));
        let seed = self.spec.seed.wrapping_add(u64::from(index));
        let taken = self.measure(&plan, seed)?;
        self.keys = plan.keys.load(Ordering::Relaxed);
        self.gone |= workload.deletes();
        let round = numbers::round(&taken, &plan, self.frame(index, self.offered(workload))?);
        gathered.add(&phase.name, index, &taken, &plan);
        self.say_round(&label, &round);
        if let Some(note) = rate_note(&round) {
            self.ticker.step("", &note);
            phase.notes.push(note);
        }
        if taken.cut_short {
            let asked = plan.measured.as_secs_f64();
            phase.notes.push(format!("round {index} was ended after {:.1} s of {asked} s", taken.seconds));
        }
        Ok((round, taken))
    }

    pub(super) fn say_round(&self, label: &str, round: &Round) {
        let (p50, p99) = (time(round.latency.p50_us), time(round.latency.p99_us));
        let wrong = if round.answers_wrong == 0 {
            String::new()
        } else {
            format!("; {} ANSWERS WERE WRONG", round.answers_wrong)
        };
        let rate = count(round.ops_per_s.round());
        self.ticker.step("round", &format!("{label}: {rate} ops/s, p50 {p50}, p99 {p99}{wrong}"));
    }

    /// What it came to with everything written down and merged.
    fn add_settled(&self, round: &mut Round, taken: &Taken, before: Option<Counters>) {
        let Ok(ours) = self.ours() else { return };
        let began = taken.began_unix_ms;
        let settled_s = aquifer_io::unix_time_ms().saturating_sub(began) as f64 / 1e3;
        // The clock on the wall serves for a number that is shown, as everywhere else.
        let mut set = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                round.values.insert(name.to_owned(), value);
            }
        };
        set("settled_s", Some(settled_s));
        set("settled_ops_per_s", quotient(taken.meter.operations as f64, settled_s));
        let moved = before.and_then(|before| Some(ours.counters()?.since(&before)));
        let Some(moved) = moved else { return };
        let written = taken.meter.written_bytes as f64;
        set("settled_ssd_written_bytes", Some(moved.ssd.written_bytes as f64));
        set("settled_dfs_out_bytes", Some(moved.dfs.out_bytes as f64));
        // What was written in the round itself says little: most of it is still in memory then.
        round.amplification.write = quotient((moved.ssd.written_bytes + moved.dfs.out_bytes) as f64, written);
        round.amplification.space = quotient(moved.stored_bytes as f64, self.spec.data_bytes() as f64);
    }

    /// A phase with nothing measured yet.
    pub(super) fn begin_phase(
        &self,
        result: &RunResult,
        name: &str,
        workload: &Workload,
        setup: Setup,
    ) -> Phase {
        let spec = self.spec;
        let same = |phase: &&Phase| phase.name == name || phase.name.starts_with(&format!("{name} #"));
        let number = result.phases.iter().filter(same).count() + 1;
        let name = if number == 1 { name.to_owned() } else { format!("{name} #{number}") };
        let shards = self.bed.opened().map_or(spec.shards, |opened| opened.shards);
        let settings = [
            ("memory_bytes", serde_json::Value::from(setup.memory_bytes)),
            ("disk_bytes", setup.disk_bytes.into()),
            ("profile", setup.profile.to_string().into()),
            ("shards", shards.into()),
        ];
        Phase {
            name,
            what: workload.what.clone(),
            workload: crate::result::Workload {
                name: workload.name.clone(),
                operations: workload.mix.to_string(),
                distribution: workload.distribution.to_string(),
                keys: spec.keys,
                key_bytes: spec.key_bytes.into(),
                value_bytes: spec.value_bytes.to_string(),
                from: spec.args.from.name().to_owned(),
                threads: spec.threads(shards),
                in_flight: spec.args.in_flight.into(),
                batch: if workload.batches() { spec.args.batch.into() } else { 1 },
            },
            settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Phase::default()
        }
    }

    /// The open engine as an arm.
    pub(super) fn ours(&self) -> Result<OpenEngine<'_>, Failure> {
        let opened = self.bed.opened()?;
        let threads = self.spec.threads(opened.shards);
        Ok(OpenEngine { opened, from: self.spec.args.from, threads, folder: self.bed.folder() })
    }

    pub(super) fn measure(&mut self, plan: &Arc<Plan>, seed: u64) -> Result<Taken, Failure> {
        let opened = self.bed.opened()?;
        let threads = self.spec.threads(opened.shards);
        let ours = OpenEngine { opened, from: self.spec.args.from, threads, folder: self.bed.folder() };
        let taken = watch::measure(&ours, plan, seed, &mut self.ticker);
        self.ticker.clear();
        taken
    }

    pub(super) fn frame(&self, round: u32, offered: Option<f64>) -> Result<Frame, Failure> {
        let opened = self.bed.opened()?;
        let cores_all = aquifer_io::cores_available().len().max(1);
        let threads = usize::try_from(self.spec.threads(opened.shards)).unwrap_or(usize::MAX);
        Ok(Frame {
            round,
            cores: threads.max(opened.shards).min(cores_all),
            cores_all,
            offered_ops_per_s: offered,
            data_bytes: self.spec.data_bytes(),
            machine_usd_per_hour: self.spec.args.price_machine,
        })
    }

    fn offered(&self, workload: &Workload) -> Option<f64> {
        match self.spec.args.rate {
            // A workload that fills is no measurement at a rate.
            Rate::PerSecond(rate) if !workload.fills => Some(rate),
            _ => None,
        }
    }

    /// Between two operations of one thread, in an open loop.
    pub(super) fn interval(&self, workload: &Workload) -> Option<Duration> {
        let threads = self.bed.opened().map_or(1, |opened| self.spec.threads(opened.shards));
        self.offered(workload).map(|rate| Duration::from_secs_f64(threads as f64 / rate))
    }

    pub(super) fn plan(
        &self,
        workload: &Workload,
        warm_up: Duration,
        interval: Option<Duration>,
    ) -> Arc<Plan> {
        let args = &self.spec.args;
        Arc::new(Plan {
            workload: workload.clone(),
            keys: AtomicU64::new(self.keys),
            filled: AtomicU64::new(0),
            keys_may_be_gone: self.gone || workload.deletes() || workload.inserts(),
            key_bytes: self.spec.key_bytes.into(),
            value_bytes: self.spec.value_bytes,
            in_flight: usize::try_from(args.in_flight).unwrap_or(usize::MAX),
            batch: usize::try_from(args.batch).unwrap_or(usize::MAX),
            interval,
            warm_up: if workload.fills { Duration::ZERO } else { warm_up },
            measured: args.seconds,
            live: Arc::new(Live::new(self.keeps_intervals)),
        })
    }

    /// Processor time of this tool for one operation: the same lanes on a store that does nothing.
    pub(super) fn tool_cost(&self, workload: &Workload) -> Result<ToolCost, Failure> {
        let opened = self.bed.opened()?;
        let timed = Workload { fills: false, distribution: not_sequential(workload), ..workload.clone() };
        let mut plan = self.plan(&timed, Duration::from_millis(50), None);
        if let Some(plan) = Arc::get_mut(&mut plan) {
            plan.measured = TOOL_TIME_MAX.min(self.spec.args.seconds);
        }
        let mut value = Vec::new();
        let length = self.spec.value_bytes.mean_bytes().max(VALUE_BYTES_MIN as u64);
        write_value(&mut value, 0, 0, usize::try_from(length).unwrap_or(VALUE_BYTES_MIN));
        let value = Bytes::from(value);
        let (client, from) = (opened.client.clone(), self.spec.args.from);
        let target = move |_| {
            let client = client.clone();
            // On a shard's thread the lanes look for keys of that shard, which is the tool's work too.
            let owns = (from == From::Shard)
                .then(|| std::rc::Rc::new(move |key: &[u8]| client.shard_of(key) == 0) as Owns);
            Nothing::new(value.clone(), owns)
        };
        let taken =
            watch::measure(&OnThreads { threads: 1, target }, &plan, self.spec.seed, &mut Ticker::new(true))?;
        let per_operation = quotient(taken.cpu.as_secs_f64() * 1e6, taken.meter.operations as f64);
        Ok(ToolCost { us_per_operation: per_operation.unwrap_or(0.0), share: None })
    }
}

/// Keeps a phase that has a round, whole or not.
pub(super) fn keep_phase(
    result: &mut RunResult,
    phase: Phase,
    outcome: Result<(), Failure>,
) -> Result<(), Failure> {
    let swept = phase.sweep.as_ref().is_some_and(|sweep| !sweep.steps.is_empty());
    if !phase.rounds.is_empty() || swept {
        result.phases.push(phase);
    }
    outcome?;
    interrupt::check()
}

/// What fills takes its keys from a counter; on a store that does nothing they come from anywhere.
fn not_sequential(workload: &Workload) -> Distribution {
    if workload.fills { Distribution::Uniform } else { workload.distribution }
}
