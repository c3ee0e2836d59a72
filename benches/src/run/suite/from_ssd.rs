//! Rows `get-ssd` and `get-ssd-alone`: gets that the SSD tier answers, beside fio on the same disk.
//!
//! fio reads as many bytes a read as ours did on the mean, in whole sectors, in as many jobs as there are shards, each as deep. Before
//! every round both files are read through past the page cache, as old data is slow on many virtual disks.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use aquifer_remote::shape::LatencyProfile;

use super::super::arm::{Arm as Lanes, Counters, Outcome};
use super::super::ours::{OpenEngine, start_on_shard};
use super::super::stream::Plan;
use super::super::watch::{self, Taken};
use super::stage::{Stage, bare_round, beside, complete, ours, read_all, set};
use super::telling::told;
use crate::cli::cache_row::RowName;
use crate::device::{DiskProbe, Reads, Sample};
use crate::failure::Failure;
use crate::histogram::LatencySummary;
use crate::load::workload::Workload;
use crate::measure::machine::Busy;
use crate::measure::spread::{Spread, Times};
use crate::result::{Goal, Round, Row, Tier, quotient};
use crate::warm::read_through;

/// Gets that waited for the SSD, a second; of fio, its reads.
const PER_S: &str = "ssd_gets_per_s";
/// Median latency of those; of fio, of its reads.
const P50: &str = "ssd_p50_us";
/// Reads of the device for each get, those that memory answered included.
const READS_A_GET: &str = "ssd_reads_per_operation";
/// One read a get, and what filters that let a key pass in vain add: each sorted run's errs once in 256 times.
const READS_A_GET_MAX: f64 = 1.05;
const OURS: &str = "aquifer";

/// Measures one of the rows, or both.
pub(super) fn measure(
    stage: &mut Stage<'_>,
    deep: bool,
    alone: bool,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let setup = stage.setup(stage.memory_bytes(), stage.everything_bytes(), LatencyProfile::None);
    stage.step(RowName::GetSsd, "opening, and reading all keys twice");
    stage.open(setup)?;
    let opened = stage.opened()?;
    // What the tier's writer had no room for the first time is taken the second time.
    read_all(opened)?;
    read_all(opened)?;
    let held = opened.stats()?.sum(|shard| shard.cache.ssd.tier.bytes());
    let probe = DiskProbe::new(stage.session.bed.folder(), held)?;
    let workload = Workload::named("readrandom").map_err(Failure::Usage)?;
    for (name, in_flight) in [(RowName::GetSsd, stage.spec.args.in_flight), (RowName::GetSsdAlone, 1)] {
        if (name == RowName::GetSsd && !deep) || (name == RowName::GetSsdAlone && !alone) {
            continue;
        }
        let mut row = SsdRow { stage, probe: &probe, workload: &workload, name, in_flight };
        let row = row.measure()?;
        rows.push(told(row));
    }
    drop(probe);
    stage.close()
}

struct SsdRow<'r, 's> {
    stage: &'r mut Stage<'s>,
    probe: &'r DiskProbe,
    workload: &'r Workload,
    name: RowName,
    in_flight: u32,
}

impl SsdRow<'_, '_> {
    fn is_alone(&self) -> bool {
        self.name == RowName::GetSsdAlone
    }

    fn measure(&mut self) -> Result<Row, Failure> {
        self.stage.step(self.name, "warming up");
        // What memory keeps of uniform gets settles, and the length of a read shows.
        let (first, _) = self.gets(0, self.stage.seconds())?;
        let ssd = first.counters.map(|counters| counters.ssd).unwrap_or_default();
        let mean = quotient(ssd.read_bytes as f64, ssd.reads as f64).unwrap_or(4096.0);
        let shards = u32::try_from(self.stage.opened()?.shards).unwrap_or(1);
        let jobs = if self.is_alone() { 1 } else { shards };
        let reads = Reads { bytes: Reads::whole_sectors(mean), depth: self.in_flight, jobs };
        let through = self.probe.through();
        let fio = format!("{} of {} bytes", through.split(['-', ' ']).next().unwrap_or("disk"), reads.bytes);
        let setup = self.stage.opened()?.setup;
        let mut arms = vec![ours(OURS, setup), beside(&fio, &through)];
        for number in self.stage.rounds() {
            self.stage.step(self.name, &format!("round {number} of {}", self.stage.spec.args.rounds));
            read_through(&self.stage.session.bed.tier_folder())?;
            self.probe.read_through()?;
            for turn in 0..2 {
                let index = (number as usize + turn) % 2;
                let round =
                    if index == 0 { self.our_round(number)? } else { self.disk_round(number, reads)? };
                if let Some(arm) = arms.get_mut(index) {
                    arm.rounds.push(round);
                }
            }
        }
        let goals = if self.is_alone() {
            vec![Goal::at_most(P50, &fio, 1.4)]
        } else {
            vec![Goal::at_least(PER_S, &fio, 0.85), Goal::itself_at_most(READS_A_GET, READS_A_GET_MAX)]
        };
        let notes = self.notes(arms.first(), reads, mean);
        let row = self.stage.row(self.name, self.workload, self.in_flight);
        Ok(complete(Row { tier: Some(Tier::Ssd), ..row }, arms, goals, notes))
    }

