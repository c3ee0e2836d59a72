//! Phases: the same workloads with the data in memory, on the SSD, on the DFS or here and there; and what a job does to its state:
//! checkpoint, restore, rescale. Each with its ceiling.

use std::time::Duration;

use aquifer_remote::shape::LatencyProfile;

use super::bed::Setup;
use super::ceiling::requests::Plain;
use super::ceiling::{of_disk, of_memory};
use super::checkpoints;
use super::numbers::PhaseLatencies;
use super::patience::wait;
use super::session::{Session, keep_phase};
use crate::cli::phase_name::PhaseName;
use crate::failure::Failure;
use crate::load::distribution::Distribution;
use crate::load::mix::Kind;
use crate::load::workload::Workload;
use crate::measure::spread::Spread;
use crate::result::{Ceiling, Curve, Phase, Round, RunResult, Tier};

const MIB: u64 = 1 << 20;
/// Of the data in memory, where no flag says so.
const MEMORY_PERCENT: f64 = 10.0;
/// Of the data on the SSD in the mixed phase, where no flag says so.
const DISK_PERCENT: f64 = 50.0;
/// Least memory of a shard.
const SHARD_MEMORY_BYTES_MIN: u64 = 8 * MIB;
/// Time of one ceiling.
const CEILING_TIME_MAX: Duration = Duration::from_secs(2);
/// Keys of the map that is memory's ceiling.
const MAP_KEYS_MAX: u64 = 1_000_000;

