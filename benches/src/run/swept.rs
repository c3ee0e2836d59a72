//! A workload measured at the rates that a search tries (see [`super::sweep`]).

use std::time::Duration;

use super::arm::Arm;
use super::numbers::{self, HELD_SHARE, PhaseLatencies};
use super::session::Session;
use super::sweep;
use super::ticker::time;
use crate::failure::Failure;
use crate::load::workload::Workload;
use crate::numbers::count;
use crate::result::{Phase, Round, Sweep, SweepStep};

impl Session<'_> {
    /// Searches the rate, and measures at each that is tried.
    pub(super) fn sweep(&mut self, workload: &Workload, phase: &mut Phase) -> Result<(), Failure> {
        phase.tool = Some(self.tool_cost(workload)?);
        let mut gathered = PhaseLatencies::new(true);
        let possible = self.possible(workload)?;
        let text = format!("{} ops/s in closed loop; now the rate is searched", count(possible.round()));
        self.ticker.step("sweep", &text);
        let (mut sweep, mut index) = (Sweep::default(), 0);
        let outcome = sweep::search(possible, self.spec.args.p99_us, &mut sweep, |rate| {
            index += 1;
            let label = format!("{} at {}/s", phase.name, count(rate.round()));
            self.ticker.begin(&label);
            let threads = self.ours()?.threads();
            let interval = Some(Duration::from_secs_f64(threads as f64 / rate));
            let plan = self.plan(workload, self.spec.args.warmup, interval);
            let taken = self.measure(&plan, self.spec.seed.wrapping_add(u64::from(index)))?;
            if taken.cut_short {
                return Err(Failure::Interrupted);
            }
            let round = numbers::round(&taken, &plan, self.frame(index, Some(rate))?);
            gathered.add(&phase.name, index, &taken, &plan);
            let held = round.ops_per_s >= rate * HELD_SHARE;
            let verdict = if held { "" } else { ", not held" };
            self.say_round(&format!("{label}{verdict}"), &round);
            let step = SweepStep {
                offered_ops_per_s: rate,
                achieved_ops_per_s: round.ops_per_s,
                p50_us: round.latency.p50_us,
                p99_us: round.latency.p99_us,
                p99_9_us: round.latency.p99_9_us,
            };
            let good = held && round.latency.p99_us <= self.spec.args.p99_us;
            let best = phase.rounds.last().and_then(|best: &Round| best.offered_ops_per_s);
            if good && best.is_none_or(|best| best < rate) {
                // The phase's own numbers are those of the highest rate that kept to the limit.
                phase.rounds = vec![Round { round: 1, ..round }];
            } else if round.answers_wrong > 0 || phase.rounds.is_empty() {
                phase.rounds.push(round);
            }
            Ok((step, held))
        });
        if sweep.found_ops_per_s.is_none() {
            let limit = time(self.spec.args.p99_us);
            phase.notes.push(format!("no rate that was tried keeps its p99 to {limit}"));
        }
        phase.sweep = Some(sweep);
        self.end_phase(phase, gathered);
        outcome
    }

    /// Operations a second in closed loop.
    fn possible(&mut self, workload: &Workload) -> Result<f64, Failure> {
        self.ticker.begin(&format!("{} in closed loop", workload.name));
        let plan = self.plan(workload, self.spec.args.warmup, None);
        let taken = self.measure(&plan, self.spec.seed)?;
        if taken.cut_short {
            return Err(Failure::Interrupted);
        }
        Ok(taken.meter.operations as f64 / taken.seconds)
    }
}
