//! What the rows share: the loaded store, engines opened on it, lanes on their shards, rows begun.

use std::sync::Arc;
use std::time::Duration;

use aquifer_remote::shape::LatencyProfile;

use super::super::bed::{Opened, Setup, TestBed};
use super::super::numbers;
use super::super::ours::OpenEngine;
use super::super::patience::wait;
use super::super::session::Session;
use super::super::spec::Spec;
use super::super::stream::Plan;
use super::super::ticker::Ticker;
use super::super::watch::{self, Taken};
use crate::cli::From;
use crate::cli::cache_row::RowName;
use crate::failure::Failure;
use crate::interrupt;
use crate::load::workload::Workload;
use crate::measure::machine::{Busy, NOISY_CORES};
use crate::result::{Arm, Goal, Recording, Round, Row, Settings};

const MIB: u64 = 1 << 20;
/// Least memory of a shard.
const SHARD_MEMORY_BYTES_MIN: u64 = 8 * MIB;
/// How often everything is read before the rows: twice as often as the reads of as many runs as writes leave must be to pay for their merge.
const READS_OF_ALL: u32 = 4;
/// Entries of one page of a scan.
const SCAN_ENTRIES: usize = 4096;

/// See the module.
pub(super) struct Stage<'s> {
    pub(super) spec: &'s Spec,
    pub(super) session: Session<'s>,
    pub(super) recordings: Vec<Recording>,
}

impl<'s> Stage<'s> {
    pub(super) fn new(spec: &'s Spec, keeps_intervals: bool) -> Result<Self, Failure> {
        Ok(Self { spec, session: Session::new(spec, keeps_intervals)?, recordings: Vec::new() })
    }

    /// Memory of a share of the data, as engines have it at least.
    fn share_bytes(&self, percent: f64) -> u64 {
        self.spec.percent_of_data(percent).max(SHARD_MEMORY_BYTES_MIN.saturating_mul(self.spec.shards as u64))
    }

    /// A tenth of the data, or what the flag says.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.share_bytes(self.spec.args.memory_percent.unwrap_or(10.0))
    }

    /// More than the data takes anywhere.
    pub(super) fn everything_bytes(&self) -> u64 {
        self.share_bytes(300.0).saturating_add(64 * MIB)
    }

    pub(super) fn setup(&self, memory_bytes: u64, disk_bytes: u64, profile: LatencyProfile) -> Setup {
        Setup { shards: self.spec.args.shards, memory_bytes, disk_bytes, profile }
    }

    /// The store that all rows take: a state in use, not one that was written and never read. What merges reads ask for is done, and in the
    /// manifest: rows open the store, each by itself, and would begin with those merges.
    pub(super) fn load(&mut self) -> Result<(), Failure> {
        let setup = self.setup(self.memory_bytes(), 0, LatencyProfile::None);
        self.session.prepare(setup)?;
        for _ in 0..READS_OF_ALL {
            self.session.ticker.step("load", "read once");
            read_all(self.opened()?)?;
        }
        self.session.settle()?;
        self.session.settle()?;
        self.session.bed.close()
    }

    /// Opens an engine on empty caches.
    pub(super) fn open(&mut self, setup: Setup) -> Result<(), Failure> {
        self.session.bed.open(setup).map(drop)
    }

    pub(super) fn opened(&self) -> Result<&Opened, Failure> {
        self.session.bed.opened()
    }

    pub(super) fn close(&mut self) -> Result<(), Failure> {
        self.session.bed.close()
    }

    pub(super) fn step(&self, name: RowName, what: &str) {
        self.session.ticker.step("suite", &format!("{name}: {what}"));
    }

    /// Lanes that run a workload for a time.
    pub(super) fn plan(
        &self,
        workload: &Workload,
        in_flight: u32,
        warm_up: Duration,
        measured: Duration,
    ) -> Arc<Plan> {
        let mut plan = self.session.plan(workload, warm_up, None);
        if let Some(plan) = Arc::get_mut(&mut plan) {
            plan.in_flight = usize::try_from(in_flight).unwrap_or(usize::MAX);
            plan.measured = measured;
        }
        plan
    }

    /// Runs lanes on all shards of our bed's engine, or of another's. What was cut short is an error: half a round says nothing beside a whole one.
    pub(super) fn gets(
        &mut self,
        other: Option<&TestBed<'_>>,
        label: &str,
        plan: &Arc<Plan>,
        round: u32,
    ) -> Result<Taken, Failure> {
        self.on(other, label, plan, round, |ours, plan, seed, ticker| {
            watch::measure(&ours, plan, seed, ticker)
        })
    }

    /// The same with what is made of the engine.
    pub(super) fn on(
        &mut self,
        other: Option<&TestBed<'_>>,
        label: &str,
        plan: &Arc<Plan>,
        round: u32,
        run: impl FnOnce(OpenEngine<'_>, &Arc<Plan>, u64, &mut Ticker) -> Result<Taken, Failure>,
    ) -> Result<Taken, Failure> {
        let Session { bed, ticker, .. } = &mut self.session;
        ticker.begin(label);
        let bed = other.unwrap_or(bed);
        let opened = bed.opened()?;
        let ours =
            OpenEngine { opened, from: From::Shard, threads: opened.shards as u64, folder: bed.folder() };
        let seed = self.spec.seed.wrapping_add(u64::from(round) << 32);
        let taken = run(ours, plan, seed, ticker)?;
        ticker.clear();
        if taken.cut_short { Err(Failure::Interrupted) } else { Ok(taken) }
    }

    /// The numbers of a round, its latencies kept for those who want them.
    pub(super) fn round(
        &mut self,
        arm: &str,
        number: u32,
        taken: &Taken,
        plan: &Plan,
    ) -> Result<Round, Failure> {
        let mut gathered = numbers::PhaseLatencies::new(false);
        gathered.add(arm, number, taken, plan);
        self.recordings.append(&mut gathered.recordings);
        Ok(numbers::round(taken, plan, self.session.frame(number, None)?))
    }

    /// A row with no arms yet.
    pub(super) fn row(&self, name: RowName, workload: &Workload, in_flight: u32) -> Row {
        let spec = self.spec;
        Row {
            name: name.to_string(),
            what: name.what().to_owned(),
            workload: crate::result::Workload {
                name: workload.name.clone(),
                operations: workload.mix.to_string(),
                distribution: workload.distribution.to_string(),
                keys: spec.keys,
                key_bytes: spec.key_bytes.into(),
                value_bytes: spec.value_bytes.to_string(),
                from: From::Shard.name().to_owned(),
                threads: spec.shards as u64,
                in_flight: in_flight.into(),
                batch: 1,
            },
            ..Row::default()
        }
    }

    /// Time of one measured part of a round.
    pub(super) fn seconds(&self) -> Duration {
        self.spec.args.seconds
    }

    pub(super) fn rounds(&self) -> std::ops::RangeInclusive<u32> {
        1..=self.spec.args.rounds
    }
}