    /// Our gets for a time, on all shards or, alone, on one.
    fn gets(&mut self, number: u32, warm_up: Duration) -> Result<(Taken, Arc<Plan>), Failure> {
        let plan = self.stage.plan(self.workload, self.in_flight, warm_up, self.stage.seconds());
        let is_alone = self.is_alone();
        let taken = self.stage.on(
            None,
            &format!("{} {number}", self.name),
            &plan,
            number,
            |ours, plan, seed, ticker| match is_alone {
                true => watch::measure(&OneShard(ours), plan, seed, ticker),
                false => watch::measure(&ours, plan, seed, ticker),
            },
        )?;
        Ok((taken, plan))
    }

    fn our_round(&mut self, number: u32) -> Result<Round, Failure> {
        let (taken, plan) = self.gets(number, self.stage.spec.args.warmup)?;
        let mut round = self.stage.round(&format!("{} {OURS}", self.name), number, &taken, &plan)?;
        let counters = taken.counters.unwrap_or_default();
        let waited = counters.reads_waited as f64;
        let share = quotient(waited, waited + counters.reads_immediate as f64).unwrap_or(0.0);
        set(&mut round, PER_S, waited / taken.seconds);
        // The slowest share waited: half of them took less than this.
        if let Some(latencies) = taken.meter.response().histogram().filter(|_| share > 0.0) {
            set(&mut round, P50, latencies.value_at_quantile(1.0 - share / 2.0) as f64 / 1e3);
        }
        let mean = mean_read(&round);
        set(&mut round, "read_mean_bytes", mean);
        Ok(round)
    }

    fn disk_round(&self, number: u32, reads: Reads) -> Result<Round, Failure> {
        let (busy, began) = (Busy::begin(), aquifer_io::unix_time_ms());
        let sample = self.probe.measure(reads, Times::new(self.stage.seconds()))?;
        Ok(disk_round(bare_round(number, &busy, began), sample, self.stage.seconds()))
    }

    fn notes(&self, ours: Option<&crate::result::Arm>, reads: Reads, mean: f64) -> Vec<String> {
        let mut notes = vec![format!(
            "our reads had {mean:.0} bytes on the mean; beside them {} read {} bytes, {} in flight of each of {} jobs, \
             on a file of its own that was read through before, as the tier's was",
            self.probe.through(),
            reads.bytes,
            reads.depth,
            reads.jobs
        )];
        if !self.probe.is_direct() {
            notes
                .push("this file system has no direct I/O: the ceiling is that of the page cache".to_owned());
        }
        let rounds = || ours.into_iter().flat_map(|arm| &arm.rounds);
        let hits = |of: fn(&crate::result::Hits) -> f64| {
            Spread::of(rounds().filter_map(|round| round.hits.as_ref().map(of)))
                .map_or(0.0, |spread| spread.median)
        };
        notes.push(format!(
            "answered from memory {:.1} %, from the SSD {:.1} %, from the DFS {:.2} %",
            hits(|hits| hits.memory) * 100.0,
            hits(|hits| hits.ssd) * 100.0,
            hits(|hits| hits.remote) * 100.0
        ));
        notes
    }
}

fn mean_read(round: &Round) -> f64 {
    let ssd = round.ssd.unwrap_or_default();
    quotient(ssd.read_bytes as f64, ssd.reads as f64).unwrap_or(0.0)
}

/// What the disk alone gave, as a round.
fn disk_round(round: Round, sample: Sample, seconds: Duration) -> Round {
    let latency = LatencySummary {
        count: sample.operations,
        p50_us: sample.p50_us,
        p99_us: sample.p99_us,
        p99_9_us: sample.p99_9_us,
        ..LatencySummary::default()
    };
    let mut round = Round {
        seconds: seconds.as_secs_f64(),
        operations: sample.operations,
        ops_per_s: sample.iops,
        latency,
        cpu_us_per_operation: Some(sample.cpu_us_per_operation),
        ..round
    };
    set(&mut round, PER_S, sample.iops);
    set(&mut round, P50, sample.p50_us);
    round
}

/// The first shard of an engine alone.
struct OneShard<'b>(OpenEngine<'b>);

impl Lanes for OneShard<'_> {
    fn threads(&self) -> u64 {
        1
    }

    fn start(&self, plan: &Arc<Plan>, seed: u64, outcomes: Sender<Outcome>) -> Result<(), Failure> {
        start_on_shard(&self.0.opened.client, 0, plan, seed, &outcomes, |target| target);
        Ok(())
    }

    fn counters(&self) -> Option<Counters> {
        self.0.counters()
    }

    fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }
}
