//! The rows of a comparison, stage by stage.
//!
//! ```text
//! disk        little memory: load, get, open loop, read-modify-write, overwrite
//! memory      the same state, reopened with memory for everything
//! remote      ours with that state on a DFS of the profile asked for, the other one as in the first stage
//! checkpoint  a state of their own, on that DFS
//! ```

use std::time::Duration;

use super::bench::{Bench, Entrant, Who, doing};
use super::row::{Definition, ROWS, RowName, Stage};
use super::spec::{Data, Doing, Request, Via, Work};
use crate::cli::{Against, CompareArgs};
use crate::failure::Failure;
use crate::result::{Arm, Goal, Row, Workload};

/// Keys of one call that writes, of engines that have such a call.
const WRITE_BATCH: u32 = 64;

/// Longest time of a measurement of the tool, or of one that only looks for the best shape.
const SHORT_TIME_MAX: Duration = Duration::from_secs(2);

/// An open loop is held when so much of it was done.
const HELD: f64 = 0.98;

/// Threads of an engine that blocks, when it may have as many as it likes to hold a rate.
const MANY_THREADS: u32 = 16;

/// Operations in flight on each shard of ours.
const IN_FLIGHT: u32 = 64;

/// See the module. Rows are handed over as soon as they are complete.
pub(super) struct Suite<'b, 'r> {
    bench: &'b mut Bench<'r>,
    wanted: Vec<RowName>,
    rows: &'b mut Vec<Row>,
    /// The state of the first stage is there.
    loaded: bool,
}

impl<'b, 'r> Suite<'b, 'r> {
    pub(super) fn new(bench: &'b mut Bench<'r>, wanted: Vec<RowName>, rows: &'b mut Vec<Row>) -> Self {
        Self { bench, wanted, rows, loaded: false }
    }

    pub(super) fn run(&mut self) -> Result<(), Failure> {
        let against = self.bench.args.against;
        for stage in [Stage::Disk, Stage::Memory, Stage::Remote, Stage::Checkpoint] {
            let rows: Vec<&Definition> =
                ROWS.iter().filter(|row| row.stage == stage && self.wanted.contains(&row.name)).collect();
            if rows.is_empty() {
                continue;
            }
            match (stage, against) {
                (Stage::Disk, _) => self.disk(&rows)?,
                (Stage::Memory, _) => self.memory(&rows)?,
                (Stage::Checkpoint, _) => self.checkpoints(&rows)?,
                (Stage::Remote, Against::Slatedb) => self.remote_both(&rows)?,
                (Stage::Remote, _) => self.remote_ours(&rows)?,
            }
        }
        self.bench.close()
    }