/// Ours, opened so.
pub(super) fn ours(name: &str, setup: Setup) -> Arm {
    let settings = [
        ("memory_bytes", serde_json::Value::from(setup.memory_bytes)),
        ("disk_bytes", setup.disk_bytes.into()),
        ("profile", setup.profile.to_string().into()),
    ];
    let settings: Settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Arm { settings, ..beside(name, env!("CARGO_PKG_VERSION")) }
}

/// What ours is held against.
pub(super) fn beside(name: &str, version: &str) -> Arm {
    Arm { name: name.to_owned(), version: version.to_owned(), ..Arm::default() }
}

/// A row's arms and goals in their places.
pub(super) fn complete(row: Row, arms: Vec<Arm>, goals: Vec<Goal>, notes: Vec<String>) -> Row {
    Row { arms, goals, notes, ..row }
}

/// A round that counts something else than operations of lanes.
pub(super) fn bare_round(number: u32, busy: &Busy, began_unix_ms: u64) -> Round {
    let others_cores = busy.others_cores();
    Round {
        round: number,
        began_unix_ms,
        seconds: aquifer_io::unix_time_ms().saturating_sub(began_unix_ms) as f64 / 1e3,
        others_cores,
        others_share: others_cores / aquifer_io::cores_available().len().max(1) as f64,
        noisy: others_cores > NOISY_CORES,
        ..Round::default()
    }
}

/// Puts a further number into a round.
pub(super) fn set(round: &mut Round, name: &str, value: f64) {
    round.values.insert(name.to_owned(), value);
}

/// Reads every key once in the order of the store, block after block, so that each tier has what it can hold.
pub(super) fn read_all(opened: &Opened) -> Result<(), Failure> {
    for group in 0..aquifer::KEY_GROUPS_DEFAULT {
        interrupt::check()?;
        let mut after: Option<bytes::Bytes> = None;
        loop {
            let page = wait(opened.client.scan_group(group, after.as_deref(), SCAN_ENTRIES))?
                .map_err(Failure::engine("a scan failed"))?;
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(())
}
