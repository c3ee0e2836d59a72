//! Rows about checkpoints: a state of their own, on a DFS that answers as one does.

use super::ground::{IN_FLIGHT, Suite, WRITE_BATCH};
use crate::cli::compare_row::RowName;
use crate::compare::bench::{Entrant, Who, doing};
use crate::compare::row::Definition;
use crate::compare::spec::{Data, Doing, Request, Via, Work};
use crate::failure::Failure;
use crate::result::Goal;
impl Suite<'_, '_> {
    pub(super) fn checkpoints(&mut self, rows: &[&Definition]) -> Result<(), Failure> {
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
                crate::byte_size::human_bytes(data.bytes()),
                self.args().profile
            );
            self.row(row.name, arms, vec![goal], vec![note], &all)?;
        }
        self.bench.close()
    }
}