    fn args(&self) -> &'r CompareArgs {
        self.bench.args
    }

    fn theirs(&self) -> String {
        format!("{:?}", self.args().against).to_lowercase()
    }

    fn wants(&self, name: RowName) -> bool {
        self.wanted.contains(&name)
    }

    fn work(&self, doing: Doing, distribution: &str, via: Via, in_flight: u32, batch: u32) -> Work {
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
    fn calls(&self, doing: Doing, distribution: &str, threads: u32, batch: u32) -> Work {
        Work { threads, ..self.work(doing, distribution, Via::Threads, 1, batch) }
    }

    fn short(&self, work: &Work) -> Work {
        let warm_up = work.warm_up.min(SHORT_TIME_MAX / 4);
        Work { measured: work.measured.min(SHORT_TIME_MAX), warm_up, ..work.clone() }
    }

    fn enter_all(&mut self) -> Result<(), Failure> {
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
    fn load(&mut self) -> Result<(), Failure> {
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

    fn disk(&mut self, rows: &[&Definition]) -> Result<(), Failure> {
        self.bench.serve(aquifer_remote::shape::LatencyProfile::None)?;
        self.enter_all()?;
        self.load()?;
        // What did not fit the way to the SSD while it was written is brought there now.
        self.bench.ask(Who::Ours, &Request::Fill)?;
        for row in rows {
            match row.name {
                RowName::GetSsd => self.get_ssd()?,
                RowName::OpenLoop => self.open_loop()?,
                RowName::RmwZipf => self.rmw(RowName::RmwZipf)?,
                RowName::Overwrite => self.overwrite()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The other engine in every shape for a short time; the best of those that ask for many keys, with what was found.
    fn scout(&mut self) -> Result<(Entrant, Vec<String>), Failure> {
        let theirs = self.theirs();
        let mut best: Option<(f64, Entrant)> = None;
        let mut notes = Vec::new();
        let big = self.bench.has(Who::TheirsBig);
        for (who, files) in
            [(Who::Theirs, ""), (Who::TheirsBig, ", big files")].into_iter().take(1 + usize::from(big))
        {
            for batch in [1, 64, 256] {
                for threads in [1, self.args().threads] {
                    let doing_what = if batch == 1 { Doing::Get } else { Doing::MultiGet };
                    let calls = self.calls(doing_what, "uniform", threads, batch);
                    let what = if batch == 1 { "get".to_owned() } else { format!("multi-get {batch}") };
                    let name = format!("{theirs} {what}, {threads} threads{files}");
                    let tried = doing(&name, who, &self.short(&calls));
                    let per_s = self.bench.measure(&tried, 0, 0)?.ops_per_s;
                    notes.push(format!(
                        "tried for {:.1} s: {name}: {per_s:.0} keys/s",
                        self.short(&calls).measured.as_secs_f64()
                    ));
                    if batch > 1 && best.as_ref().is_none_or(|(most, _)| per_s > *most) {
                        best = Some((per_s, doing(&name, who, &calls)));
                    }
                }
            }
        }
        let best = best.map(|(_, entrant)| entrant);
        best.map(|entrant| (entrant, notes)).ok_or_else(|| Failure::Other("no shape was tried".into()))
    }

    fn get_ssd(&mut self) -> Result<(), Failure> {
        self.begin(RowName::GetSsd);
        let theirs = self.theirs();
        let ours = self.work(Doing::Get, "uniform", Via::Shard, IN_FLIGHT, 1);
        let get = format!("{theirs} get");
        let plain = doing(&get, Who::Theirs, &self.calls(Doing::Get, "uniform", self.args().threads, 1));
        let mut all = vec![doing("aquifer", Who::Ours, &ours), plain.clone()];
        if self.bench.has(Who::TheirsBig) {
            all.push(Entrant { who: Who::TheirsBig, ..plain });
        }
        self.bench.warm(&all)?;
        all.truncate(2);
        let (best, notes) = self.scout()?;
        let best_name = best.name.clone();
        all.push(best);
        let arms = self.bench.rounds(&all, self.args().rounds)?;
        let best_of = best_arm(&arms, &[&get, &best_name]);
        let goals = vec![Goal::at_least("ops_per_s", &best_of, 1.4), Goal::at_least("ops_per_s", &get, 3.0)];
        self.row(RowName::GetSsd, arms, goals, notes, &all)
    }

    fn open_loop(&mut self) -> Result<(), Failure> {
        self.begin(RowName::OpenLoop);
        let (theirs, threads, rate) = (self.theirs(), self.args().threads, self.args().rate);
        let at_rate = |work: Work| Work { rate: Some(rate), ..work };
        let ours = at_rate(self.work(Doing::Get, "uniform", Via::Shard, IN_FLIGHT, 1));
        let names = [
            format!("{theirs} get, {threads} threads"),
            format!("{theirs} get, {MANY_THREADS} threads"),
            format!("{theirs} get, {threads} threads, its maximum"),
        ];
        let [few, many, most] = &names;
        let all = [
            doing("aquifer", Who::Ours, &ours),
            doing(few, Who::Theirs, &at_rate(self.calls(Doing::Get, "uniform", threads, 1))),
            doing(many, Who::Theirs, &at_rate(self.calls(Doing::Get, "uniform", MANY_THREADS, 1))),
            doing(most, Who::Theirs, &self.calls(Doing::Get, "uniform", threads, 1)),
        ];
        self.bench.warm(&all)?;
        let arms = self.bench.rounds(&all, self.args().rounds)?;
        let held = |name: &&String| {
            let rounds = arms.iter().filter(|arm| arm.name == **name).flat_map(|arm| &arm.rounds);
            crate::measure::spread::Spread::of(rounds.map(|round| round.ops_per_s / rate))
                .is_some_and(|of| of.median >= HELD)
        };
        let against = [few, many].into_iter().find(held).unwrap_or(most).clone();
        let notes = vec![format!(
            "{rate:.0} a second offered; held against {against}, which is the first that holds it, else its maximum"
        )];
        let goals = vec![Goal::at_most("p99_us", &against, 0.5)];
        self.row(RowName::OpenLoop, arms, goals, notes, &all)
    }

    fn rmw(&mut self, name: RowName) -> Result<(), Failure> {
        self.begin(name);
        let theirs = self.theirs();
        let them = format!("{theirs} get + put");
        let (ours, least) = (
            self.work(Doing::Update, "zipf:0.99", Via::Shard, IN_FLIGHT, 1),
            if name == RowName::RemoteRmw { 0.9 } else { 2.5 },
        );
        let mut calls = self.calls(Doing::Update, "zipf:0.99", self.args().threads, 1);
        if self.args().against == Against::Slatedb {
            calls = Work { in_flight: IN_FLIGHT, ..calls };
        }
        let all = [doing("aquifer", Who::Ours, &ours), doing(&them, Who::Theirs, &calls)];
        self.bench.warm(&all)?;
        let arms = self.bench.rounds(&all, self.args().rounds)?;
        self.row(name, arms, vec![Goal::at_least("ops_per_s", &them, least)], Vec::new(), &all)
    }

    fn overwrite(&mut self) -> Result<(), Failure> {
        self.begin(RowName::Overwrite);
        let theirs = self.theirs();
        let them = format!("{theirs} batch {WRITE_BATCH}");
        let all = [
            doing("aquifer", Who::Ours, &self.work(Doing::Overwrite, "uniform", Via::Shard, 1, 1)),
            doing(&them, Who::Theirs, &self.calls(Doing::Overwrite, "uniform", 1, WRITE_BATCH)),
        ];
        self.bench.warm(&all)?;
        let arms = self.bench.rounds(&all, self.args().fill_rounds)?;
        let goals = vec![Goal::at_least("ops_per_s", &them, 1.0), Goal::at_most("written_bytes", &them, 0.5)];
        self.row(RowName::Overwrite, arms, goals, Vec::new(), &all)
    }

    fn memory(&mut self, rows: &[&Definition]) -> Result<(), Failure> {
        if !self.loaded {
            self.bench.serve(aquifer_remote::shape::LatencyProfile::None)?;
            self.enter_all()?;
            self.load()?;
        }
        let theirs = self.theirs();
        let bytes = Bench::memory_bytes(self.bench.data(), self.args().all_memory_percent);
        for who in [Who::Ours, Who::Theirs] {
            self.bench.open(who, |prepare| prepare.memory_bytes = bytes)?;
            self.bench.ask(who, &Request::Fill)?;
        }
        let threads = self.args().threads;
        for row in rows {
            self.begin(row.name);
            let (name, ours, calls, metric, least) = match row.name {
                RowName::GetMemory => (
                    format!("{theirs} get"),
                    self.work(Doing::Get, "uniform", Via::Shard, 1, 1),
                    self.calls(Doing::Get, "uniform", threads, 1),
                    "ops_per_s_per_core",
                    6.0,
                ),
                _ => (
                    format!("{theirs} multi-get 64"),
                    self.work(Doing::MultiGet, "uniform", Via::Threads, 1, 64),
                    self.calls(Doing::MultiGet, "uniform", threads, 64),
                    "ops_per_s",
                    2.0,
                ),
            };
            let all = [doing("aquifer", Who::Ours, &ours), doing(&name, Who::Theirs, &calls)];
            let arms = self.bench.rounds(&all, self.args().rounds)?;
            self.row(row.name, arms, vec![Goal::at_least(metric, &name, least)], Vec::new(), &all)?;
        }
        Ok(())
    }

    fn checkpoints(&mut self, rows: &[&Definition]) -> Result<(), Failure> {
        // A state of its own, on a DFS that answers as one does.
        self.bench.close()?;
        self.loaded = false;
        self.bench.serve(self.args().profile)?;
        let data = Data { value_bytes: self.args().value_bytes * 2, ..self.bench.data() };
        let theirs = self.theirs();
        for (who, name) in
            [(Who::Ours, "aquifer-checkpoints".to_owned()), (Who::Theirs, format!("{theirs}-checkpoints"))]
        {
            self.bench.enter(who, &name, data)?;
            self.bench.open_fresh(who)?;
            let load = match who {
                Who::Ours => self.work(Doing::Load, "uniform", Via::Shard, 1, 1),
                _ => self.calls(Doing::Load, "uniform", 1, WRITE_BATCH),
            };
            let load = doing(&format!("{name}, load"), who, &load);
            self.bench.measure(&load, 0, 0)?;
            // What is measured is the next checkpoint of many, not the first.
            self.bench.ask(who, &Request::Checkpoint)?;
        }
        self.bench.enter(Who::Nothing, "tool", data)?;
        self.bench.open(Who::Nothing, |_| {})?;
        for row in rows {
            self.begin(row.name);
            let (all, them, goal) = if row.name == RowName::Checkpoint {
                let them = format!("{theirs} checkpoint + upload");
                let ours = self.work(Doing::Update, "zipf:0.99", Via::Shard, IN_FLIGHT, 1);
                let calls = self.calls(Doing::Update, "zipf:0.99", self.args().threads, 1);
                let under = |work: Work| Work { checkpoints: 1, ..work };
                let all =
                    [doing("aquifer", Who::Ours, &under(ours)), doing(&them, Who::Theirs, &under(calls))];
                self.bench.warm(&all)?;
                let goal = Goal::at_most("checkpoint_s", &them, 0.2);
                (all, them, goal)
            } else {
                let them = format!("{theirs} download + open");
                let restore = Request::Restore { seed: self.args().seed };
                let of = |name: &str, who| Entrant { name: name.to_owned(), who, request: restore.clone() };
                let all = [of("aquifer", Who::Ours), of(&them, Who::Theirs)];
                let goal = Goal::at_most("restore_first_answer_ms", &them, 0.05);
                (all, them, goal)
            };
            let rounds = self.args().rounds;
            let arms = self.bench.rounds(&all, rounds)?;
            let note = format!(
                "{} of state on the DFS, profile {}; {them} by 8 requests of 8 MiB at once",
                crate::cli::human_bytes(data.bytes()),
                self.args().profile
            );
            self.row(row.name, arms, vec![goal], vec![note], &all)?;
        }
        self.bench.close()
    }

    /// Ours with all state on the DFS, the other one on its local disk.
    fn remote_ours(&mut self, rows: &[&Definition]) -> Result<(), Failure> {
        self.bench.serve(aquifer_remote::shape::LatencyProfile::None)?;
        if !self.loaded || !self.bench.has(Who::Ours) {
            self.bench.contenders.clear();
            self.loaded = false;
            self.enter_all()?;
            self.load_unmeasured()?;
        }
        let kept: Vec<_> = self.bench.contenders.iter().map(|contender| contender.prepare.clone()).collect();
        self.bench.close()?;
        self.bench.serve(self.args().profile)?;
        self.enter_all()?;
        let disk_bytes = self.bench.data().bytes() / 100 * self.args().disk_percent;
        for (who, prepare) in [(Who::Ours, kept.first()), (Who::Theirs, kept.get(1))] {
            let Some(before) = prepare else { continue };
            self.bench.open(who, |prepare| {
                prepare.dir.clone_from(&before.dir);
                if let (Some(dfs), Some(before)) = (&mut prepare.dfs, &before.dfs) {
                    dfs.prefix.clone_from(&before.prefix);
                }
                if who == Who::Ours {
                    prepare.dir.set_file_name("aquifer-remote");
                    prepare.disk_bytes = disk_bytes;
                }
            })?;
        }
        for row in rows {
            self.rmw(row.name)?;
        }
        Ok(())
    }

    fn load_unmeasured(&mut self) -> Result<(), Failure> {
        let wanted = std::mem::take(&mut self.wanted);
        let loaded = self.load();
        self.wanted = wanted;
        loaded
    }

    /// Both with their state on the same DFS.
    fn remote_both(&mut self, rows: &[&Definition]) -> Result<(), Failure> {
        self.bench.close()?;
        self.bench.serve(self.args().profile)?;
        let (data, theirs) = (self.bench.data(), self.theirs());
        let disk_bytes = data.bytes() / 100 * self.args().disk_percent;
        self.bench.enter(Who::Nothing, "tool", data)?;
        self.bench.open(Who::Nothing, |_| {})?;
        let ours = self.work(Doing::Load, "uniform", Via::Shard, 1, 1);
        let calls = self.calls(Doing::Load, "uniform", 1, WRITE_BATCH);
        let load = [doing("aquifer", Who::Ours, &ours), doing(&theirs, Who::Theirs, &calls)];
        for (entrant, name) in load.iter().zip(["aquifer-remote", "theirs-remote"]) {
            self.bench.enter(entrant.who, name, data)?;
            self.bench.contender(entrant.who)?.prepare.disk_bytes = disk_bytes;
        }
        self.begin(RowName::RemoteLoad);
        let mut arms: Vec<Arm> = Vec::new();
        for number in 1..=if self.wants(RowName::RemoteLoad) { self.args().fill_rounds } else { 1 } {
            for (index, entrant) in load.iter().enumerate() {
                self.bench.open_fresh(entrant.who)?;
                if arms.len() == index {
                    let arm = self.bench.arm(entrant)?;
                    arms.push(arm);
                }
                let round = self.bench.measure(entrant, number, 0)?;
                if let Some(arm) = arms.get_mut(index) {
                    arm.rounds.push(round);
                }
            }
        }
        for row in rows {
            match row.name {
                RowName::RemoteLoad => {
                    self.row(row.name, std::mem::take(&mut arms), Vec::new(), Vec::new(), &load)?;
                }
                RowName::RemoteGet => {
                    self.begin(row.name);
                    let ours = self.work(Doing::Get, "uniform", Via::Shard, IN_FLIGHT, 1);
                    let calls = Work {
                        in_flight: IN_FLIGHT,
                        ..self.calls(Doing::Get, "uniform", self.args().threads, 1)
                    };
                    let all = [doing("aquifer", Who::Ours, &ours), doing(&theirs, Who::Theirs, &calls)];
                    let arms = self.bench.rounds(&all, self.args().rounds)?;
                    self.row(row.name, arms, Vec::new(), Vec::new(), &all)?;
                }
                _ => self.rmw(row.name)?,
            }
        }
        Ok(())
    }

    fn begin(&mut self, name: RowName) {
        self.bench.row = name.to_string();
        self.bench.progress.step("row", &format!("{name}: {}", name.definition().what));
    }

    /// Completes a row: the tool's own cost beside it, and what a reader must know.
    fn row(
        &mut self,
        name: RowName,
        mut arms: Vec<Arm>,
        goals: Vec<Goal>,
        mut notes: Vec<String>,
        entrants: &[Entrant],
    ) -> Result<(), Failure> {
        let definition = name.definition();
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
                    crate::cli::human_bytes(most),
                    crate::cli::human_bytes(limit)
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
            name: definition.text.to_owned(),
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

/// Of these arms the one with the higher throughput.
fn best_arm(arms: &[Arm], names: &[&str]) -> String {
    let median = |arm: &Arm| {
        let per_s = crate::measure::spread::Spread::of(arm.rounds.iter().map(|round| round.ops_per_s));
        per_s.map_or(0.0, |per_s| per_s.median)
    };
    let candidates = arms.iter().filter(|arm| names.contains(&arm.name.as_str()));
    candidates
        .max_by(|one, other| median(one).total_cmp(&median(other)))
        .map(|arm| arm.name.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Round;

    #[test]
    fn the_best_arm_is_the_one_with_the_highest_median() {
        let arm = |name: &str, per_s: &[f64]| Arm {
            name: name.to_owned(),
            rounds: per_s.iter().map(|per_s| Round { ops_per_s: *per_s, ..Round::default() }).collect(),
            ..Arm::default()
        };
        let arms =
            [arm("aquifer", &[9.0; 3]), arm("get", &[5.0, 1.0, 1.0]), arm("multi-get", &[2.0, 2.0, 0.0])];
        assert_eq!(best_arm(&arms, &["get", "multi-get"]), "multi-get");
        assert_eq!(best_arm(&arms, &[]), "");
    }
}
