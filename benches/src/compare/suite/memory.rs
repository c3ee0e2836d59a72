//! Rows of the second stage: the same state, reopened with memory for everything.

use super::ground::Suite;
use crate::cli::compare_row::RowName;
use crate::compare::bench::{Bench, Who, doing};
use crate::compare::row::Definition;
use crate::compare::spec::{Doing, Request, Via};
use crate::failure::Failure;
use crate::result::Goal;
impl Suite<'_, '_> {
    pub(super) fn memory(&mut self, rows: &[&Definition]) -> Result<(), Failure> {
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
            if row.name == RowName::RmwMemory {
                self.rmw(row.name)?;
                continue;
            }
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
}
