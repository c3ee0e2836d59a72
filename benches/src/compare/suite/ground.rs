//! The suite that the rows of all stages share: its state, the work that a row asks for, and the completion of a row.

use std::time::Duration;

use crate::byte_size::human_bytes;
use crate::cli::compare_row::RowName;
use crate::cli::{Against, CompareArgs};
use crate::compare::bench::{Bench, Entrant, Who, doing};
use crate::compare::row::definition;
use crate::compare::spec::{Data, Doing, Request, Via, Work};
use crate::failure::Failure;
use crate::result::{Arm, Goal, Row, Workload};

/// Keys of one call that writes, of engines that have such a call.
pub(super) const WRITE_BATCH: u32 = 64;

/// Longest time of a measurement of the tool, or of one that only looks for the best shape.
const SHORT_TIME_MAX: Duration = Duration::from_secs(2);

/// Operations in flight on each shard of ours.
pub(super) const IN_FLIGHT: u32 = 64;

/// A suite under way. Rows are handed over as soon as they are complete.
pub(super) struct Suite<'b, 'r> {
    pub(super) bench: &'b mut Bench<'r>,
    pub(super) wanted: Vec<RowName>,
    pub(super) rows: &'b mut Vec<Row>,
    /// The state of the first stage is there.
    pub(super) loaded: bool,
}

impl<'b, 'r> Suite<'b, 'r> {
    pub(super) fn new(bench: &'b mut Bench<'r>, wanted: Vec<RowName>, rows: &'b mut Vec<Row>) -> Self {
        Self { bench, wanted, rows, loaded: false }
    }

