//! Rows whose state is on the DFS: ours alone, or that of both.

use super::ground::{IN_FLIGHT, Suite, WRITE_BATCH};
use crate::cli::compare_row::RowName;
use crate::compare::bench::{Who, doing};
use crate::compare::row::Definition;
use crate::compare::spec::{Doing, Via, Work};
use crate::failure::Failure;
use crate::result::Arm;
impl Suite<'_, '_> {
    /// Ours with all state on the DFS, the other one on its local disk.
    pub(super) fn remote_ours(&mut self, rows: &[&Definition]) -> Result<(), Failure> {
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
    pub(super) fn remote_both(&mut self, rows: &[&Definition]) -> Result<(), Failure> {
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
}
