//! Row `get-memory`: two engines on links of the same objects, all data in the memory of both; one has an SSD tier beside it.

use aquifer_remote::shape::LatencyProfile;

use super::super::bed::TestBed;
use super::stage::{Stage, complete, ours, read_all, set};
use crate::cli::cache_row::RowName;
use crate::failure::Failure;
use crate::interrupt;
use crate::load::workload::Workload;
use crate::result::{Goal, Row, Tier, quotient};

const WITH: &str = "aquifer";
const WITHOUT: &str = "aquifer without SSD tier";

/// Not slower, as far as it can be told: two engines that are opened alike differ by so much from round to round.
const AT_LEAST: f64 = 0.98;

/// Measures the row.
pub(super) fn measure(stage: &mut Stage<'_>) -> Result<Row, Failure> {
    let name = RowName::GetMemory;
    stage.close()?;
    let mut other = stage.session.bed.beside()?;
    let memory_bytes = stage.everything_bytes();
    let with = stage.setup(memory_bytes, stage.everything_bytes(), LatencyProfile::None);
    let without = stage.setup(memory_bytes, 0, LatencyProfile::None);
    stage.step(name, "opening both, and reading all keys twice");
    stage.open(with)?;
    other.open(without)?;
    for bed in [&stage.session.bed, &other] {
        // The second time finds blocks that the first pass let go while filters and indexes came.
        read_all(bed.opened()?)?;
        read_all(bed.opened()?)?;
        interrupt::check()?;
    }
    let workload = Workload::named("readrandom").map_err(Failure::Usage)?;
    let mut arms = vec![ours(WITH, with), ours(WITHOUT, without)];
    for number in stage.rounds() {
        stage.step(name, &format!("round {number} of {}", stage.spec.args.rounds));
        for turn in 0..2 {
            let index = (number as usize + turn) % 2;
            let arm = if index == 0 { WITH } else { WITHOUT };
            let round = one(stage, if index == 0 { None } else { Some(&other) }, &workload, arm, number)?;
            if let Some(arm) = arms.get_mut(index) {
                arm.rounds.push(round);
            }
        }
    }
    other.close()?;
    stage.close()?;
    let goals = vec![Goal::at_least("ops_per_s", WITHOUT, AT_LEAST)];
    let waiting =
        arms.iter().flat_map(|arm| &arm.rounds).filter_map(|round| round.values.get("waited_share"));
    let most = waiting.copied().fold(0.0, f64::max);
    let notes = vec![format!(
        "not slower is held at {AT_LEAST}: two equal engines differ by so much; of the gets at most {:.3} % waited for anything",
        most * 100.0
    )];
    let row = stage.row(name, &workload, 1);
    Ok(complete(Row { tier: Some(Tier::Memory), ..row }, arms, goals, notes))
}

fn one(
    stage: &mut Stage<'_>,
    other: Option<&TestBed<'_>>,
    workload: &Workload,
    arm: &str,
    number: u32,
) -> Result<crate::result::Round, Failure> {
    let plan = stage.plan(workload, 1, stage.spec.args.warmup, stage.seconds());
    let taken = stage.gets(other, &format!("{arm} {number}"), &plan, number)?;
    let mut round = stage.round(&format!("{} {arm}", RowName::GetMemory), number, &taken, &plan)?;
    let counters = taken.counters.unwrap_or_default();
    let (waited, at_once) = (counters.reads_waited as f64, counters.reads_immediate as f64);
    set(&mut round, "waited_share", quotient(waited, waited + at_once).unwrap_or(1.0));
    Ok(round)
}