impl Session<'_> {
    /// All phases that were asked for.
    pub(super) fn phases(&mut self, result: &mut RunResult) -> Result<(), Failure> {
        for name in PhaseName::expand(&self.spec.args.phases) {
            for profile in self.profiles(name) {
                let workloads = self.workloads_of(name)?;
                for workload in &workloads {
                    self.phase(result, name, profile, workload)?;
                }
            }
        }
        Ok(())
    }

    /// Latencies of the DFS under which a phase is measured.
    fn profiles(&self, name: PhaseName) -> Vec<LatencyProfile> {
        match self.spec.args.profile.as_slice() {
            _ if !name.is_remote() => vec![LatencyProfile::None],
            [] => vec![LatencyProfile::Hdfs],
            asked => asked.to_vec(),
        }
    }

    /// What is done in a phase: the workloads asked for, as far as they fit to it.
    fn workloads_of(&self, name: PhaseName) -> Result<Vec<Workload>, Failure> {
        let asked = self.spec.workloads.iter().filter(|workload| !workload.fills);
        let named = |name: &str| Workload::named(name).map_err(Failure::Usage);
        Ok(match name {
            PhaseName::Checkpoint => {
                let writing: Vec<Workload> = asked.filter(|workload| workload.settles()).cloned().collect();
                if writing.is_empty() { vec![named("updaterandom")?] } else { writing }
            }
            PhaseName::Restore | PhaseName::Rescale => vec![named("readrandom")?],
            _ => {
                let fitting: Vec<Workload> = asked.cloned().collect();
                if fitting.is_empty() { vec![named("readrandom")?] } else { fitting }
            }
        })
    }

    /// How the engine is opened for a phase.
    fn setup_of(&self, name: PhaseName, profile: LatencyProfile) -> Setup {
        let (spec, args) = (self.spec, &self.spec.args);
        let floor = SHARD_MEMORY_BYTES_MIN.saturating_mul(spec.shards as u64);
        let share = spec.percent_of_data(args.memory_percent.unwrap_or(MEMORY_PERCENT)).max(floor);
        let disk_share = spec.percent_of_data(args.disk_percent.unwrap_or(DISK_PERCENT)).max(MIB);
        let everything = spec.data_bytes().saturating_mul(3).saturating_add(64 * MIB);
        let (memory_bytes, disk_bytes) = match name {
            PhaseName::Memory => (everything.max(floor), 0),
            PhaseName::Ssd => (share, everything),
            PhaseName::Mixed => (share, disk_share),
            PhaseName::Remote => (share, 0),
            _ => (spec.memory_bytes().max(floor), spec.disk_bytes()),
        };
        let shards = match name {
            PhaseName::Rescale => spec.shards * 2,
            _ => args.shards,
        };
        Setup { shards, memory_bytes: memory_bytes.max(floor), disk_bytes, profile }
    }

    fn phase(
        &mut self,
        result: &mut RunResult,
        name: PhaseName,
        profile: LatencyProfile,
        workload: &Workload,
    ) -> Result<(), Failure> {
        let setup = self.setup_of(name, profile);
        self.prepare(setup)?;
        let label = match name.is_remote() {
            true => format!("{} {profile}: {}", name.name(), workload.name),
            false => format!("{}: {}", name.name(), workload.name),
        };
        let mut phase = self.begin_phase(result, &label, workload, setup);
        phase.tier = match name {
            PhaseName::Memory => Some(Tier::Memory),
            PhaseName::Ssd => Some(Tier::Ssd),
            PhaseName::Remote => Some(Tier::Remote),
            PhaseName::Mixed => Some(Tier::Mixed),
            _ => None,
        };
        phase.tool = Some(self.tool_cost(workload)?);
        let outcome = match name {
            PhaseName::Checkpoint => self.checkpoint_rounds(workload, &mut phase),
            PhaseName::Restore | PhaseName::Rescale => self.open_rounds(workload, &mut phase, setup),
            _ => self.tier_rounds(name, workload, &mut phase),
        };
        let outcome = outcome.and_then(|()| self.add_ceilings(name, workload, &mut phase));
        if self.gone || workload.settles() {
            self.bed.close()?;
        }
        keep_phase(result, phase, outcome)
    }

    fn tier_rounds(
        &mut self,
        name: PhaseName,
        workload: &Workload,
        phase: &mut Phase,
    ) -> Result<(), Failure> {
        self.touch(&phase.name)?;
        let mut gathered = PhaseLatencies::new(self.interval(workload).is_some());
        let mut outcome = Ok(());
        for index in 1..=self.spec.args.rounds {
            if name == PhaseName::Ssd {
                wait(self.bed.opened()?.client.forget_memory())?
                    .map_err(Failure::engine("cannot empty the memory tier"))?;
            }
            outcome = self.round(workload, phase, &mut gathered, index).and_then(|(round, taken)| {
                let whole = !taken.cut_short;
                if whole || phase.rounds.is_empty() {
                    phase.rounds.push(round);
                }
                if whole { Ok(()) } else { Err(Failure::Interrupted) }
            });
            if outcome.is_err() {
                break;
            }
        }
        self.end_phase(phase, gathered);
        outcome
    }

    /// Reads every key once, so that each tier has what it can hold.
    fn touch(&mut self, label: &str) -> Result<(), Failure> {
        self.ticker.begin(&format!("{label}: reading all keys once"));
        let all = Workload {
            fills: true,
            distribution: Distribution::Sequential,
            ..Workload::named("readrandom").map_err(Failure::Usage)?
        };
        let plan = self.plan(&all, Duration::ZERO, None);
        let taken = self.measure(&plan, self.spec.seed)?;
        if taken.cut_short { Err(Failure::Interrupted) } else { Ok(()) }
    }

    fn checkpoint_rounds(&mut self, workload: &Workload, phase: &mut Phase) -> Result<(), Failure> {
        phase.what = format!("{}, and two checkpoints while it goes on", workload.what);
        let mut gathered = PhaseLatencies::new(self.interval(workload).is_some());
        let mut outcome = Ok(());
        for index in 1..=self.spec.args.rounds {
            let client = self.bed.opened()?.client.clone();
            let (warm_up, measured) = (self.spec.args.warmup, self.spec.args.seconds);
            let beside = checkpoints::Beside::start(client, warm_up, measured)?;
            let measured = self.round(workload, phase, &mut gathered, index);
            let taken = beside.finish();
            outcome = measured.and_then(|(mut round, measured)| {
                let checkpoints = taken?;
                checkpoints::add(&mut round, &checkpoints);
                phase.rounds.push(round);
                if measured.cut_short { Err(Failure::Interrupted) } else { Ok(()) }
            });
            if outcome.is_err() {
                break;
            }
        }
        self.end_phase(phase, gathered);
        outcome
    }

    /// Opens the state again and again, on empty caches, and reads.
    fn open_rounds(&mut self, workload: &Workload, phase: &mut Phase, setup: Setup) -> Result<(), Failure> {
        phase.what =
            format!("the state opened by {} shards on empty caches, then {}", setup.shards, workload.what);
        let mut gathered = PhaseLatencies::new(self.interval(workload).is_some());
        let mut outcome = Ok(());
        for index in 1..=self.spec.args.rounds {
            let (open, first) = self.open_to_first_answer(setup, index)?;
            outcome = self.round(workload, phase, &mut gathered, index).and_then(|(mut round, taken)| {
                let ms = |time: Duration| time.as_secs_f64() * 1e3;
                round.values.insert("open_ms".to_owned(), ms(open));
                round.values.insert("first_answer_ms".to_owned(), ms(first));
                phase.rounds.push(round);
                if taken.cut_short { Err(Failure::Interrupted) } else { Ok(()) }
            });
            if outcome.is_err() {
                break;
            }
        }
        self.end_phase(phase, gathered);
        outcome
    }

    /// Time until the engine is open, and until it has answered a read.
    fn open_to_first_answer(&mut self, setup: Setup, index: u32) -> Result<(Duration, Duration), Failure> {
        let number = crate::load::distribution::scatter(u64::from(index), self.spec.keys);
        let mut key = Vec::new();
        let key_bytes = self.spec.key_bytes.into();
        crate::load::record::write_key(&mut key, number, key_bytes, super::lane::PRESENT);
        let opened = self.bed.open(setup)?;
        let began = aquifer_io::now();
        let found = wait(opened.client.get(&key))?.map_err(Failure::engine("the first read failed"))?;
        let answered = opened.open_time + began.elapsed();
        match found.and_then(|value| crate::load::record::version_of(&value, number)) {
            Some(_) => Ok((opened.open_time, answered)),
            None => Err(Failure::WrongAnswers(1)),
        }
    }

    fn add_ceilings(
        &mut self,
        name: PhaseName,
        workload: &Workload,
        phase: &mut Phase,
    ) -> Result<(), Failure> {
        self.ticker.begin(&format!("{}: its ceiling", phase.name));
        let time = CEILING_TIME_MAX.min(self.spec.args.seconds);
        let median = |of: &dyn Fn(&Round) -> Option<f64>| {
            Spread::of(phase.rounds.iter().filter_map(of)).map(|spread| spread.median)
        };
        let ceilings = match name {
            // A hash map has no merges and no order.
            PhaseName::Memory if workload.mix.any(|kind| kind.is_shaped() || kind == Kind::Scan) => {
                Vec::new()
            }
            PhaseName::Memory => {
                self.memory_ceiling(workload, time, median(&|round| Some(round.ops_per_s)))?
            }
            PhaseName::Ssd | PhaseName::Mixed | PhaseName::Remote => {
                let reads = |round: &Round| Some(round.ssd?.reads as f64 / round.seconds);
                let read_bytes = |round: &Round| {
                    let ssd = round.ssd?;
                    Some(ssd.read_bytes as f64 / ssd.reads.max(1) as f64)
                };
                let gets = |round: &Round| Some(round.dfs?.gets as f64 / round.seconds);
                let remote = median(&|round| Some(round.hits?.remote));
                let waited = remote.and_then(|remote| median_of_slowest(&phase.curve, remote));
                // Where none waited, all that can be said is how far below the DFS's own latency it stayed.
                let waited = waited.or_else(|| median(&|round| Some(round.latency.p50_us)));
                let mut ceilings = Vec::new();
                if name != PhaseName::Remote
                    && let (Some(reads), Some(bytes)) = (median(&reads), median(&read_bytes))
                {
                    ceilings.push(self.disk_ceiling(time, reads, bytes)?);
                }
                if name != PhaseName::Ssd
                    && let (Some(gets), Some(waited)) = (median(&gets), waited)
                {
                    ceilings.extend(self.remote_ceilings(time, gets, waited)?);
                }
                ceilings
            }
            PhaseName::Checkpoint => {
                let value = |name: &'static str| median(&|round| round.values.get(name).copied());
                self.checkpoint_ceiling(value("checkpoint_ms"), value("checkpoint_uploaded_bytes"))?
            }
            PhaseName::Restore | PhaseName::Rescale => {
                let first = median(&|round| round.values.get("first_answer_ms").copied());
                self.open_ceiling(time, first)?
            }
            PhaseName::All => Vec::new(),
        };
        phase.ceilings = ceilings;
        Ok(())
    }

    fn memory_ceiling(
        &self,
        workload: &Workload,
        time: Duration,
        reached: Option<f64>,
    ) -> Result<Vec<Ceiling>, Failure> {
        let mut plan = self.plan(workload, Duration::ZERO, None);
        let keys = self.keys.min(MAP_KEYS_MAX);
        if let Some(plan) = std::sync::Arc::get_mut(&mut plan) {
            plan.measured = time;
            plan.keys = keys.into();
        }
        let cores = self.frame(1, None)?.cores as u64;
        let per_s = of_memory(&plan, cores, self.spec.seed)?;
        let keys = crate::numbers::count(keys);
        let what = format!("hash map of {keys} keys in memory, {cores} threads, same lanes, value copied");
        Ok(vec![Ceiling::of_rate(&what, "operations/s", per_s, reached.unwrap_or(0.0))])
    }

    fn disk_ceiling(&self, time: Duration, reads: f64, bytes: f64) -> Result<Ceiling, Failure> {
        let opened = self.bed.opened()?;
        let depth = self.spec.threads(opened.shards).saturating_mul(u64::from(self.spec.args.in_flight));
        let (data, bytes) = (self.spec.data_bytes(), crate::load::rng::whole_part(bytes));
        let (what, per_s) = of_disk(self.bed.folder(), data, bytes, depth, time)?;
        Ok(Ceiling::of_rate(&format!("SSD: {what}"), "reads/s", per_s, reads))
    }

    fn remote_ceilings(&self, time: Duration, gets: f64, waited_us: f64) -> Result<Vec<Ceiling>, Failure> {
        let opened = self.bed.opened()?;
        let depth = self.spec.threads(opened.shards).saturating_mul(u64::from(self.spec.args.in_flight));
        let depth = usize::try_from(depth).unwrap_or(usize::MAX);
        let plain = Plain::new(&opened.stack.foreground)?;
        let (_, alone) = plain.gets(1, time)?;
        let (per_s, _) = plain.gets(depth, time)?;
        plain.remove()?;
        Ok(vec![
            Ceiling::of_latency(
                "DFS: a plain 4 KiB GET, one at a time, beside the median of the reads that waited for the DFS",
                "µs p50",
                alone.p50_us,
                waited_us,
            ),
            Ceiling::of_rate(&format!("DFS: plain 4 KiB GETs, {depth} in flight"), "GETs/s", per_s, gets),
        ])
    }

    fn checkpoint_ceiling(&self, ms: Option<f64>, bytes: Option<f64>) -> Result<Vec<Ceiling>, Failure> {
        let (Some(ms), Some(bytes)) = (ms, bytes) else { return Ok(Vec::new()) };
        let plain = Plain::new(&self.bed.opened()?.stack.foreground)?;
        let (trip, bytes_per_s) = plain.puts()?;
        plain.remove()?;
        let least_ms = bytes / bytes_per_s * 1e3 + 2.0 * trip.as_secs_f64() * 1e3;
        let mib_per_s = bytes_per_s / MIB as f64;
        let what = format!("its bytes at {mib_per_s:.0} MiB/s of a plain PUT, and two small PUTs");
        Ok(vec![Ceiling::of_latency(&what, "ms", least_ms, ms)])
    }

    fn open_ceiling(&self, time: Duration, ms: Option<f64>) -> Result<Vec<Ceiling>, Failure> {
        let Some(ms) = ms else { return Ok(Vec::new()) };
        let plain = Plain::new(&self.bed.opened()?.stack.foreground)?;
        let (_, alone) = plain.gets(1, time)?;
        plain.remove()?;
        let least_ms = 2.0 * alone.p50_us / 1e3;
        Ok(vec![Ceiling::of_latency("two plain GETs, one after the other", "ms", least_ms, ms)])
    }
}

/// The median latency of the slowest share of all operations: of those that waited for the DFS, when so many did.
fn median_of_slowest(curve: &Curve, share: f64) -> Option<f64> {
    let points = if curve.service.is_empty() { &curve.response } else { &curve.service };
    let percentile = 100.0 * (1.0 - share.clamp(0.0, 1.0) / 2.0);
    points.iter().find(|point| point.percentile >= percentile).map(|point| point.us).filter(|_| share > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Latencies;

    #[test]
    fn reads_that_waited_are_told_by_their_share() {
        let mut latencies = Latencies::new();
        latencies.record_many(Duration::from_micros(1), 700);
        latencies.record_many(Duration::from_micros(1_500), 300);
        let curve = Curve { response: latencies.curve(), service: Vec::new() };
        let median = median_of_slowest(&curve, 0.3).unwrap();
        assert!((median / 1_500.0 - 1.0).abs() < 0.01, "{median}");
        assert_eq!(median_of_slowest(&curve, 0.0), None);
    }
}
