//! Rows of the first stage: little memory, all state on the SSD.

use super::ground::{IN_FLIGHT, Suite, WRITE_BATCH};
use crate::cli::Against;
use crate::cli::compare_row::RowName;
use crate::compare::bench::{Entrant, Who, doing};
use crate::compare::row::Definition;
use crate::compare::spec::{Doing, Request, Via, Work};
use crate::failure::Failure;
use crate::result::{Arm, Goal};

/// An open loop is held when so much of it was done.
const HELD: f64 = 0.98;

/// Threads of an engine that blocks, when it may have as many as it likes to hold a rate.
const MANY_THREADS: u32 = 16;
impl Suite<'_, '_> {
    pub(super) fn disk(&mut self, rows: &[&Definition]) -> Result<(), Failure> {
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

    pub(super) fn rmw(&mut self, name: RowName) -> Result<(), Failure> {
        self.begin(name);
        let theirs = self.theirs();
        let them = format!("{theirs} get + put");
        let (ours, least) = (
            self.work(Doing::Update, "zipf:0.99", Via::Shard, IN_FLIGHT, 1),
            match name {
                RowName::RemoteRmw => 0.9,
                RowName::RmwMemory => 4.0,
                _ => 2.5,
            },
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