    pub(super) fn args(&self) -> &'r CompareArgs {
        self.bench.args
    }

    pub(super) fn theirs(&self) -> String {
        format!("{:?}", self.args().against).to_lowercase()
    }

    pub(super) fn wants(&self, name: RowName) -> bool {
        self.wanted.contains(&name)
    }

    pub(super) fn work(
        &self,
        doing: Doing,
        distribution: &str,
        via: Via,
        in_flight: u32,
        batch: u32,
    ) -> Work {
        let args = self.args();
        Work {
            doing,
            distribution: distribution.to_owned(),
            via,
            threads: args.threads,
            in_flight,
            batch,
            rate: None,
            operations: args.keys / 2,
            warm_up: args.warmup,
            measured: args.seconds,
            seed: args.seed,
            checkpoints: 0,
        }
    }

    /// Work of the other engine: plain threads.
    pub(super) fn calls(&self, doing: Doing, distribution: &str, threads: u32, batch: u32) -> Work {
        Work { threads, ..self.work(doing, distribution, Via::Threads, 1, batch) }
    }

    pub(super) fn short(&self, work: &Work) -> Work {
        let warm_up = work.warm_up.min(SHORT_TIME_MAX / 4);
        Work { measured: work.measured.min(SHORT_TIME_MAX), warm_up, ..work.clone() }
    }

    pub(super) fn enter_all(&mut self) -> Result<(), Failure> {
        let (data, theirs) = (self.bench.data(), self.theirs());
        self.bench.enter(Who::Ours, "aquifer", data)?;
        self.bench.enter(Who::Theirs, &format!("{theirs}-state"), data)?;
        self.bench.enter(Who::Nothing, "tool", data)?;
        self.bench.open(Who::Nothing, |_| {})?;
        if self.args().against == Against::Rocksdb && (self.wants(RowName::GetSsd)) {
            self.bench.enter(Who::TheirsBig, "rocksdb-big", data)?;
        }
        Ok(())
    }

    /// The state of the first stage, as a row when that is wanted.
    pub(super) fn load(&mut self) -> Result<(), Failure> {
        if self.loaded {
            return Ok(());
        }
        let theirs = self.theirs();
        let ours = doing("aquifer", Who::Ours, &self.work(Doing::Load, "uniform", Via::Shard, 1, 1));
        let calls = self.calls(Doing::Load, "uniform", 1, WRITE_BATCH);
        let theirs_name = format!("{theirs} batch {WRITE_BATCH}");
        let entrants = [ours, doing(&theirs_name, Who::Theirs, &calls)];
        let wanted = self.wants(RowName::Load);
        self.begin(RowName::Load);
        let mut arms: Vec<Arm> = Vec::new();
        for number in 1..=if wanted { self.args().fill_rounds } else { 1 } {
            for (index, entrant) in entrants.iter().enumerate() {
                self.bench.open_fresh(entrant.who)?;
                if arms.len() == index {
                    let arm = self.bench.arm(entrant)?;
                    arms.push(arm);
                }
                // What was written already cannot be measured again.
                let round = self.bench.measure(entrant, number, 0)?;
                if let Some(arm) = arms.get_mut(index) {
                    arm.rounds.push(round);
                }
            }
        }
        if self.bench.has(Who::TheirsBig) {
            self.bench.open_fresh(Who::TheirsBig)?;
            let big = doing(&format!("{theirs_name}, big files"), Who::TheirsBig, &calls);
            self.bench.measure(&big, 1, 0)?;
        }
        self.loaded = true;
        if wanted {
            let goals = vec![
                Goal::at_least("ops_per_s", &theirs_name, 1.0),
                Goal::at_most("written_bytes", &theirs_name, 0.5),
            ];
            self.row(RowName::Load, arms, goals, Vec::new(), &entrants)?;
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, name: RowName) {
        self.bench.row = name.to_string();
        self.bench.progress.step("row", &format!("{name}: {}", definition(name).what));
    }

    /// Completes a row: the tool's own cost beside it, and what a reader must know.
    pub(super) fn row(
        &mut self,
        name: RowName,
        mut arms: Vec<Arm>,
        goals: Vec<Goal>,
        mut notes: Vec<String>,
        entrants: &[Entrant],
    ) -> Result<(), Failure> {
        let definition = definition(name);
        for entrant in entrants {
            let limit = self.bench.memory_limit(entrant.who)?;
            let arm = arms.iter().find(|arm| arm.name == entrant.name);
            let most = arm
                .iter()
                .flat_map(|arm| &arm.rounds)
                .filter_map(|round| round.memory)
                .map(|memory| memory.resident_bytes)
                .max();
            if let Some(most) = most.filter(|most| *most > limit) {
                notes.push(format!(
                    "{} held {} resident, above its budget and the {} that lie beside every budget",
                    entrant.name,
                    human_bytes(most),
                    human_bytes(limit)
                ));
            }
        }
        let first = entrants.iter().find_map(|entrant| match &entrant.request {
            Request::Round(work) => Some(work.as_ref().clone()),
            _ => None,
        });
        let mut goals = if self.args().against == Against::Rocksdb { goals } else { Vec::new() };
        if let Some(work) = &first
            && work.rate.is_none()
            && work.checkpoints == 0
        {
            let tool = Work { operations: work.operations.min(1 << 20), ..self.short(work) };
            let tool = doing("nothing (the tool alone)", Who::Nothing, &tool);
            arms.extend(self.bench.rounds(&[tool], 1)?);
            goals.push(Goal::at_most("ops_per_s", "nothing (the tool alone)", 0.1));
        }
        arms.iter_mut().for_each(|arm| arm.curve = self.bench.curve(&arm.name));
        let data = self.bench.contender(Who::Ours)?.prepare.data;
        let mut row = Row {
            name: name.to_string(),
            what: definition.what.to_owned(),
            tier: Some(definition.tier),
            workload: workload(name, data, first.as_ref()),
            arms,
            goals,
            notes,
            ..Row::default()
        };
        row.finish();
        for goal in row.goals.iter().filter(|goal| goal.reached == Some(false)) {
            let ratio = goal.ratio.map_or(0.0, |ratio| ratio.median);
            let bound = goal
                .at_least
                .map(|least| format!("at least {least}"))
                .or(goal.at_most.map(|most| format!("at most {most}")));
            row.notes.push(format!(
                "missed: {} by that of {} is {ratio:.3}, goal {}",
                goal.metric,
                goal.against,
                bound.unwrap_or_default()
            ));
        }
        self.rows.push(row);
        Ok(())
    }
}

fn workload(name: RowName, data: Data, work: Option<&Work>) -> Workload {
    let operations = work.map_or("restore", |work| match work.doing {
        Doing::Load | Doing::Overwrite => "put",
        Doing::Get => "get",
        Doing::MultiGet => "multiget",
        Doing::Update => "update",
    });
    Workload {
        name: name.to_string(),
        operations: operations.to_owned(),
        distribution: work.map_or_else(String::new, |work| work.distribution.clone()),
        keys: data.keys,
        key_bytes: data.key_bytes,
        value_bytes: data.value_bytes.to_string(),
        from: work
            .map_or("client", |work| if work.via == Via::Shard { "shard" } else { "client" })
            .to_owned(),
        threads: work.map_or(1, |work| work.threads.into()),
        in_flight: work.map_or(1, |work| work.in_flight.into()),
        batch: work.map_or(1, |work| work.batch.into()),
    }
}
